"""Outputs of connectors as tables: Parquet, DuckDB and SQLite. Only the columns that are compared are read."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from ticketfeed.client.outputs_of_text import is_of_tickets
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.output_check import COMPARED_KEYS, Output, parse_output_ticket

__all__ = ["read_duckdb", "read_parquet", "read_sqlite"]


def read_parquet(path: Path, output: Output) -> None:
    """A Parquet file of tickets."""
    # Arrow's own allocator keeps what is freed for later. It is chosen when Arrow is loaded.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise _needs(path, error) from None
    try:
        with parquet.ParquetFile(path) as file:
            names = _compared(path, file.schema_arrow.names)
            for batch in file.iter_batches(columns=names):
                _add_rows(path, names, zip(*(column.to_pylist() for column in batch.columns), strict=True), output)
    except pyarrow.ArrowException as error:
        raise BadInput(f"{path} cannot be read: {error}") from None


def read_duckdb(path: Path, output: Output) -> None:
    """The table of tickets in a DuckDB database."""
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise _needs(path, error) from None
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            tables: list[Any] = connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables"
            ).fetchall()
            schema, table = _table(path, {name: (schema, name) for schema, name in tables})
            columns: list[Any] = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ?",
                (schema, table),
            ).fetchall()
            names = _compared(path, [name for (name,) in columns])
            rows = connection.execute(_select(names, f"{_quoted(schema)}.{_quoted(table)}"))
            while batch := rows.fetchmany(10_000):
                _add_rows(path, names, batch, output)
    except duckdb.Error as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def read_sqlite(path: Path, output: Output) -> None:
    """The table of tickets in an SQLite database."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
            table = _table(path, {str(name): str(name) for (name,) in found})
            columns = connection.execute(f"SELECT name FROM pragma_table_info({_literal(table)})").fetchall()
            names = _compared(path, [str(name) for (name,) in columns])
            _add_rows(path, names, connection.execute(_select(names, _quoted(table))), output)
        finally:
            connection.close()
    except apsw.Error as error:
        raise BadInput(f"{path} cannot be read: {error}") from None


def _table(path: Path, tables: dict[str, Any]) -> Any:
    """The table of tickets, or the only one."""
    own = {name: key for name, key in tables.items() if not name.startswith("_")}
    found = [key for name, key in sorted(own.items(), key=lambda each: len(each[0])) if is_of_tickets(name)]
    if not found and len(own) == 1:
        found = list(own.values())
    if not found:
        raise BadInput(f"{path} has no table of tickets; it has: {', '.join(sorted(own)) or 'none'}")
    return found[0]


def _compared(path: Path, names: Sequence[str]) -> list[str]:
    if "id" not in names:
        raise BadInput(f"{path} has no column id")
    return [name for name in names if name in COMPARED_KEYS]


def _add_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]], output: Output) -> None:
    for number, row in enumerate(rows, 1):
        output.add(f"row {number} of {path.name}", *parse_output_ticket(dict(zip(names, row, strict=True))))


def _select(names: Sequence[str], table: str) -> str:
    return f"SELECT {', '.join(map(_quoted, names))} FROM {table}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _needs(path: Path, error: ModuleNotFoundError) -> BadInput:
    return BadInput(f"{path} needs {error.name}: pip install 'ticketfeed[export]'")
