"""Read files of records one record at a time, in constant memory.

Three formats are accepted, plain or gzipped: NDJSON (a record or a saved page on each line), a JSON array, and a
saved page such as `{"tickets": [...], "after_url": ...}`, whose key names the kind of its records.
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

# A longer line is parsed incrementally, as a document.
LINE_BYTES_MAX = 16 * 1024 * 1024
# A longer value of a document is treated as malformed JSON.
VALUE_CHARS_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
# A number cut off by the end of a chunk can look complete, as 1 in `1e+`, if fewer characters than this follow it.
NUMBER_CUT_CHARS = 3
_GZIP_MAGIC = b"\x1f\x8b"
# isal's type stubs declare its error class as an instance.
_DAMAGED_GZIP = (cast(type[Exception], isal_zlib.error), igzip.BadGzipFile)


class InputRecord(NamedTuple):
    """A record of a file. `where`: file and line, for messages. `data`: its JSON; empty when there is an `error`."""

    where: tuple[str, int]
    kind: str
    data: bytes
    error: BadRecord | None = None


@contextmanager
def open_input(name: str, progress: Callable[[int], None] = lambda _count: None) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`, and decompress gzip. `progress` is called with the bytes read from disk.

    Raises BadInput, also for errors while the stream is read inside the `with` block.
    """
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as file:
            raw = io.BufferedReader(_ProgressFile(file, progress), CHUNK_BYTES)
            if raw.peek(2)[:2] == _GZIP_MAGIC:
                yield _decompress(raw)
            else:
                yield raw
    except IsADirectoryError:
        raise BadInput(f"{name} is a directory, not a file") from None
    except EOFError:
        raise BadInput(f"{name}: unexpected end of gzip data; the file is truncated") from None
    except _DAMAGED_GZIP as error:
        raise BadInput(f"{name}: corrupt gzip data: {error}") from None
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror or error}") from None


def _decompress(raw: Any) -> IO[bytes]:
    decompressed = igzip.IGzipFile(fileobj=raw)  # type: ignore[no-untyped-call]
    return cast(IO[bytes], io.BufferedReader(decompressed, CHUNK_BYTES))


def read_input(name: str, stream: IO[bytes], kind: str) -> Iterator[InputRecord]:
    """Yield the records of one file. `kind`: of records that are not in a saved page.

    An invalid line is yielded with its error. An invalid document raises BadInput: without line breaks between records
    there is no place to resume.
    """
    number, line = 1, stream.readline(LINE_BYTES_MAX).removeprefix(codecs.BOM_UTF8)
    while line.isspace():
        number, line = number + line.count(b"\n"), stream.readline(LINE_BYTES_MAX)
    if _starts_document(line):
        return _DocumentReader(name, number, line, stream).read(kind)
    return _read_lines(name, number, line, stream, kind)


def _starts_document(first: bytes) -> bool:
    text = first.strip()
    if text[:1] == b"[":
        return True
    # Pretty-printed JSON breaks its lines after one of these characters; a truncated record hardly ever ends in one.
    return text[:1] == b"{" and text[-1:] in b"{[,:"


def _read_lines(name: str, number: int, line: bytes, stream: IO[bytes], kind: str) -> Iterator[InputRecord]:
    while line:
        if len(line) >= LINE_BYTES_MAX:
            yield from _DocumentReader(name, number, line, stream).read(kind)
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
    """The keys of a saved page that hold records; none for a single record, which always has an id."""
    if "id" in values:
        return []
    return [key for key in values if key in PAGE_KEYS and bytes(values[key])[:1] == b"["]


class _DocumentReader:
    """Reads consecutive JSON values from a stream, regardless of line breaks."""

    def __init__(self, name: str, line: int, first: bytes, stream: IO[bytes]) -> None:
        self._name, self._stream = name, stream
        self._decode_text = codecs.getincrementaldecoder("utf-8")().decode
        # Numbers stay text: only their end matters here, and int() rejects very long ones.
        self._decode_json = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
        self._text, self._position, self._line, self._is_at_end = "", 0, line, False
        self._append(first)

    def read(self, kind: str) -> Iterator[InputRecord]:
        while self._peek():
            if self._peek() == "[":
                yield from self._array(kind)
            elif self._peek() == "{":
                yield from self._object(kind)
            else:
                raise self._error("expected a JSON object or array")

    def _array(self, kind: str) -> Iterator[InputRecord]:
        for _ in self._items("[", "]"):
            self._peek()  # skips to the line on which the record starts
            where = (self._name, self._line)
            yield from _read_line(where, self._value()[0].encode(), kind)

    def _object(self, kind: str) -> Iterator[InputRecord]:
        """A saved page is read key by key; any other object is one record."""
        others: list[tuple[str, str]] = []
        line, is_page = self._line, False
        for _ in self._items("{", "}"):
            key_text, key = self._value()
            self._expect(":")
            if key == "id" and is_page:
                raise self._error(
                    "found an id after a list of records: a record must start with its id, and a page must not have one"
                )
            if key in PAGE_KEYS and self._peek() == "[" and not any(name == "id" for name, _ in others):
                is_page = True
                yield from self._array(PAGE_KEYS[key])
            else:
                others.append((key, f"{key_text}:{self._value()[0]}"))
        if not is_page:
            record = "{" + ",".join(text for _, text in others) + "}"
            yield InputRecord((self._name, line), kind, record.encode())

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        """Yield before each item between the brackets."""
        self._expect(opening)
        if self._peek() != closing:
            yield
            while self._peek() == ",":
                self._expect(",")
                yield
        self._expect(closing)

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"expected {character!r}")
        self._position += 1

    def _value(self) -> tuple[str, Any]:
        """The next value, as text and decoded. Reads from the stream until the value is complete."""
        self._peek()
        while True:
            try:
                value, end = self._decode_json(self._text, self._position)
                if end > len(self._text) - NUMBER_CUT_CHARS and not self._is_at_end:
                    raise ValueError
            except (ValueError, RecursionError) as error:
                if self._is_at_end or isinstance(error, RecursionError):
                    raise self._error("not valid JSON") from None
                if len(self._text) - self._position > VALUE_CHARS_MAX:
                    raise self._error("not valid JSON, or a value that is too long") from None
                self._fill(len(self._text) - self._position)
                continue
            text = self._text[self._position : end]
            self._line += text.count("\n")
            self._position = end
            return text, value

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._position < len(self._text):
                char = self._text[self._position]
                if char not in " \t\r\n":
                    return char
                self._line += char == "\n"
                self._position += 1
            if self._is_at_end:
                return ""
            self._fill(0)

    def _fill(self, chars_min: int) -> None:
        """Read the next chunk. It is as long as the incomplete value so far, so that few reads complete a long one."""
        self._append(self._stream.read(max(CHUNK_BYTES, chars_min)))

    def _append(self, data: bytes) -> None:
        self._is_at_end = not data
        try:
            self._text = self._text[self._position :] + self._decode_text(data, self._is_at_end)
        except UnicodeDecodeError as error:
            self._line += self._text.count("\n", self._position) + data.count(b"\n", 0, error.start)
            raise self._error("not UTF-8 text") from None
        self._position = 0

    def _error(self, problem: str) -> BadInput:
        return BadInput(f"{self._name}, line {self._line}: {problem}")


class _ProgressFile(io.RawIOBase):
    """A file that reports the bytes read from it."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file, self._progress = file, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = cast(io.BufferedReader, self._file).readinto(buffer)
        self._progress(count)
        return count
