"""Inputs: every form gives the same records, and every fault ends as BadRecord or BadInput with its line."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import json_values, keys
from ticketfeed.data import import_files
from ticketfeed.data.import_files import InputRecord, open_input, read_input
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.resources import KINDS

BOM = b"\xef\xbb\xbf"
UTF16_BOM = b"\xff\xfe"


def read(data: bytes, kind: str = "tickets") -> list[InputRecord]:
    return list(read_input("f", io.BytesIO(data), kind))


def decoded(records: list[InputRecord]) -> list[tuple[str, Any]]:
    return [(record.kind, json.loads(record.data)) for record in records if not record.error]


def read_file(path: Path, progress: Callable[[int], None] = lambda _count: None) -> list[InputRecord]:
    with open_input(str(path), progress) as stream:
        return list(read_input("f", stream, "tickets"))


ONE, TWO = ("tickets", {"id": 1}), ("tickets", {"id": 2})
USER = ("users", {"id": 1})
PAGE = b'{"tickets":[{"id":1},{"id":2}],"after_url":null,"end_of_stream":true}'
PRETTY = json.dumps({"after_url": None, "tickets": [{"id": 1}, {"id": 2}], "count": 2.5e-3}, indent=2).encode()

FORMS: list[tuple[str, bytes, list[tuple[str, Any]]]] = [
    ("empty file", b"", []),
    ("byte order mark alone", BOM, []),
    ("blank lines alone", b"\n\r\n \n", []),
    ("NDJSON", b'{"id":1}\n{"id":2}\n', [ONE, TWO]),
    ("no final newline", b'{"id":1}\n{"id":2}', [ONE, TWO]),
    ("CRLF", b'{"id":1}\r\n{"id":2}\r\n', [ONE, TWO]),
    ("blank lines between", b'\n\n{"id":1}\n \n\r\n{"id":2}\n\n', [ONE, TWO]),
    ("byte order mark, NDJSON", BOM + b'{"id":1}\n{"id":2}\n', [ONE, TWO]),
    ("byte order mark, array", BOM + b'[{"id":1},{"id":2}]', [ONE, TWO]),
    ("byte order mark, blank line", BOM + b'\n{"id":1}\n{"id":2}\n', [ONE, TWO]),
    ("array", b'[{"id":1},{"id":2}]', [ONE, TWO]),
    ("empty array", b"[]", []),
    ("array over lines", b'[\n{"id":1}\n,\n{"id":2}\n]\n', [ONE, TWO]),
    ("array, CRLF", b'[\r\n{"id":1},\r\n{"id":2}\r\n]\r\n', [ONE, TWO]),
    ("several arrays", b'[{"id":1}][]\n[{"id":2}]', [ONE, TWO]),
    ("page", PAGE, [ONE, TWO]),
    ("page without tickets", b'{"tickets":[],"end_of_stream":true}', []),
    ("page, pretty-printed", PRETTY, [ONE, TWO]),
    ("page, pretty-printed, CRLF", PRETTY.replace(b"\n", b"\r\n"), [ONE, TWO]),
    ("page with a break before its array", b'{"tickets":\n[{"id":1}, {"id":2}]}', [ONE, TWO]),
    ("several pages, pretty-printed", PRETTY + b"\n" + PRETTY, [ONE, TWO, ONE, TWO]),
    ("several pages without a break", PRETTY + PRETTY, [ONE, TWO, ONE, TWO]),
    ("page a line", PAGE + b"\n\n" + PAGE + b"\n", [ONE, TWO, ONE, TWO]),
    ("pages and records by line", b'{"id":1}\n{"tickets" : [{"id":2}]}\n{"users":[{"id":1}]}', [ONE, TWO, USER]),
    ("page with sideloads", b'{"tickets":[{"id":1}],"users":[{"id":1}],"count":1}', [ONE, USER]),
    ("page with sideloads first", b'{\n"users":[{"id":1}],"count":1,\n"tickets":[{"id":1}]}', [USER, ONE]),
    ("record, pretty-printed", b'{\n  "id": 1\n}\n', [ONE]),
    ("records, pretty-printed", b'{\n  "id": 1\n}\n{\n  "id": 2\n}', [ONE, TWO]),
    ("record with a list named as a kind", b'{"id":1,"users":[5]}', [("tickets", {"id": 1, "users": [5]})]),
    ("same, pretty-printed", b'{\n"id":1,\n"users":[5]}', [("tickets", {"id": 1, "users": [5]})]),
    ("characters of all lengths", '[{"id":1,"é€😀":"é€😀"}]'.encode(), [("tickets", {"id": 1, "é€😀": "é€😀"})]),
]


@pytest.mark.parametrize(("data", "expected"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_forms(tmp_path: Path, data: bytes, expected: list[tuple[str, Any]]) -> None:
    """Each form gives its records with their kinds in order, plain as well as gzipped in one part or in two."""
    half = len(data) // 2
    parts = gzip.compress(data[:half]) + gzip.compress(data[half:])
    for number, content in enumerate((data, gzip.compress(data), parts)):
        path = tmp_path / str(number)
        path.write_bytes(content)
        assert decoded(read_file(path)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    """A record is of the kind that was asked for, unless it stands in a page, whose key says the kind."""
    assert [record.kind for record in read(b'{"id":1}\n{"id":2}', kind)] == [kind, kind]
    assert [record.kind for record in read(b'[{"id":1}]', kind)] == [kind]
    for page in (b'{"%s":[{"id":1}]}', b'{\n"%s":\n[{"id":1}]}'):
        assert [record.kind for record in read(page % kind.encode(), "groups")] == [kind]


# data -> the line of each record, negative where it is bad
LINES = [
    (b'{"id":1}\n{"id":2}', [1, 2]),
    (b'\n\n{"id":1}\n\n{"id":2}', [3, 5]),
    (BOM + b'\r\n{"id":1}\r\n\r\nbad\r\n{"id":2}', [2, -4, 5]),
    (b'bad\n{"id":1}\n{"id":2', [-1, 2, -3]),
    (b'\xff\n{"id":1}\n{"id":"\xff"}', [-1, 2, -3]),
    (b'5\n"x"\nnull\n[1]\n{"id":1}', [-1, -2, -3, -4, 5]),
    (b'{"tickets":[{"id":1},{"id":2}]}\n{"id":3}', [1, 1, 2]),
    (b'[\n{"id":1},\n\n{"id":2}, {"id":3}]', [2, 4, 4]),
    (b'\n\n[\n{"id":1}\n,\n{\n"id":2},{"id":3}]', [4, 6, 7]),
    (b'{\n"tickets": [\n{"id":1}\n],\n"users":[\n{"id":2}]}', [3, 6]),
    (b'{\n"id":1}\n{\n"id":2}', [1, 3]),
]


@pytest.mark.parametrize(("data", "lines"), LINES)
def test_line_numbers(data: bytes, lines: list[int]) -> None:
    """Each record knows the line it begins on, counted from 1, blank lines included; a bad line is told in place."""
    assert [record.where[1] * (-1 if record.error else 1) for record in read(data)] == lines


BROKEN = [
    (b'[{"id":1}', 1),
    (b'[{"id":1},', 1),
    (b'[{"id":1},]', 1),
    (b'[{"id":1}\n{"id":2}]', 2),
    (b'[{"id":1},\n\nbad]', 3),
    (b'\n\n[{"id":1},\nbad]', 4),
    (b'[{"id":1}]\nbad', 2),
    (b'[{"id":1}]\n5', 2),
    (b"[,]", 1),
    (b'{\n"tickets":[{"id":1}],\n"x" 1}', 3),
    (b'{\n"tickets":[{"id":1}],\n}', 3),
    (b'{\n"tickets":[\n{"id":1}', 3),
    (b'{\n"id":1,\n"x":"cut', 3),
    (b'{\n"id":1,\nid:1}', 3),
    (b'[\n{"id":1},\n{"s":"\xff"}]', 3),
    (b'[\n\n"\xc3', 3),
    (b'{\n"groups":[{"id":1}],\n"id":2}', 3),
    (b"[" * 100_000, 1),
    (b"[\n" + b'{"a":' * 100_000, 2),
    ('[{"id":1}]'.encode("utf-16-le"), 1),
    ('{"id":1}\n'.encode("utf-16"), 1),
]


@pytest.mark.parametrize(("data", "line"), BROKEN)
def test_broken_documents(data: bytes, line: int) -> None:
    """A document that is not JSON ends in BadInput, which names the file and the line of the fault."""
    with pytest.raises(BadInput, match=rf"^f, line {line}: "):
        read(data)


@given(
    st.binary() | st.text("[]{},:\"\\ \n1e.-'tickets").map(str.encode),
    st.sampled_from([b"", b"[", b"{", BOM, UTF16_BOM]),
)
def test_any_bytes(data: bytes, prefix: bytes) -> None:
    """Binary junk gives records, bad lines or BadInput, and no other error."""
    try:
        records = read(prefix + data)
    except BadInput:
        return
    assert all(bool(record.data) != bool(record.error) for record in records)


class Dribble(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, count: int) -> None:
        super().__init__(data)
        self._count = count

    def read(self, _size: int | None = -1) -> bytes:
        return super().read(self._count)


plain_keys = keys.filter(lambda key: key not in KINDS)
records_with_ids = st.lists(
    st.builds(lambda id, rest: rest | {"id": id}, st.integers(1), st.dictionaries(plain_keys, json_values, max_size=3)),
    max_size=4,
)


@given(records_with_ids, st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
def test_chunk_borders(records: list[dict[str, Any]], chunk: int, ascii_only: bool, indent: int | None) -> None:
    """Wherever a chunk ends, in a number, an escape or a character, all three forms give the same records."""

    def dumped(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent)

    page = {"count": -1.5e-7, "tickets": records, "page": 12, "next_page": "é", "meta": [1e30], "end_of_stream": True}
    forms = ["\n".join(map(dumped, records)), dumped(records, indent), "\n" + dumped(page, 1), "[]" + dumped(page)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_files, "CHUNK_BYTES", chunk)
        patch.setattr(import_files, "LINE_BYTES_MAX", 64)
        for form in forms:
            found = list(read_input("f", Dribble(form.encode(), chunk), "tickets"))
            assert [json.loads(record.data) for record in found] == records


def test_a_long_line_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line beyond the bound, the first or a later one, is walked as a document; lines behind it still count."""
    monkeypatch.setattr(import_files, "LINE_BYTES_MAX", 32)
    long = b'{"tickets":[{"id":2},{"id":3},{"id":4},{"id":5}]}'
    for before in (b"", b'{"id":1}\n\n'):
        found = read(before + long + b'\n{"id":6}\n')
        first = before.count(b"\n") + 1
        assert [record.where[1] for record in found if record.data != b'{"id":1}'] == [first] * 4 + [first + 1]
        assert [json.loads(record.data)["id"] for record in found][-5:] == [2, 3, 4, 5, 6]


