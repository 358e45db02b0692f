"""A file that only grows, plain or compressed, and what of it counts."""

import gzip
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip

from ticketfeed.atomic_file import sync
from ticketfeed.client.sinks.durable import lock
from ticketfeed.protocol.errors import BadInput

__all__ = ["CODECS", "AppendedFile", "Codec"]

# isal's levels are 0 to 3; the second takes a tenth more time than the first and a tenth less room.
_GZIP_LEVEL = 2
_ZSTANDARD_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Codec:
    """What is written at once is a whole member or frame, so that a file can be cut behind each."""

    compress: Callable[[bytes], bytes]
    reader: Callable[[BinaryIO], BinaryIO]


def _zstandard_compress(data: bytes) -> bytes:
    import zstandard  # of the extra `export`

    return zstandard.ZstdCompressor(level=_ZSTANDARD_LEVEL).compress(data)


def _zstandard_reader(file: BinaryIO) -> BinaryIO:
    import zstandard

    stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(cast("io.RawIOBase", stream))


CODECS = {
    "": Codec(lambda data: data, lambda file: file),
    ".gz": Codec(
        lambda data: igzip.compress(data, _GZIP_LEVEL), lambda file: cast("BinaryIO", gzip.GzipFile(fileobj=file))
    ),
    ".zst": Codec(_zstandard_compress, _zstandard_reader),
}


class AppendedFile:
    """The first `size` bytes are valid. What follows is left from a run that crashed, and is truncated."""

    def __init__(self, path: Path, codec: Codec) -> None:
        self.path = path
        self.size = 0
        self.codec = codec
        self._file: io.FileIO | None = None

    def open(self, size: int, target: str) -> None:
        self._file = io.FileIO(self.path, "ab")
        lock(self._file.fileno(), target)
        found = os.fstat(self._file.fileno()).st_size
        if found < size:
            raise BadInput(
                f"{self.path} has {found} bytes, and its manifest has {size}: restore it, or remove both to start anew"
            )
        self.cut(size)

    def append(self, data: bytes) -> None:
        """Add data, durably; it counts once `size` is in the manifest."""
        assert self._file
        rest = memoryview(self.codec.compress(data))
        size = self.size + len(rest)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        self.size = size

    def cut(self, size: int) -> None:
        """What lies behind `size` does not count, and is removed."""
        assert self._file
        os.ftruncate(self._file.fileno(), size)
        self.size = size

    @contextmanager
    def read(self) -> Iterator[BinaryIO]:
        """All that counts, uncompressed."""
        with self.path.open("rb") as file:
            yield self.codec.reader(cast("BinaryIO", io.BufferedReader(_Head(file, self.size))))

    def replace(self, part: Path, target: str) -> None:
        """Take the place of the file by another one, durably."""
        os.replace(part, self.path)
        sync(self.path.parent)
        self.close()
        self.open(self.path.stat().st_size, target)

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


class _Head(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override] # the stubs name a wider type
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
