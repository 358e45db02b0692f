"""Read files of records one record at a time, in constant memory.

A file holds JSON values one after the other, plain or gzipped, whatever stands between them: line breaks, commas,
byte order marks, or nothing. What the records in a value are is decided in find_records.py.
"""

import codecs
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

from isal import igzip, isal_zlib

from ticketfeed.data.find_records import LIST_KEYS, InputRecord, PageReader, find_records
from ticketfeed.protocol.errors import BadInput, BadRecord
from ticketfeed.protocol.records import split_record

__all__ = ["InputRecord", "can_wait", "open_input", "read_input", "spool"]

# A longer line is parsed incrementally, as a document.
LINE_BYTES_MAX = 16 * 1024 * 1024
# A longer value of a document is treated as malformed JSON.
VALUE_CHARS_MAX = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
# A number cut off by the end of a chunk can look complete, as 1 in `1e+`, if fewer characters than this follow it.
NUMBER_CUT_CHARS = 3
_GZIP_MAGIC = b"\x1f\x8b"
# Characters that may stand between two values: white space, a comma, the record separator of RFC 7464, and the byte
# order mark of each file in one that was put together from several.
_SEPARATORS = " \t\r\n,\x1e\ufeff"
_BETWEEN = _SEPARATORS.encode()
# Numbers stay text: only their end matters here, and int() rejects very long ones.
_DECODE = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_UTF_16 = "this is UTF-16 or UTF-32 text, not UTF-8; convert it to UTF-8 first"
_FORMATS = {
    b"PK\x03\x04": "this is a zip file; unpack it first",
    b"PK\x05\x06": "this is an empty zip file",
    codecs.BOM_UTF16_LE: _UTF_16,
    codecs.BOM_UTF16_BE: _UTF_16,
    codecs.BOM_UTF32_BE: _UTF_16,
    b"\x28\xb5\x2f\xfd": "this is a zstd file; unpack it first",
    b"BZh": "this is a bzip2 file; unpack it first",
    b"\xfd7zXZ\0": "this is an xz file; unpack it first",
    b"7z\xbc\xaf\x27\x1c": "this is a 7z file; unpack it first",
    b"SQLite format 3\0": "this is an SQLite database, not JSON",
    b"PAR1": "this is a Parquet file, not JSON",
    b"Obj\x01": "this is an Avro file, not JSON",
    b"%PDF": "this is a PDF file, not JSON",
}
_CSV_HEADER = re.compile(rb"""["\w]["\w .#/()-]*(?:[,;\t]["\w .#/()-]*)+""")
# isal's type stubs declare its error class as an instance.
_DAMAGED_GZIP = (cast(type[Exception], isal_zlib.error), igzip.BadGzipFile)


def can_wait(name: str) -> bool:
    """Whether reading this file, or standard input for `-`, may wait for another process, as a pipe does.

    Raises BadInput.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode if name == "-" else Path(name).stat().st_mode
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror or error}") from None
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def spool(name: str, progress: Callable[[int], None] = lambda _count: None) -> Iterator[IO[bytes]]:
    """Copy an input that can wait into a temporary file, up to its end; it is deleted when the block ends.

    `progress` is called with the bytes read. Raises BadInput.
    """
    with tempfile.TemporaryFile() as file:
        try:
            with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as source:
                shutil.copyfileobj(_ProgressFile(source, progress), file, CHUNK_BYTES)
            file.seek(0)
        except OSError as error:
            raise BadInput(f"cannot copy {name} to {tempfile.gettempdir()}: {error.strerror or error}") from None
        yield file


@contextmanager
def open_input(
    name: str, progress: Callable[[int], None] = lambda _count: None, spooled: IO[bytes] | None = None
) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`, and decompress gzip. `progress` is called with the bytes read from disk.

    `spooled`: what was read of it already (`spool`). Raises BadInput, also for errors while the stream is read inside
    the `with` block.
    """
    try:
        with nullcontext(spooled or sys.stdin.buffer) if spooled or name == "-" else Path(name).open("rb") as file:
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


def read_input(name: str, stream: IO[bytes], kind: str | None) -> Iterator[InputRecord]:
    """Yield the records of one file. `kind`: of records that do not say what they are; None for what they look like.

    An invalid line is yielded with its error. An invalid document raises BadInput: without line breaks between records
    there is no place to resume. So does a file that is not JSON text at all.
    """
    number, line = 1, stream.readline(LINE_BYTES_MAX)
    _refuse_other_formats(name, line)
    line = line.removeprefix(codecs.BOM_UTF8)
    while line.isspace():
        number, line = number + line.count(b"\n"), stream.readline(LINE_BYTES_MAX)
    if line.strip()[:1] == b"[":
        yield from _DocumentReader(name, number, line, stream).read(kind)
        return
    while line:
        if len(line) >= LINE_BYTES_MAX or _is_continued(line):
            yield from _DocumentReader(name, number, line, stream).read(kind)
            return
        text = line.strip(_BETWEEN)
        if text:
            yield from _read_line((name, number), text, kind)
        number, line = number + 1, stream.readline(LINE_BYTES_MAX)