def test_a_value_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """One value longer than the bound ends the input, so that a broken quote never takes all memory."""
    monkeypatch.setattr(import_files, "CHUNK_BYTES", 100)
    monkeypatch.setattr(import_files, "VALUE_CHARS_MAX", 1000)
    stream = io.BytesIO(b'[{"id":1},\n{"id":2,"x":"' + b"y" * 1_000_000)
    with pytest.raises(BadInput, match=r"^f, line 2: not valid JSON, or a value that is too long"):
        list(read_input("f", stream, "tickets"))
    assert stream.tell() < 10_000


def test_numbers_of_any_length_pass() -> None:
    """A document may hold numbers that Python would not convert; they reach the record as they stand."""
    digits = b"9" * 5000
    assert read(b'[{"id":1,"x":%s}]' % digits)[0].data == b'{"id":1,"x":%s}' % digits


class Generated(io.RawIOBase):
    """A long input that never lies in memory: a beginning, then the same piece again and again, then an end."""

    def __init__(self, first: bytes, piece: bytes, count: int, last: bytes) -> None:
        self._pieces = self._parts(first, piece * (1 + 200_000 // len(piece)), count, last)
        self._left = b""

    @staticmethod
    def _parts(first: bytes, block: bytes, count: int, last: bytes) -> Iterator[bytes]:
        yield first
        yield from (block for _ in range(count))
        yield last

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(filter(None, self._pieces), b"")
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def peak_memory(make: Callable[[int], IO[bytes]], blocks: int) -> int:
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_input("f", make(blocks), "tickets")) > blocks
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


LONG_FORMS = {
    "array on one line": (b"[", b'{"id":1,"x":"%s"},' % (b"y" * 10_000), b'{"id":2}]'),
    "array over lines": (b"[\n", b'{"id":1,"x":"%s"},\n' % (b"y" * 10_000), b'{"id":2}\n]'),
    "page on one line": (b'{"tickets":[', b'{"id":1,"x":"%s"},' % (b"y" * 10_000), b'{"id":2}],"end_of_stream":true}'),
    "lines, the second one long": (b'{"id":1}\n{"users":[', b'{"id":1,"x":"%s"},' % (b"y" * 10_000), b'{"id":2}]}'),
    "NDJSON": (b"", b'{"id":1,"x":"%s"}\n' % (b"y" * 10_000), b'{"id":2}'),
}


@pytest.mark.parametrize("form", LONG_FORMS)
def test_memory_does_not_grow_with_the_input(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the input takes no more memory, whatever its form, and far less than the input's 40 MB."""
    monkeypatch.setattr(import_files, "LINE_BYTES_MAX", 1024 * 1024)
    first, piece, last = LONG_FORMS[form]

    def make(blocks: int) -> IO[bytes]:
        return io.BufferedReader(Generated(first, piece, blocks, last))

    small, large = peak_memory(make, 20), peak_memory(make, 200)
    assert large < small * 1.2 + 500_000
    assert large < 12_000_000


def test_a_long_array_takes_bounded_memory() -> None:
    """With the bounds as they are, an array of 300 MB on one line takes a fraction of that."""
    first, piece, last = LONG_FORMS["array on one line"]
    peak = peak_memory(lambda blocks: io.BufferedReader(Generated(first, piece, blocks, last)), 1500)
    assert peak < 60_000_000
