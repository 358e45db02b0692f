"""Files: gzip and standard input are opened like any other, and what cannot be read is BadInput."""

import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ticketfeed.data.import_files import open_input, read_input
from ticketfeed.protocol.errors import BadInput


def read_file(path: Path, progress: Callable[[int], None] = lambda _count: None) -> list[int]:
    """The ids of the records in a file."""
    with open_input(str(path), progress) as stream:
        return [json.loads(record.data)["id"] for record in read_input("f", stream, "tickets")]


NDJSON = b"".join(b'{"id":%d,"x":"%d"}\n' % (number, number * 7919) for number in range(1, 200))


def test_truncated_gzip(tmp_path: Path) -> None:
    """Wherever gzip data is cut off, the input is refused; what could be unpacked never passes for the whole."""
    packed, path = gzip.compress(NDJSON), tmp_path / "cut.gz"
    for end in range(2, len(packed)):
        path.write_bytes(packed[:end])
        with pytest.raises(BadInput, match="truncated"):
            read_file(path)


def outcome(path: Path) -> list[int] | str:
    try:
        return read_file(path)
    except BadInput:
        return "refused"


def test_damaged_gzip(tmp_path: Path) -> None:
    """A flipped bit anywhere in gzip data is refused, unless it stands in a part that carries no data."""
    packed, path, chance = gzip.compress(NDJSON), tmp_path / "damaged.gz", random.Random(1)
    for at in range(2, len(packed)):
        damaged = bytearray(packed)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        assert outcome(path) in (list(range(1, 200)), "refused")


def test_junk_behind_gzip(tmp_path: Path) -> None:
    """Zeros behind gzip data are padding; anything else is damage."""
    path = tmp_path / "padded.gz"
    path.write_bytes(gzip.compress(NDJSON) + b"\x00" * 100)
    assert len(read_file(path)) == 199
    path.write_bytes(gzip.compress(NDJSON) + b"junk behind the end")
    with pytest.raises(BadInput, match="gzip"):
        read_file(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder are BadInput, in words that name them."""
    with (
        pytest.raises(BadInput, match=r"cannot read .*missing\.json: No such file"),
        open_input(str(tmp_path / "missing.json")),
    ):
        pass
    with pytest.raises(BadInput, match="is a directory, not a file"), open_input(str(tmp_path)):
        pass


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard input, gzipped or not; it stays open, and named twice it is empty the second time."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b'{"id":1}\n'))))
    for expected in ([b'{"id":1}'], []):
        with open_input("-") as stream:
            assert [record.data for record in read_input("-", stream, "tickets")] == expected


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_progress_counts_bytes_on_disk(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Progress adds up to the size of the file as it lies on disk."""
    path, counts = tmp_path / "f", list[int]()
    path.write_bytes(pack(NDJSON))
    read_file(path, counts.append)
    assert sum(counts) == path.stat().st_size
