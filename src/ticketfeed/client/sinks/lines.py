"""Lines of an appending target: how a record becomes one, and what is read back from it."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import msgspec

from ticketfeed.client.sinks.columns import Kind, Row
from ticketfeed.client.sinks.contract import SinkOptions
from ticketfeed.client.sinks.rows import Key, StreamRows, is_deleted
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = ["CsvLines", "Lines", "NdjsonLines"]


class Lines(Protocol):
    """The lines of one stream."""

    # What a file begins with.
    header: bytes

    def encode(self, records: Sequence[bytes]) -> bytes:
        """The lines of some records."""

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The lines of a file, without the header."""

    def key(self, line: bytes) -> Key: ...

    def deleted(self, line: bytes) -> bool: ...

    def position(self, line: bytes) -> tuple[int, int]:
        """(id, generated_timestamp)"""


class _Position(msgspec.Struct):
    id: int
    generated_timestamp: int


_POSITION = msgspec.json.Decoder(_Position)


class NdjsonLines:
    """The bytes of each record as they came. Line ends between their tokens, which no text can hold, become spaces."""

    header = b""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._rows = StreamRows(stream, SinkOptions())

    def encode(self, records: Sequence[bytes]) -> bytes:
        joined = b"\n".join(records)
        if joined.count(b"\n") + 1 != len(records) or b"\r" in joined:
            joined = b"\n".join(record.replace(b"\n", b" ").replace(b"\r", b" ") for record in records)
        return joined + b"\n"

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        return iter(file)

    def key(self, line: bytes) -> Key:
        return self._rows.key_of(line)

    def deleted(self, line: bytes) -> bool:
        return is_deleted(self._stream, line)

    def position(self, line: bytes) -> tuple[int, int]:
        try:
            found = _POSITION.decode(line)
            return found.id, found.generated_timestamp
        except UNREADABLE:
            return self._rows.table.position(self._rows.table.row(line))


class CsvLines:
    """RFC 4180 with line feeds. Null is nothing, an empty text is `""`; lists and nested values are JSON text."""

    def __init__(self, stream: str) -> None:
        self._rows = StreamRows(stream, SinkOptions())
        self._kinds = [column.kind for column in self._rows.columns]
        self._status = self._rows.table.place("status") if stream == "tickets" else None
        self.header = ",".join(map(_quoted, self._rows.table.names)).encode() + b"\n"

    def encode(self, records: Sequence[bytes]) -> bytes:
        return b"".join(map(self._line, self._rows.rows(records)))

    def _line(self, row: Row) -> bytes:
        cells = ["" if cell is None else _CELLS[kind](cell) for kind, cell in zip(self._kinds, row, strict=True)]
        return ",".join(cells).encode() + b"\n"

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        lines = self._whole(file)
        next(lines, None)
        return lines

    @staticmethod
    def _whole(file: BinaryIO) -> Iterator[bytes]:
        """A quoted cell can go over several lines; its quotes are then even in number."""
        parts: list[bytes] = []
        for part in file:
            parts.append(part)
            if sum(part.count(b'"') for part in parts) % 2 == 0:
                yield b"".join(parts)
                parts = []

    def key(self, line: bytes) -> Key:
        cell = self._cells(line)[self._rows.table.key]
        if not cell:
            raise BadInput(f"a record of {self._rows.stream} has no usable {self._rows.key.name}")
        return int(cell) if self._rows.key.kind is Kind.INTEGER else cell

    def deleted(self, line: bytes) -> bool:
        return self._status is not None and self._cells(line)[self._status] == "deleted"

    def position(self, line: bytes) -> tuple[int, int]:
        return self._rows.table.position(self._cells(line))

    @staticmethod
    def _cells(line: bytes) -> list[str]:
        """Cells as text; null and empty are the same. (The csv module takes no cell above 128 KB.)"""
        found = _CELL.findall(line.decode().removesuffix("\n"))
        return [bare or quoted.replace('""', '"') for quoted, bare in found]


def _quoted(text: str) -> str:
    if text and not _TO_QUOTE.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _json(value: list[Any]) -> str:
    return _quoted(msgspec.json.encode(value).decode())


_CELL = re.compile('(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))')
_TO_QUOTE = re.compile('[",\n\r]|^\\s|\\s$')
_CELLS: dict[Kind, Callable[[Any], str]] = {
    **dict.fromkeys((Kind.TEXT, Kind.JSON), _quoted),
    **dict.fromkeys((Kind.INTEGER, Kind.TIME), str),
    Kind.BOOLEAN: lambda value: "true" if value else "false",
    **dict.fromkeys((Kind.INTEGERS, Kind.TEXTS), _json),
}
