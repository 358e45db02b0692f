"""Files of records -> records one by one, in constant memory.

Three forms are read, plain or gzipped: NDJSON (a record or a saved page on each line), a JSON array, and a
saved page such as `{"tickets": [...], "after_url": ...}`, which says its kind by its key.
"""

import codecs
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec
from isal import igzip, isal_zlib

from ticketfeed.protocol.errors import BadInput, BadRecord
from ticketfeed.protocol.records import split_record
from ticketfeed.protocol.resources import PAGE_KEYS

__all__ = ["InputRecord", "open_input", "read_input"]

# A line longer than this is read piece by piece, as a document.
LINE_BYTES_MAX = 16 * 1024 * 1024
# One value of a document; a longer one is taken for broken JSON.
VALUE_CHARS_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
# A number that the end of a chunk cuts off can be followed by less than this, as 1 in `1e+`, and look whole.
NUMBER_CUT_CHARS = 3
_GZIP_MAGIC = b"\x1f\x8b"
# isal's type stubs take its error class for an instance.
_DAMAGED_GZIP = (cast(type[Exception], isal_zlib.error), igzip.BadGzipFile)


class InputRecord(NamedTuple):
    """`where` it stands, for messages; `data` is its JSON, or None when `error` says why there is none."""

    where: tuple[str, int]
    kind: str
    data: bytes
    error: BadRecord | None = None


