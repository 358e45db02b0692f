"""Everything that an SQLite store holds, of one instant, for `check`. The rows are read as they are, sound or not."""

from collections.abc import Iterator
from typing import Any

import apsw

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.soundness import StoredRecord, StoredTicket
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

    def tickets(self, account: Account) -> Iterator[StoredTicket]:
        return map(StoredTicket._make, self._walk("walk_tickets", account))

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        return map(Position._make, self._walk("walk_positions_by_id", account))

    def records(self, account: Account) -> Iterator[StoredRecord]:
        return map(StoredRecord._make, self._walk("walk_records", account))

    def record_state(self, account: Account) -> FeedState | None:
        return next((FeedState(*row) for row in self._walk("read_record_state", account)), None)

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        return self._walk("walk_dangling_credentials", account)

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        return self._walk("walk_orphans")

    def self_check(self) -> Iterator[str]:
        """SQLite's own check of every page and index; the tables as the migrations make them; the migrations."""
        for (text,) in self._walk("check_pages"):
            if text != "ok":
                yield from (f"SQLite says: {line}" for line in text.splitlines())
        found, expected = set(self._walk("check_schema")), _expected_schema()
        for type_, name, _ in sorted(expected - found):
            yield f"the {type_} {name} is missing, or is not as the migrations make it"
        yield from migration_faults("sqlite", list(self._walk("check_migrations")))

    def _walk(self, name: str, account: Account | None = None) -> Iterator[Any]:
        """Inside a read transaction nobody is waited for: an error means that the file cannot be read."""
        try:
            yield from self._connection.execute(Q[name], {"account_id": account.account_id} if account else {})
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
