"""DuckDB: a table for each stream, keyed by id, and the manifest in `_ticketfeed`; one transaction for a write.

The tables have no primary key: DuckDB's index would have to fit into memory, and finding a page's ids by a scan of one
compressed column is quicker than keeping it up.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb

from ticketfeed.client.sinks.arrow import arrow_batch, chunks
from ticketfeed.client.sinks.columns import Kind
from ticketfeed.client.sinks.contract import Batch, Checkpoint, ClosingSink, SinkOptions
from ticketfeed.client.sinks.manifest import Manifest, layout_of
from ticketfeed.client.sinks.rows import Key, StreamRows
from ticketfeed.protocol.errors import BadInput, TargetError

__all__ = ["DuckdbSink"]

# One writer, a page at a time: more threads and memory bring nothing, but a write must fit.
_MEMORY_BYTES = 24_000_000
_MEMORY_FOR_WRITE = 4
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": f"{_MEMORY_BYTES}B",
    "preserve_insertion_order": False,
}
_TYPES = {
    Kind.INTEGER: "BIGINT",
    Kind.NUMBER: "DOUBLE",
    Kind.TEXT: "VARCHAR",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.TIME: "TIMESTAMPTZ",
    Kind.INTEGERS: "BIGINT[]",
    Kind.TEXTS: "VARCHAR[]",
    # Its type JSON refuses some texts of the wire, as unpaired surrogates; its JSON functions take VARCHAR as well.
    Kind.JSON: "VARCHAR",
}


class DuckdbSink(ClosingSink):
    def __init__(self, target: str, streams: Sequence[str], options: SinkOptions) -> None:
        self._target, self._streams, self._options = target, streams, options
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._manifest: Manifest | None = None
        self._rows: dict[str, StreamRows] = {}
        self._largest = 0

    def open(self, identity: Mapping[str, Any]) -> Checkpoint | None:
        wanted = Manifest.new(layout_of("duckdb", self._options), identity)
        with self._translated():
            self._connection = connection = duckdb.connect(self._target, config=_SETTINGS)
            with self._transaction():
                if self._tables():
                    manifest = self._held()
                    manifest.check(wanted, self._target)
                else:
                    connection.execute("CREATE TABLE _ticketfeed (name VARCHAR, value VARCHAR)")
                    connection.execute("INSERT INTO _ticketfeed VALUES ('manifest', ?)", [wanted.encode().decode()])
                    manifest = wanted
                for stream in self._streams:
                    self._rows[stream] = StreamRows(stream, self._options, manifest.details.get("custom_fields"))
                    self._create(self._rows[stream])
        self._manifest = manifest
        return manifest.checkpoint

    def _tables(self) -> list[str]:
        assert self._connection
        return [name for (name,) in self._connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]

    def _held(self) -> Manifest:
        assert self._connection
        found = None
        if "_ticketfeed" in self._tables():
            found = self._connection.execute("SELECT value FROM _ticketfeed WHERE name = 'manifest'").fetchone()
        if found is None:
            raise BadInput(f"{self._target} is a database of another program; choose another target")
        return Manifest.decode(found[0], self._target)

    def _create(self, rows: StreamRows) -> None:
        assert self._connection
        spelled = ", ".join(f"{_quote(column.name)} {_TYPES[column.kind]}" for column in rows.columns)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {_quote(rows.stream)} ({spelled})")

    def write(self, batches: Sequence[Batch], checkpoint: Checkpoint) -> set[Key]:
        assert self._manifest
        assert self._connection
        size = sum(len(record) for batch in batches for record in batch.records)
        with self._translated():
            if size > self._largest:
                self._connection.execute(f"SET memory_limit = '{_MEMORY_BYTES + _MEMORY_FOR_WRITE * size}B'")
                self._largest = size
        held: set[Key] = set()
        with self._translated(), self._transaction():
            for batch in batches:
                for records in chunks(batch.records):
                    found = self._write(self._rows[batch.stream], records)
                    held |= found if self._rows[batch.stream].is_tickets else set()
            fields = {name: kind for rows in self._rows.values() for name, kind in rows.fields.items()}
            manifest = self._manifest.at(checkpoint, custom_fields=fields)
            self._connection.execute(
                "UPDATE _ticketfeed SET value = ? WHERE name = 'manifest'", [manifest.encode().decode()]
            )
        self._manifest = manifest
        return held

    def _write(self, rows: StreamRows, records: Sequence[bytes]) -> set[Key]:
        """The keys that were there before."""
        assert self._connection
        table, key = _quote(rows.stream), _quote(rows.key.name)
        known = len(rows.columns)
        latest = rows.latest(records)
        for column in rows.columns[known:]:
            self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {_quote(column.name)} {_TYPES[column.kind]}")
        keys = arrow_batch([rows.key], [[key] for key in latest])
        page = arrow_batch(rows.columns, [row for row in latest.values() if row is not None])
        self._connection.register("_keys", keys)
        self._connection.register("_page", page)
        deleted = f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM _keys) RETURNING {key}"
        held = {key for (key,) in self._connection.execute(deleted).fetchall()}
        self._connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM _page")
        self._connection.unregister("_keys")
        self._connection.unregister("_page")
        return held

    def finish(self, checkpoint: Checkpoint) -> None:
        self.write((), checkpoint)

    def positions(self, stream: str) -> Iterator[tuple[int, int]]:
        assert self._connection
        with self._translated():
            cursor = self._connection.execute(f"SELECT id, generated_timestamp FROM {_quote(stream)}")
            while rows := cursor.fetchmany(10_000):
                yield from rows

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        assert self._connection
        self._connection.begin()
        try:
            yield
            self._connection.commit()
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # an error of the disk has ended it
                self._connection.rollback()
            raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            text = str(error).splitlines()[0]
            if "lock on file" in text:
                raise TargetError(f"{self._target} is in use by another program; end that first") from error
            if "not a valid DuckDB database" in text or "does not match" in text:
                raise BadInput(
                    f"{self._target} is no DuckDB database of a known version; choose another target"
                ) from error
            raise TargetError(f"{self._target} cannot be written: {text}") from error


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
