"""Parquet files by which a target grows. A row is superseded by any row of the same id in a newer part.

Within a part every id is there once, in its latest state. Rows are read, filtered and written some at a time, so that
memory does not grow with their number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ticketfeed.atomic_file import sync
from ticketfeed.client.sinks.arrow import arrow_schema
from ticketfeed.client.sinks.columns import Column, Kind
from ticketfeed.client.sinks.rows import Key, StreamRows

__all__ = [
    "PART_ROWS",
    "Part",
    "PartWriter",
    "StoredPart",
    "alive_rows",
    "copy_rows",
    "positions_of",
    "read_part",
    "with_columns",
]

PART_ROWS = 100_000
# Read at once.
_BATCH_ROWS = 2000
_BATCH_BYTES = 4_000_000
# A row group is held in memory until it is written.
_GROUP_ROWS = 25_000
_GROUP_BYTES = 8_000_000
# The smallest and largest value of a column in each row group stay in memory until the file ends; texts may be long.
_KINDS_WITH_STATISTICS = (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.TIME)
_OPTIONS = {"compression": "zstd", "compression_level": 1, "version": "2.6"}


@dataclass(frozen=True, slots=True)
class Part:
    """The entry of a part in the manifest: its file, rows, columns, deleted tickets, smallest and largest key."""

    file: str
    rows: int
    columns: int
    deleted: int
    first: Key
    last: Key


@dataclass(frozen=True, slots=True)
class StoredPart:
    part: Part
    path: Path

    def meets(self, other: "StoredPart") -> bool:
        """Whether the two can have a key in common."""
        one, two = self.part, other.part
        return one.first <= two.last and two.first <= one.last  # type: ignore[operator] # of one stream: of one type


class PartWriter:
    """Writes batches to one file after another, each durable when complete. `name` gives the path of the next."""

    def __init__(
        self,
        rows: StreamRows,
        name: Callable[[], Path],
        rows_max: int | None,
        metadata: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.parts: list[StoredPart] = []
        self._rows, self._name, self._rows_max = rows, name, rows_max
        self._schema = arrow_schema(rows.columns).with_metadata(metadata)
        self._path: Path | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        while batch.num_rows:
            if self._writer is None:
                self.begin()
            room = batch.num_rows if self._rows_max is None else self._rows_max - self._count
            head, batch = batch.slice(0, room), batch.slice(room)
            self._group.append(head)
            self._count += head.num_rows
            self._note(head)
            if sum(part.num_rows for part in self._group) >= _GROUP_ROWS or _bytes(self._group) >= _GROUP_BYTES:
                self._write_group()
            if self._count == self._rows_max:
                self.close()

    def begin(self) -> None:
        """Begin a file now: otherwise there is none without rows."""
        self._path = self._name()
        statistics = [column.name for column in self._rows.columns if column.kind in _KINDS_WITH_STATISTICS]
        self._writer = pq.ParquetWriter(self._path, self._schema, write_statistics=statistics, **_OPTIONS)
        self._group: list[pa.RecordBatch] = []
        self._count = self._deleted = 0
        self._bounds: list[Any] = []

    def _write_group(self) -> None:
        assert self._writer
        if self._group:
            self._writer.write_table(pa.Table.from_batches(self._group))
            self._group = []
            pa.default_memory_pool().release_unused()

    def _note(self, batch: pa.RecordBatch) -> None:
        bounds = pc.min_max(batch.column(self._rows.key.name)).as_py()
        found = [*self._bounds, bounds["min"], bounds["max"]]
        self._bounds = [min(found), max(found)]
        deleted = _deleted(batch)
        self._deleted += 0 if deleted is None else pc.sum(deleted).as_py() or 0

    def close(self) -> None:
        if self._writer is None or self._path is None:
            return
        self._write_group()
        self._writer.close()
        self._writer = None
        sync(self._path)
        first, last = self._bounds or (0, 0)
        part = Part(self._path.name, self._count, len(self._schema), self._deleted, first, last)
        self.parts.append(StoredPart(part, self._path))


def copy_rows(
    part: StoredPart, newer: Sequence[StoredPart], rows: StreamRows, *, drop_deleted: bool
) -> Iterator[pa.RecordBatch]:
    """The rows of a part that no newer part supersedes, with all columns that the stream has now."""
    alive = alive_rows(part, newer, rows)
    start = 0
    with pq.ParquetFile(part.path) as file:
        for batch in _batches(file):
            if alive is not None:
                mask, start = alive.slice(start, batch.num_rows), start + batch.num_rows
                batch = batch.filter(mask)
            deleted = _deleted(batch) if drop_deleted else None
            if deleted is not None:
                batch = batch.filter(pc.invert(deleted))
            yield with_columns(batch, rows.columns)


def _batches(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        rows = min(_BATCH_ROWS, max(1, group.num_rows * _BATCH_BYTES // max(1, group.total_byte_size)))
        yield from file.iter_batches(rows, row_groups=[number], columns=columns, use_threads=False)


def _bytes(batches: Sequence[pa.RecordBatch]) -> int:
    return sum(batch.nbytes for batch in batches)


def alive_rows(part: StoredPart, newer: Sequence[StoredPart], rows: StreamRows) -> pa.BooleanArray | None:
    """For each row, whether no newer part has its key; None when that is so for all."""
    alive, keys = None, None
    for other in newer:
        if part.meets(other):
            keys = _keys(part, rows) if keys is None else keys
            mask = pc.invert(pc.is_in(keys, value_set=_keys(other, rows)))
            alive = mask if alive is None else pc.and_(alive, mask)
    return None if alive is None or pc.all(alive).as_py() else alive


def _keys(part: StoredPart, rows: StreamRows) -> pa.Array:
    return pq.read_table(part.path, columns=[rows.key.name], use_threads=False).column(0).combine_chunks()


def _deleted(batch: pa.RecordBatch) -> pa.BooleanArray | None:
    if "generated_timestamp" not in batch.schema.names:  # tickets alone have it, and are deleted in this way
        return None
    return pc.fill_null(pc.equal(batch.column("status"), "deleted"), False)


def with_columns(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """The same rows with columns that came later, null in each."""
    found, schema = batch.schema.names, arrow_schema(columns)
    if len(found) == len(columns):
        return batch
    arrays = [
        batch.column(field.name) if field.name in found else pa.nulls(batch.num_rows, field.type) for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def read_part(path: Path, rows: StreamRows) -> StoredPart:
    """The entry that a manifest would have for a file."""
    with pq.ParquetFile(path) as file:
        columns, count = len(file.schema_arrow), file.metadata.num_rows
    bounds = pc.min_max(pq.read_table(path, columns=[rows.key.name]).column(0)).as_py()
    return StoredPart(Part(path.name, count, columns, 0, bounds["min"] or 0, bounds["max"] or 0), path)


def positions_of(path: Path) -> Iterator[tuple[int, int]]:
    """(id, generated_timestamp) of each row."""
    with pq.ParquetFile(path) as file:
        for batch in _batches(file, ["id", "generated_timestamp"]):
            yield from zip(batch.column("id").to_pylist(), batch.column("generated_timestamp").to_pylist(), strict=True)
