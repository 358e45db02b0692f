"""Pieces joined are the page, in every coding, for every decoder."""

import gzip
import shutil
import subprocess
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from ticketfeed.export.fragment_file import Body, PieceFile
from ticketfeed.protocol.gzip_splice import GZIP, PLAIN, Coding, Piece
from ticketfeed.protocol.model import Position

bodies = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5)
# Longer than a stored block can be, too.
ends = st.binary(max_size=40) | st.integers(65_530, 140_000).map(lambda size: b"x" * size)


def make(coding: Coding, part: list[bytes]) -> Piece:
    data, size, crc = coding.encode(part)
    return Piece(len(part), 0, Position(1, 1), size, crc, len(data), data)


def join(
    coding: Coding, head: bytes, parts: list[list[bytes]], tail: bytes, file: PieceFile, kept: list[bool]
) -> bytes:
    pieces = [make(coding, part) for part in parts]
    for piece, is_kept in zip(pieces, kept, strict=False):
        if is_kept:
            assert file.keep(piece, coding.comma)
    begin, end = coding.ends(head, pieces, tail)
    joined = file.read(Body(begin, end, pieces, coding.comma))
    assert joined is not None
    return bytes(joined)


@given(ends, st.lists(bodies, max_size=6), ends, st.lists(st.booleans(), min_size=6, max_size=6))
def test_every_coding_gives_the_same_bytes(
    head: bytes, parts: list[list[bytes]], tail: bytes, kept: list[bool]
) -> None:
    """Plain, or one gzip member with nothing behind it: head, all bodies with commas between, tail; whatever of it
    comes out of the file."""
    expected = head + b",".join(body for part in parts for body in part) + tail
    file = PieceFile(1 << 20)
    assert join(PLAIN, head, parts, tail, file, kept) == expected
    packed = join(GZIP, head, parts, tail, file, kept)
    assert gzip.decompress(packed) == expected
    one = zlib.decompressobj(31)
    assert one.decompress(packed) == expected
    assert one.eof
    assert one.unused_data == b""


def test_other_decoders(tmp_path: Path) -> None:
    """The gzip command, isal, and node where it is there, read the same bytes."""
    parts = [[b'{"id":%d,"text":"%s"}' % (n, b"abc" * n) for n in range(at, at + 50)] for at in range(0, 500, 50)]
    packed = join(GZIP, b'{"tickets":[', parts, b"]}", PieceFile(1 << 20), [])
    expected = b'{"tickets":[' + b",".join(body for part in parts for body in part) + b"]}"
    assert len(msgspec.json.decode(expected)["tickets"]) == 500
    assert isal_zlib.decompress(packed, 31) == expected
    (tmp_path / "page.gz").write_bytes(packed)
    commands = [["gzip", "-dc", "page.gz"]]
    if shutil.which("node"):
        commands.append(
            ["node", "-e", "process.stdout.write(require('zlib').gunzipSync(require('fs').readFileSync('page.gz')))"]
        )
    for command in commands:
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout == expected


def test_the_file_goes_round() -> None:
    """What has been overwritten is known to be gone; what has not is read as it was written."""
    file, kept = PieceFile(1000), []
    for number in range(40):
        piece = make(PLAIN, [b"%03d" % number * 30])
        assert file.keep(piece, b",")
        kept.append((number, piece))
        assert file.holds(piece)
        for other, old in kept:
            body = file.read(Body(b"<", b">", [old], b","))
            if file.holds(old):
                assert body == b"<" + b"%03d" % other * 30 + b">"
            else:
                assert body is None
    assert 5 <= sum(file.holds(piece) for _, piece in kept) <= 10


def test_what_does_not_fit_is_not_kept() -> None:
    """A piece larger than the file stays with whoever has it, and so does everything where nothing is to be kept."""
    piece = make(PLAIN, [b"x" * 2000])
    assert not PieceFile(1000).keep(piece, b",")
    assert not PieceFile(0).keep(piece, b",")
    assert piece.data == b"x" * 2000


def test_a_file_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and from then on nothing is kept."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    file = PieceFile(1000)
    assert not file.keep(make(PLAIN, [b"x"]), b",")
    assert not file.is_open
    assert [record.message for record in caplog.records] == ["pages are no longer kept: No such file or directory"]
