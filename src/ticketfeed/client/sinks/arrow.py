"""Rows as Arrow batches: the form in which Parquet, DuckDB and dlt take them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from ticketfeed.client.sinks.columns import Column, Kind, Row

__all__ = ["arrow_batch", "arrow_schema", "chunks"]

_TIME = pa.timestamp("us", tz="UTC")
_TYPES = {
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIME: _TIME,
    Kind.INTEGERS: pa.list_(pa.int64()),
    Kind.TEXTS: pa.list_(pa.string()),
    Kind.JSON: pa.string(),
}
_CHUNK_RECORDS = 1000
_CHUNK_BYTES = 32_000_000


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([(column.name, _TYPES[column.kind]) for column in columns])


def arrow_batch(columns: Sequence[Column], rows: Sequence[Row]) -> pa.RecordBatch:
    """All rows in one batch."""
    cells: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_array(column.kind, values) for column, values in zip(columns, cells, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(columns))


def _array(kind: Kind, values: Sequence[Any]) -> pa.Array:
    if kind is Kind.TIME:
        return pa.array(values, pa.string()).cast(_TIME)
    return pa.array(values, _TYPES[kind])


def chunks(records: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Some records at a time: bounded in number and size, so that no batch is larger than Arrow or memory takes."""
    chunk: list[bytes] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record)
        if len(chunk) == _CHUNK_RECORDS or size > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
