"""SQLite: a table for each stream, keyed by id, and the manifest in `_ticketfeed`; one transaction for a write."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from ticketfeed.client.sinks.columns import Kind
from ticketfeed.client.sinks.contract import Batch, Checkpoint, ClosingSink, SinkOptions
from ticketfeed.client.sinks.durable import lock_file, translated
from ticketfeed.client.sinks.manifest import Manifest, layout_of
from ticketfeed.client.sinks.rows import Key, StreamRows, lists_as_text
from ticketfeed.protocol.errors import BadInput, TargetError

__all__ = ["SqliteSink"]

_BUSY_SECONDS = 5.0
# A ticket takes 2 to 3 KB; with the default pages of 4 KB, one in two would need an overflow page.
_PAGE_BYTES = 16384
_TYPES = {
    **dict.fromkeys(Kind, "TEXT"),
    Kind.INTEGER: "INTEGER",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.NUMBER: "REAL",
}


class SqliteSink(ClosingSink):
    def __init__(self, target: str, streams: Sequence[str], options: SinkOptions) -> None:
        self._target, self._streams, self._options = target, streams, options
        self._connection: apsw.Connection | None = None
        self._manifest: Manifest | None = None
        self._locks = contextlib.ExitStack()
        self._rows: dict[str, StreamRows] = {}

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        wanted = Manifest.new(layout_of("sqlite", self._options), identity)
        with self._translated():
            self._hold()
            self._connection = connection = apsw.Connection(self._target)
            connection.set_busy_timeout(round(_BUSY_SECONDS * 1000))
            if connection.execute("SELECT count(*) FROM sqlite_master").get == 0:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            else:
                self._held().check(wanted, self._target)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            with self._transaction():
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS _ticketfeed (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
                )
                if not connection.execute("SELECT count(*) FROM _ticketfeed").get:
                    self._store(wanted)
                self._manifest = manifest = self._held()
                for stream in self._streams:
                    self._rows[stream] = StreamRows(stream, self._options, manifest.details.get("custom_fields"))
                    self._create(self._rows[stream])
        return manifest.checkpoint

    def _hold(self) -> None:
        """Lock the file against a second run. Readers may open it meanwhile."""
        path = Path(f"{self._target}.lock")
        self._locks.callback(os.close, lock_file(path, self._target))
        self._locks.callback(path.unlink)

    def _held(self) -> Manifest:
        assert self._connection
        try:
            text = self._connection.execute("SELECT value FROM _ticketfeed WHERE name = 'manifest'").get
        except apsw.SQLError:
            text = None
        if not isinstance(text, str):
            raise BadInput(f"{self._target} is a database of another program; choose another target")
        return Manifest.decode(text, self._target)

    def _store(self, manifest: Manifest) -> None:
        assert self._connection
        text = manifest.encode().decode()
        self._connection.execute("INSERT OR REPLACE INTO _ticketfeed VALUES ('manifest', ?)", (text,))

    def _create(self, rows: StreamRows) -> None:
        assert self._connection
        spelled = ", ".join(
            f"{_quote(column.name)} {_TYPES[column.kind]}{' PRIMARY KEY' if column == rows.key else ''}"
            for column in rows.columns
        )
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {_quote(rows.stream)} ({spelled})")

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> set[Key]:
        assert self._manifest
        assert self._connection
        held: set[Key] = set()
        with self._translated(), self._transaction():
            for batch in batches:
                held |= self._write(batch)
            fields = {name: kind for rows in self._rows.values() for name, kind in rows.fields.items()}
            manifest = self._manifest.at(checkpoint, custom_fields=fields)
            self._store(manifest)
        self._manifest = manifest
        return held

    def _write(self, batch: Batch) -> set[Key]:
        """The ids of tickets that were there before."""
        assert self._connection
        rows, table = self._rows[batch.stream], _quote(batch.stream)
        known = len(rows.columns)
        latest = rows.latest(batch.records)
        for column in rows.columns[known:]:
            self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {_quote(column.name)} {_TYPES[column.kind]}")
        held = self._held_of(latest) if rows.is_tickets else set()
        gone = [(key,) for key, row in latest.items() if row is None]
        self._connection.executemany(f"DELETE FROM {table} WHERE {_quote(rows.key.name)} = ?", gone)
        marks = ", ".join("?" * len(rows.columns))
        present = [row for row in latest.values() if row is not None]
        self._connection.executemany(
            f"INSERT OR REPLACE INTO {table} VALUES ({marks})", lists_as_text(rows.columns, present)
        )
        return held

    def _held_of(self, ids: Iterable[Key]) -> set[Key]:
        assert self._connection
        text = msgspec.json.encode(list(ids)).decode()
        query = "SELECT id FROM tickets WHERE id IN (SELECT value FROM json_each(?))"
        return {id for (id,) in self._connection.execute(query, (text,))}

    def finish(self, checkpoint: Checkpoint) -> None:
        self.write((), checkpoint)

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:
        assert self._connection
        with self._translated():
            yield from self._connection.execute(f"SELECT id, generated_timestamp FROM {_quote(stream)}")

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):  # one file, unless it is being read just now
                connection.set_busy_timeout(0)
                connection.execute("PRAGMA journal_mode = DELETE")
            connection.close()
        self._locks.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        assert self._connection
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated(self._target):
                yield
        except apsw.NotADBError:
            raise BadInput(f"{self._target} is no SQLite database; choose another target") from None
        except apsw.Error as error:
            raise TargetError(f"{self._target} cannot be written: {_explain(error)}") from error


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _explain(error: apsw.Error) -> str:
    reasons: dict[type[apsw.Error], str] = {
        apsw.BusyError: "it is locked by another program",
        apsw.LockedError: "it is locked by another program",
        apsw.FullError: "the disk is full",
        apsw.ReadOnlyError: "it may only be read",
        apsw.CantOpenError: "it cannot be opened: is its folder there, and may it be written?",
        apsw.IOError: "the disk is full, or reports an error",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), str(error))