@contextmanager
def open_input(name: str, progress: Callable[[int], None] = lambda _count: None) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`, and unpack gzip. `progress` is told the bytes read from disk.

    Raises BadInput, also for what goes wrong while the stream is being read inside the `with`.
    """
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            raw = io.BufferedReader(_Counted(file, progress), CHUNK_BYTES)
            if raw.peek(2)[:2] == _GZIP_MAGIC:
                yield _unzip(raw)
            else:
                yield raw
    except IsADirectoryError:
        raise BadInput(f"{name} is a folder, not a file") from None
    except EOFError:
        raise BadInput(f"{name}: the gzip data ends too early; the file is truncated") from None
    except _DAMAGED_GZIP as error:
        raise BadInput(f"{name}: damaged gzip data: {error}") from None
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror or error}") from None


def _unzip(raw: Any) -> IO[bytes]:
    unzipped = igzip.IGzipFile(fileobj=raw)  # type: ignore[no-untyped-call]
    return cast(IO[bytes], io.BufferedReader(unzipped, CHUNK_BYTES))


def read_input(name: str, stream: IO[bytes], kind: str) -> Iterator[InputRecord]:
    """The records of one input. `kind` is that of records that do not say their own.

    A bad line is yielded with its error; a document that is not JSON ends in BadInput, as its rest has no seam.
    """
    number, line = 1, stream.readline(LINE_BYTES_MAX).removeprefix(codecs.BOM_UTF8)
    while line.isspace():
        number, line = number + line.count(b"\n"), stream.readline(LINE_BYTES_MAX)
    if _begins_document(line):
        return _Document(name, number, line, stream).read(kind)
    return _read_lines(name, number, line, stream, kind)


def _begins_document(first: bytes) -> bool:
    text = first.strip()
    if text[:1] == b"[":
        return True
    # Pretty-printed JSON breaks its lines behind one of these; a record that was cut off hardly ever does.
    return text[:1] == b"{" and text[-1:] in b"{[,:"


def _read_lines(name: str, number: int, line: bytes, stream: IO[bytes], kind: str) -> Iterator[InputRecord]:
    while line:
        if len(line) >= LINE_BYTES_MAX:
            yield from _Document(name, number, line, stream).read(kind)
            return
        if not line.isspace():
            yield from _read_line((name, number), line.strip(), kind)
        number, line = number + 1, stream.readline(LINE_BYTES_MAX)


def _read_line(where: tuple[str, int], line: bytes, kind: str) -> Iterator[InputRecord]:
    try:
        values = split_record(line)
    except BadRecord as error:
        yield InputRecord(where, kind, b"", error)
        return
    pages = _pages(values)
    if not pages:
        yield InputRecord(where, kind, line)
    for key in pages:
        for record in msgspec.json.decode(values[key], type=list[msgspec.Raw]):
            yield InputRecord(where, PAGE_KEYS[key], bytes(record))


def _pages(values: dict[str, msgspec.Raw]) -> list[str]:
    """The keys under which a saved page holds records; empty for a record, which always has an id."""
    if "id" in values:
        return []
    return [key for key in values if key in PAGE_KEYS and bytes(values[key])[:1] == b"["]


class _Document:
    """JSON values read one after the other from a stream, whatever its line breaks."""

    def __init__(self, name: str, line: int, first: bytes, stream: IO[bytes]) -> None:
        self._name, self._stream = name, stream
        self._decode_text = codecs.getincrementaldecoder("utf-8")().decode
        # Numbers are left as text: only where they end matters here, and int() refuses very long ones.
        self._decode_json = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
        self._text, self._at, self._line, self._ended = "", 0, line, False
        self._append(first)

    def read(self, kind: str) -> Iterator[InputRecord]:
        while self._peek():
            if self._peek() == "[":
                yield from self._array(kind)
            elif self._peek() == "{":
                yield from self._object(kind)
            else:
                raise self._broken("expected a JSON object or array")

    def _array(self, kind: str) -> Iterator[InputRecord]:
        for _ in self._items("[", "]"):
            self._peek()  # to the line the record begins on
            where = (self._name, self._line)
            yield from _read_line(where, self._value()[0].encode(), kind)

    def _object(self, kind: str) -> Iterator[InputRecord]:
        """A saved page is walked key by key; any other object is one record."""
        others: list[tuple[str, str]] = []
        line, is_page = self._line, False
        for _ in self._items("{", "}"):
            key_text, key = self._value()
            self._take(":")
            if key == "id" and is_page:
                raise self._broken("an id behind a list of records; put the id first in a record, and none in a page")
            if key in PAGE_KEYS and self._peek() == "[" and not any(name == "id" for name, _ in others):
                is_page = True
                yield from self._array(PAGE_KEYS[key])
            else:
                others.append((key, f"{key_text}:{self._value()[0]}"))
        if not is_page:
            record = "{" + ",".join(text for _, text in others) + "}"
            yield InputRecord((self._name, line), kind, record.encode())

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        """Stops before each item between the brackets."""
        self._take(opening)
        if self._peek() != closing:
            yield
            while self._peek() == ",":
                self._take(",")
                yield
        self._take(closing)

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._broken(f"expected {wanted!r}")
        self._at += 1

    def _value(self) -> tuple[str, Any]:
        """The next value, as text and decoded. Reads on until it is whole."""
        self._peek()
        while True:
            try:
                value, end = self._decode_json(self._text, self._at)
                if end > len(self._text) - NUMBER_CUT_CHARS and not self._ended:
                    raise ValueError
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise self._broken("not valid JSON") from None
                if len(self._text) - self._at > VALUE_CHARS_MAX:
                    raise self._broken("not valid JSON, or one value is too long") from None
                self._fill(len(self._text) - self._at)
                continue
            text = self._text[self._at : end]
            self._line += text.count("\n")
            self._at = end
            return text, value

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._at < len(self._text):
                char = self._text[self._at]
                if char not in " \t\r\n":
                    return char
                self._line += char == "\n"
                self._at += 1
            if self._ended:
                return ""
            self._fill(0)

    def _fill(self, chars_min: int) -> None:
        """Forget what was read, and read at least as much again as is held of an unfinished value."""
        self._append(self._stream.read(max(CHUNK_BYTES, chars_min)))

    def _append(self, data: bytes) -> None:
        self._ended = not data
        try:
            self._text = self._text[self._at :] + self._decode_text(data, self._ended)
        except UnicodeDecodeError as error:
            self._line += self._text.count("\n", self._at) + data.count(b"\n", 0, error.start)
            raise self._broken("not UTF-8 text") from None
        self._at = 0

    def _broken(self, why: str) -> BadInput:
        return BadInput(f"{self._name}, line {self._line}: {why}")


class _Counted(io.RawIOBase):
    """A file that tells how much was read of it."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = cast(io.BufferedReader, self._file).readinto(buffer)
        self._progress(count)
        return count