def _refuse_other_formats(name: str, first: bytes) -> None:
    """Raises BadInput for a file that is not JSON text, with what it is where that can be told."""
    for magic, what in _FORMATS.items():
        if first.startswith(magic):
            raise BadInput(f"{name}, line 1: {what}")
    text = first.removeprefix(codecs.BOM_UTF8).strip()
    if text[:1] == b"<":
        raise BadInput(f"{name}, line 1: this is XML or HTML, not JSON")
    if first[257:262] == b"ustar":
        raise BadInput(f"{name}, line 1: this is a tar archive; unpack it first")
    if first[:2].count(0) == 1 or first[:4].count(0) in (2, 3):
        raise BadInput(f"{name}, line 1: {_UTF_16}")
    if _CSV_HEADER.fullmatch(text):
        raise BadInput(f"{name}, line 1: this is CSV, not JSON; convert it to JSON first")


def _is_continued(line: bytes) -> bool:
    """Whether a value goes on behind this line: pretty-printed JSON breaks its lines after one of these characters."""
    text = line.strip()
    return text[:1] in (b"{", b"[") and text[-1:] in b"{[,:" and not _is_value(text.rstrip(b","))


def _is_value(text: bytes) -> bool:
    try:
        split_record(text)
    except BadRecord:
        return False
    return True


def _read_line(where: tuple[str, int], line: bytes, kind: str | None) -> Iterator[InputRecord]:
    """The records of a line: of one value, or of several."""
    if b"\0" in line:
        error = BadRecord(f"there is a NUL byte, which JSON cannot have, at byte {line.index(0)}")
        yield InputRecord(where, kind or "tickets", b"", error)
        return
    values = [line] if _is_value(line) else _split_values(line)
    for value in values or [line]:
        yield from find_records(where, value, kind)


def _split_values(line: bytes) -> list[bytes]:
    """The values of a line that has several; none if it is not JSON. What cannot be read is the last one."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return []
    values, position = list[bytes](), 0
    while position < len(text):
        try:
            _, end = _DECODE(text, position)
        except (ValueError, RecursionError):
            return [*values, text[position:].encode()] if values else []
        values.append(text[position:end].encode())
        while end < len(text) and text[end] in _SEPARATORS:
            end += 1
        position = end
    return values


class _DocumentReader:
    """Reads consecutive JSON values from a stream, regardless of line breaks."""

    def __init__(self, name: str, line: int, first: bytes, stream: IO[bytes]) -> None:
        self._name, self._stream = name, stream
        self._decode_text = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._position, self._line, self._is_at_end = "", 0, line, False
        self._append(first)

    def read(self, kind: str | None) -> Iterator[InputRecord]:
        while self._peek(_SEPARATORS):
            if self._peek() == "[":
                for where, value in self._array():
                    yield from find_records(where, value, kind)
            elif self._peek() == "{":
                yield from self._object(kind)
            else:
                raise self._error("expected a JSON object or array")

    def _array(self) -> Iterator[tuple[tuple[str, int], bytes]]:
        for _ in self._items("[", "]"):
            self._peek()  # skips to the line on which the record starts
            where = (self._name, self._line)
            yield where, self._value()[0].encode()

    def _object(self, kind: str | None) -> Iterator[InputRecord]:
        """A saved page is read key by key; any other object is one record."""
        others: dict[str, str] = {}
        where, page = (self._name, self._line), None
        for _ in self._items("{", "}"):
            key_text, key = self._value()
            self._expect(":")
            if key == "id" and page:
                raise self._error(
                    "found an id after a list of records: a record must start with its id, and a page must not have one"
                )
            if key in LIST_KEYS and self._peek() == "[" and "id" not in others:
                page = page or PageReader()
                for place, value in self._array():
                    yield from page.item(place, key, value)
            else:
                others[key] = f"{key_text}:{self._value()[0]}"
        data = ("{" + ",".join(others.values()) + "}").encode()
        if page is None:
            yield from find_records(where, data, kind)
            return
        try:
            yield from page.rest(where, split_record(data))
        except BadRecord as error:
            raise BadInput(f"{self._name}, line {where[1]}: {error}") from None

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
                value, end = _DECODE(self._text, self._position)
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

    def _peek(self, skipped: str = " \t\r\n") -> str:
        """The next character that is none of `skipped`; empty at the end."""
        while True:
            while self._position < len(self._text):
                char = self._text[self._position]
                if char not in skipped:
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
        if "\0" in self._text:
            self._line += self._text.count("\n", 0, self._text.index("\0"))
            raise self._error("there is a NUL byte, which JSON cannot have")

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
