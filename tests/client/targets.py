"""Every target of an export, and what is in it, read by the libraries of its readers and not by ours."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import duckdb
import pyarrow as pa
import pyarrow.dataset as pd
import pyarrow.parquet as pq
import zstandard

from ticketfeed.client.sinks import SinkOptions
from ticketfeed.client.sinks.columns import Kind, table_of

__all__ = ["APPENDING", "KEYED", "TARGETS", "Target"]

_DEFAULTS = SinkOptions()


@dataclass(frozen=True, slots=True)
class Target:
    """`read` gives the records of a stream, put together again from what is stored; `cells` a column by its name."""

    name: str
    ending: str
    keyed: bool
    read: Callable[[Path, str], list[Any]]
    cells: Callable[[Path, str, str], list[Any]] | None = None
    several: bool = False
    options: SinkOptions = _DEFAULTS

    def path(self, folder: Path) -> str:
        return f"{folder}/tickets{self.ending}"


def _lines(data: bytes) -> list[Any]:
    assert not data or data.endswith(b"\n"), data[-100:]
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def _read_zst(path: Path) -> bytes:
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()


def _read_csv(data: bytes, stream: str) -> list[Any]:
    """Null is nothing, an empty text is two quotes; the csv module sees no difference, so cells are found by hand."""
    table = table_of(stream)
    [header, *rows] = _csv_rows(data.decode())
    assert header == table.names
    kinds = [column.kind for column in table.columns]
    records = []
    for row in rows:
        assert len(row) == len(kinds)
        records.append(json.loads(table.record([_typed(kind, cell) for kind, cell in zip(kinds, row, strict=True)])))
    csv.field_size_limit(2**30)
    plain = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert [[cell or "" for cell in row] for row in rows] == plain[1:], "another reader would see other cells"
    return records


def _csv_rows(text: str) -> Iterator[list[str | None]]:
    row: list[str | None] = []
    at = 0
    while at < len(text):
        if text[at] == '"':
            end = at + 1
            while text[end] != '"' or text[end : end + 2] == '""':
                end += 2 if text[end] == '"' else 1
            row.append(text[at + 1 : end].replace('""', '"'))
            end += 1
        else:
            end = min(place for place in (text.find(",", at), text.find("\n", at)) if place >= 0)
            row.append(text[at:end] or None)
        if text[end] == "\n":
            yield row
            row = []
        elif text[end + 1] == "\n":  # an empty cell at the end of a line
            row.append(None)
            yield row
            row = []
            end += 1
        at = end + 1


def _typed(kind: Kind, cell: str | None) -> Any:
    if cell is None:
        return None
    if kind is Kind.INTEGER:
        return int(cell)
    if kind is Kind.BOOLEAN:
        return {"true": True, "false": False}[cell]
    return json.loads(cell) if kind in (Kind.INTEGERS, Kind.TEXTS) else cell


def _read_sqlite(path: Path, stream: str) -> list[Any]:
    table = table_of(stream)
    names = ", ".join(f'"{name}"' for name in table.names)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    records = []
    for row in connection.execute(f"SELECT {names} FROM {stream} ORDER BY rowid"):
        values = []
        for column, cell in zip(table.columns, row, strict=True):
            if column.kind is Kind.BOOLEAN and cell is not None:
                cell = {0: False, 1: True}[cell]
            values.append(json.loads(cell) if cell and column.kind in (Kind.INTEGERS, Kind.TEXTS) else cell)
        records.append(json.loads(table.record(values)))
    connection.close()
    return records


def _sqlite_cells(path: Path, stream: str, name: str) -> list[Any]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = [cell for (cell,) in connection.execute(f'SELECT "{name}" FROM {stream} ORDER BY id')]
    connection.close()
    return found


def _from_arrow(found: pa.Table, stream: str) -> list[Any]:
    table = table_of(stream)
    columns = {}
    for column in table.columns:
        cells = found.column(column.name)
        if column.kind is Kind.TIME:
            assert cells.type == pa.timestamp("us", tz="UTC")
            cells = pa.chunked_array([[time and time.isoformat() for time in cells.to_pylist()]], pa.string())
        columns[column.name] = cells.to_pylist()
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    for row in rows:
        for place, column in enumerate(table.columns):
            if column.kind is Kind.TIME and row[place]:
                row[place] = row[place].replace("+00:00", "Z")
    return [json.loads(table.record(row)) for row in rows]


def _duckdb_table(path: Path, stream: str) -> pa.Table:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"SELECT * FROM {stream} ORDER BY rowid").to_arrow_table()


def _dataset(path: Path, stream: str) -> pa.Table:
    assert not (path / "_work").exists()
    files = sorted((path / stream).glob("*"))
    assert all(file.name.startswith("part-") for file in files), files
    return pd.dataset(files, format="parquet").to_table() if files else pa.table({})


def _singer(data: bytes, stream: str) -> list[Any]:
    table, records = table_of(stream), []
    for message in _lines(data):
        if message["type"] == "RECORD" and message["stream"] == stream:
            assert list(message["record"]) == table.names
            records.append(json.loads(table.record(list(message["record"].values()))))
    return records


_NDJSON_FOLDER = SinkOptions(format="ndjson")
TARGETS = [
    Target("ndjson", ".ndjson", False, lambda path, _: _lines(path.read_bytes())),
    Target("ndjson.gz", ".ndjson.gz", False, lambda path, _: _lines(gzip.decompress(path.read_bytes()))),
    Target("ndjson.zst", ".ndjson.zst", False, lambda path, _: _lines(_read_zst(path))),
    Target("csv", ".csv", False, lambda path, stream: _read_csv(path.read_bytes(), stream)),
    Target("csv.gz", ".csv.gz", False, lambda path, stream: _read_csv(gzip.decompress(path.read_bytes()), stream)),
    Target(
        "ndjson folder",
        "/",
        False,
        lambda path, stream: _lines((path / stream / "part-00001.ndjson").read_bytes()),
        several=True,
        options=_NDJSON_FOLDER,
    ),
    Target(
        "parquet",
        ".parquet",
        True,
        lambda path, stream: _from_arrow(pq.ParquetFile(path).read(), stream),
        lambda path, _, name: pq.ParquetFile(path).read().sort_by("id").column(name).to_pylist(),
    ),
    Target(
        "folder",
        "/",
        True,
        lambda path, stream: _from_arrow(_dataset(path, stream), stream),
        lambda path, stream, name: _dataset(path, stream).sort_by("id").column(name).to_pylist(),
        several=True,
    ),
    Target(
        "duckdb",
        ".duckdb",
        True,
        lambda path, stream: _from_arrow(_duckdb_table(path, stream), stream),
        lambda path, stream, name: _duckdb_table(path, stream).sort_by("id").column(name).to_pylist(),
        several=True,
    ),
    Target("sqlite", ".sqlite", True, _read_sqlite, _sqlite_cells, several=True),
]
KEYED = [target for target in TARGETS if target.keyed]
APPENDING = [target for target in TARGETS if not target.keyed]


def latest(records: Sequence[Any], key: str = "id") -> list[Any]:
    """The last state of each id, in the order of these states."""
    found: dict[Any, Any] = {}
    for record in records:
        found.pop(record[key], None)
        found[record[key]] = record
    return list(found.values())
