"""What SQLite says of itself, for the integrity check."""

from collections.abc import Iterator, Mapping
from typing import Any

import apsw

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE
from ticketfeed.storage.queries import SQLITE, load_migrations, translate
from ticketfeed.storage.sql_snapshot import SqlSnapshot
from ticketfeed.storage.sqlite.session import QUERIES

__all__ = ["SqliteSnapshot"]


class SqliteSnapshot(SqlSnapshot):
    """A Snapshot over a connection that is inside a read transaction."""

    queries = QUERIES

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def self_check(self) -> Iterator[str]:
        """SQLite's own check of every page and index; the tables as the migrations make them; the migrations."""
        for (text,) in self._query("check_pages"):  # one by one: it may fail after some findings
            if text != "ok":
                yield from (f"SQLite reports: {line}" for line in text.splitlines())
        found, expected = set(self._query("list_schema")), _expected_schema()
        for type_, name, _ in sorted(expected - found):
            yield f"the {type_} {name} is missing, or differs from the migrations"
        yield from self.migration_problems()

    def risks(self) -> Iterator[str]:
        (mode,) = self._values("journal_mode")
        if mode != "wal":
            yield f"the file is in journal mode {mode}, not WAL: readers and writers wait for each other"

    def _scan(self, sql: str, bindings: Mapping[str, Any]) -> Iterator[Any]:
        """In a read transaction no lock is waited for, so an error means that the file cannot be read."""
        try:
            yield from self._connection.execute(sql, bindings)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise StoreError(str(error)) from error


def _expected_schema() -> set[Any]:
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(translate(SQLITE, CREATE_MIGRATION_TABLE))
        for _, _, sql in load_migrations("sqlite"):
            connection.execute(sql)
        return set(connection.execute(QUERIES["list_schema"]))
    finally:
        connection.close()
