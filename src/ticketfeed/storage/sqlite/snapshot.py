"""What SQLite says of itself, for the integrity check."""

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE
from ticketfeed.storage.queries import SQLITE, load_migrations, translate
from ticketfeed.storage.sql_snapshot import SqlSnapshot
from ticketfeed.storage.sqlite.session import QUERIES

__all__ = ["SqliteSnapshot"]

FILE_STEP_BYTES = 1 << 20
_FILE_SUFFIXES = {name + log for name in ("", "-sidecar") for log in ("", "-wal", "-journal")}


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

    def find_words(self, words: StoredWords) -> Iterator[tuple[int, str]]:
        """In the tables, where a row may be split over pages, and in the bytes of every file of the store."""
        yield from super().find_words(words)
        store = Path(self._connection.filename)
        for path in sorted(store.parent.glob(f"{glob.escape(store.name)}*")):
            if path.name.removeprefix(store.name) in _FILE_SUFFIXES:
                yield from ((number, f"file {path}, {places}") for number, places in _find_in_file(path, words))

    def _scan(self, sql: str, bindings: Mapping[str, Any]) -> Iterator[Any]:
        """In a read transaction no lock is waited for, so an error means that the file cannot be read."""
        try:
            yield from self._connection.execute(sql, bindings)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise StoreError(str(error)) from error


def _find_in_file(path: Path, words: StoredWords) -> Iterator[tuple[int, str]]:
    """(number, where) of each word that the file contains."""
    places: dict[int, set[int]] = {}
    with path.open("rb") as file:
        at, rest = 0, b""
        while data := file.read(FILE_STEP_BYTES):
            data = rest + data
            for number, place in words.find(data):
                places.setdefault(number, set()).add(at - len(rest) + place)
            at += len(data) - len(rest)
            rest = data[-words.bytes_max :]
    for number, found in sorted(places.items()):
        yield number, f"byte {min(found):,}" + (f" and {len(found) - 1:,} more places" if len(found) > 1 else "")


def _expected_schema() -> set[Any]:
    connection = apsw.Connection(":memory:")
    try:
        connection.execute(translate(SQLITE, CREATE_MIGRATION_TABLE))
        for _, _, sql in load_migrations("sqlite"):
            connection.execute(sql)
        return set(connection.execute(QUERIES["list_schema"]))
    finally:
        connection.close()
