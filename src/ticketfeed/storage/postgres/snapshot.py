"""Everything that a PostgreSQL store holds, of one instant, for `check`. The rows are read as they are, sound or not.

Walks go through server-side cursors, each in a savepoint of its own: after a page that cannot be read the next walk
still can be tried. They are made to use the very indexes that pages and writes use, so that a damaged one shows.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.storage.list_query import COUNT_CHANGES, change_bindings
from ticketfeed.storage.migrations import migration_faults
from ticketfeed.storage.queries import load_migrations, load_queries

__all__ = ["PostgresSnapshot", "start_snapshot"]

# Rows that one round trip brings: some hundred kilobytes of tickets.
ROWS_A_TRIP = 250
_CHANGES = re.compile(
    r"CREATE (?:UNIQUE |UNLOGGED )?(?:TABLE|INDEX) (?:ticketfeed\.)?(?P<made>\w+)"
    r"|ALTER (?:TABLE|INDEX) ticketfeed\.(?P<old>\w+) RENAME TO (?P<new>\w+)"
)

Q = load_queries("postgres")


def start_snapshot(connection: psycopg.Connection[Any]) -> None:
    """Make the transaction that was just begun a read-only snapshot whose walks follow indexes."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
        connection.execute(f"SET LOCAL {setting} = off".encode())


class PostgresSnapshot:
    """A Snapshot over a connection on which `start_snapshot` was called."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
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
        """Tables and indexes that are missing or not in force, pages whose checksum failed, the migrations."""
        there = {name for (name,) in self._walk("check_relations")}
        for name in sorted(_relations() - there):
            yield f"the table or index ticketfeed.{name} is missing"
        for (name,) in self._walk("check_indexes"):
            yield f"the index ticketfeed.{name} is not valid; make it anew with REINDEX"
        for (failures,) in self._walk("check_checksums"):
            if failures:
                yield f"PostgreSQL has counted {failures} pages of this database whose checksum failed"
        yield from self.migration_faults()

    def risks(self) -> Iterator[str]:
        for name, value in self._walk("risky_settings"):
            yield f"PostgreSQL runs with {name} = {value}: what was acknowledged may be lost in a crash"

    def migration_faults(self) -> Iterator[str]:
        return migration_faults("postgres", list(self._walk("check_migrations")))

    def _walk(self, name: str, account: Account | None = None, more: Mapping[str, Any] = {}) -> Iterator[Any]:
        """XX: the server met data or an index that it cannot read. Other errors are those of the connection."""
        bindings = {"account_id": account.account_id, **more} if account else None
        try:
            with self._connection.transaction(), self._connection.cursor(name) as cursor:
                cursor.itersize = ROWS_A_TRIP
                yield from cursor.execute(Q[name].encode(), bindings, binary=True)
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] != "XX":
                raise
            raise StoreError(str(error).partition("\n")[0]) from error


def _relations() -> set[str]:
    """The tables and indexes that all migrations together leave."""
    names: set[str] = set()
    for _, _, sql in load_migrations("postgres"):
        for change in _CHANGES.finditer(sql):
            names -= {change["old"]}
            names.add(change["made"] or change["new"])
    return names
