"""Segments joined are the page, in every coding, for every decoder."""

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

from ticketfeed.export.fragment_file import FragmentFile, SplicedBody
from ticketfeed.protocol.gzip_splice import GZIP, PLAIN, Coding, Segment
from ticketfeed.protocol.model import Position

bodies = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5)
# Longer than a stored block can be, too.
ends = st.binary(max_size=40) | st.integers(65_530, 140_000).map(lambda size: b"x" * size)


def make(coding: Coding, part: list[bytes]) -> Segment:
    data, size, crc = coding.encode(part)
    return Segment(len(part), 0, Position(1, 1), size, crc, len(data), data)


def join(
    coding: Coding, head: bytes, parts: list[list[bytes]], tail: bytes, file: FragmentFile, stored: list[bool]
) -> bytes:
    segments = [make(coding, part) for part in parts]
    for segment, is_stored in zip(segments, stored, strict=False):
        if is_stored:
            assert file.store(segment, coding.separator)
    joined = file.read(SplicedBody(coding, head, segments, tail))
    assert joined is not None
    return bytes(joined)


@given(ends, st.lists(bodies, max_size=6), ends, st.lists(st.booleans(), min_size=6, max_size=6))
def test_every_coding_gives_the_same_bytes(
    head: bytes, parts: list[list[bytes]], tail: bytes, kept: list[bool]
) -> None:
    """Plain, or one gzip member with nothing behind it: head, all bodies with commas between, tail; whichever
    segments are in the file."""
    expected = head + b",".join(body for part in parts for body in part) + tail
    file = FragmentFile(1 << 20)
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
    packed = join(GZIP, b'{"tickets":[', parts, b"]}", FragmentFile(1 << 20), [])
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


def test_the_oldest_segment_is_overwritten() -> None:
    """An overwritten segment is known to be gone; any other is read as it was written."""
    file, written = FragmentFile(1000), []
    for number in range(40):
        segment = make(PLAIN, [b"%03d" % number * 30])
        assert file.store(segment, b",")
        written.append((number, segment))
        assert file.holds(segment)
        for other, old in written:
            body = file.read(SplicedBody(PLAIN, b"<", [old], b">"))
            if file.holds(old):
                assert body == b"<" + b"%03d" % other * 30 + b">"
            else:
                assert body is None
    assert 5 <= sum(file.holds(segment) for _, segment in written) <= 10


def test_a_segment_larger_than_the_file() -> None:
    """A segment larger than the file stays in memory, and so does every segment when the capacity is 0."""
    segment = make(PLAIN, [b"x" * 2000])
    assert not FragmentFile(1000).store(segment, b",")
    assert not FragmentFile(0).store(segment, b",")
    assert segment.data == b"x" * 2000


def test_a_file_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and from then on nothing is stored."""
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    file = FragmentFile(1000)
    assert not file.store(make(PLAIN, [b"x"]), b",")
    assert not file.is_enabled
    assert [record.message for record in caplog.records] == [
        "page cache disabled, cannot write its file: No such file or directory"
    ]
