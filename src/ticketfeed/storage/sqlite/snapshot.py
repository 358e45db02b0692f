"""Everything that an SQLite store holds, of one instant, for `check`. The rows are read as they are, sound or not."""

from collections.abc import Iterator, Mapping
from typing import Any

import apsw

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.storage.list_query import COUNT_CHANGES, change_bindings
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE, migration_faults
from ticketfeed.storage.queries import load_migrations, load_queries

__all__ = ["SqliteSnapshot"]

Q = load_queries("sqlite")


class SqliteSnapshot:
    """A Snapshot over a connection that is inside a read transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def accounts(self) -> Iterator[tuple[Account, FeedState | None]]:
        for account_id, subdomain, *state in self._walk("walk_accounts"):
            yield Account(account_id, subdomain), None if state[0] is None else FeedState(*state)

    def tickets(self, account: Account) -> Iterator[TicketRow]:
        return map(TicketRow._make, self._walk("walk_tickets", account))

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        return map(Position._make, self._walk("walk_positions_by_id", account))

    def records(self, account: Account) -> Iterator[RecordRow]:
        return map(RecordRow._make, self._walk("walk_records", account))

    def record_state(self, account: Account) -> FeedState | None:
        return next((FeedState(*row) for row in self._walk("read_record_state", account)), None)

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        return self._walk("walk_dangling_credentials", account)

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        return self._walk("walk_orphans")

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        bindings = {"kind": kind, "limit": limit, **change_bindings(after, until, filters)}
        count, first = next(self._walk(COUNT_CHANGES.get(kind, "count_record_changes"), account, bindings))
        return count, first

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        return list(self._walk("count_by_time", account, {"since": since, "seconds": seconds}))

    def size_bytes(self) -> int:
        return int(next(self._walk("size_bytes"))[0])

    def self_check(self) -> Iterator[str]:
        """SQLite's own check of every page and index; the tables as the migrations make them; the migrations."""
        for (text,) in self._walk("check_pages"):
            if text != "ok":
                yield from (f"SQLite says: {line}" for line in text.splitlines())
        found, expected = set(self._walk("check_schema")), _expected_schema()
        for type_, name, _ in sorted(expected - found):
            yield f"the {type_} {name} is missing, or is not as the migrations make it"
        yield from self.migration_faults()

    def risks(self) -> Iterator[str]:
        (mode,) = next(self._walk("journal_mode"))
        if mode != "wal":
            yield f"the file is in journal mode {mode}, not WAL: readers and writers wait for each other"

    def migration_faults(self) -> Iterator[str]:
        return migration_faults("sqlite", list(self._walk("check_migrations")))

    def _walk(self, name: str, account: Account | None = None, more: Mapping[str, Any] = {}) -> Iterator[Any]:
        """Inside a read transaction nobody is waited for: an error means that the file cannot be read."""
        try:
            yield from self._connection.execute(Q[name], {"account_id": account.account_id, **more} if account else {})
        except (apsw.Error, UnicodeDecodeError) as error:
            raise StoreError(str(error)) from error


def _expected_schema() -> set[Any]:
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(CREATE_MIGRATION_TABLE)
        for _, _, sql in load_migrations("sqlite"):
            connection.execute(sql)
        return set(connection.execute(Q["check_schema"]))
    finally:
        connection.close()
