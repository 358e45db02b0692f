"""Outputs of connectors: the tickets in a file, whatever program wrote it, recognised by its content.

NDJSON (also as pages, or as one JSON document), Singer messages, Airbyte messages, CSV, each also compressed; Parquet,
DuckDB, SQLite; and folders of such files.
"""

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ticketfeed.client.outputs_of_tables import read_duckdb, read_parquet, read_sqlite
from ticketfeed.client.outputs_of_text import read_csv, read_json
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.output_check import Output

__all__ = ["read_output"]

_HEAD_BYTES = 4096
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FORMATS = "NDJSON, Singer or Airbyte messages, CSV, Parquet, DuckDB and SQLite"
_UNREADABLE = (".json", ".lock")


def read_output(path: str) -> Output:
    """The tickets of a file, or of a folder of files. Raises BadInput if it is missing or has no tickets' format."""
    output = Output()
    found = Path(path)
    try:
        if not found.exists():
            raise BadInput(f"there is no output {path}")
        for file in _files(found) if found.is_dir() else [found]:
            _read_file(file, output)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    return output


def _files(folder: Path) -> Iterator[Path]:
    """The files of tickets: of a folder with one for each stream, that of the tickets."""
    own = folder / "tickets" if (folder / "tickets").is_dir() else folder
    for file in sorted(own.rglob("*")):
        hidden = any(part.startswith(("_", ".")) for part in file.relative_to(own).parts)
        if file.is_file() and not hidden and not file.name.endswith(_UNREADABLE) and file.stat().st_size:
            yield file


def _read_file(path: Path, output: Output) -> None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if reader := _table_reader(head):
            try:
                reader(path, output)
            except (ValueError, OverflowError) as error:  # a text that is not UTF-8, a time that Python does not have
                raise BadInput(f"{path} cannot be read: {error}") from None
            return
        file.seek(0)
        _read_text(path, _unpacked(path, file, head), output)


def _table_reader(head: bytes) -> Callable[[Path, Output], None] | None:
    if head.startswith(b"PAR1"):
        return read_parquet
    if head.startswith(b"SQLite format 3\x00"):
        return read_sqlite
    return read_duckdb if head[8:12] == b"DUCK" else None


def _unpacked(path: Path, file: BinaryIO, head: bytes) -> BinaryIO:
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if head.startswith(_ZSTD):
        try:
            import zstandard
        except ModuleNotFoundError:
            raise BadInput(f"{path} needs zstandard: pip install 'ticketfeed[export]'") from None
        reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(reader)
    return file


def _read_text(path: Path, file: BinaryIO, output: Output) -> None:
    """A file that ends inside a compressed block has a torn end, as a line that ends too early."""
    lines = _whole_lines(path, file, output)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    begin = first.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin[:1] in (b"{", b"["):
        read_json(path.name, first, lines, output)
    elif b"\x00" in first or not read_csv(path.name, first, lines, output):
        raise BadInput(f"{path} has none of the formats {_FORMATS}")


def _whole_lines(path: Path, file: BinaryIO, output: Output) -> Iterator[bytes]:
    try:
        yield from file
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        output.add_torn(f"{path.name}: {error}")
    except Exception as error:  # of zlib and zstandard, which have no common one
        if type(error).__module__ not in ("zlib", "zstandard"):
            raise
        output.add_torn(f"{path.name}: {error}")
