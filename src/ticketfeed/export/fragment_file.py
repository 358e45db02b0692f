"""Ring buffer for cached page fragments: one anonymous file per process, bounded in size.

The newest segment overwrites the oldest. The file lives in the operating system's page cache as long as that has room,
takes no memory of the process, and disappears with it. It is a cache only: anything missing is read from the store and
encoded again.
"""

import logging
import os
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from ticketfeed.protocol.gzip_splice import Coding, Segment

__all__ = ["FragmentFile", "SplicedBody"]

# /tmp is a file system in memory on many systems; /var/tmp is on disk by convention (FHS 5.15).
_FOLDER = Path("/var/tmp")

_log = logging.getLogger("ticketfeed.export.fragment_file")


class FragmentFile:
    """A ring buffer of `capacity` bytes. With a capacity of 0, or when no file can be created, it stores nothing."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._written = 0  # over all rounds; an offset further back than the capacity is overwritten
        self._file: int | None = None

    @property
    def is_enabled(self) -> bool:
        return self._capacity > 0

    def store(self, segment: Segment, separator: bytes) -> bool:
        """Move the data of a segment into the file; False, and the segment unchanged, if that is not possible.

        Each segment is written after a separator, so that neighbours in the file are read with one call.
        """
        assert segment.data is not None
        size = len(separator) + segment.length
        if size > self._capacity:
            return False
        offset = self._written
        if offset % self._capacity + size > self._capacity:  # a segment is never split around the end of the file
            offset += self._capacity - offset % self._capacity
        try:
            if os.pwritev(self._descriptor(), [separator, segment.data], offset % self._capacity) != size:
                return False
        except OSError as error:
            self._disable(error)
            return False
        self._written = offset + size
        segment.offset, segment.data = offset, None
        return True

    def holds(self, segment: Segment) -> bool:
        """Whether the data of this segment is still available, in memory or in the file."""
        return segment.data is not None or self._written <= segment.offset + self._capacity

    def read(self, body: "SplicedBody") -> bytearray | None:
        """The whole body in one buffer; None if a part of it has been overwritten."""
        if self._written > body.oldest + self._capacity:
            return None
        buffer, at = bytearray(body.size), 0
        view = memoryview(buffer)
        for part in body.parts:
            if isinstance(part, bytes):
                end = at + len(part)
                view[at:end] = part
            else:
                offset, length = part
                end = at + length
                if os.preadv(self._descriptor(), [view[at:end]], offset % self._capacity) != length:
                    return None
            at = end
        return buffer

    def clear(self) -> None:
        """Drop all data. Every offset counts as overwritten, so a body that is being read is made again."""
        if self._file is not None:
            os.ftruncate(self._file, 0)
            self._written += 2 * self._capacity

    def _descriptor(self) -> int:
        """The file, created at the first use. It has no name, so it disappears with the process, however that ends."""
        if self._file is None:
            folder = _FOLDER if "TMPDIR" not in os.environ and os.access(_FOLDER, os.W_OK) else None
            with tempfile.TemporaryFile(buffering=0, dir=folder) as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        return self._file

    def _disable(self, error: OSError) -> None:
        _log.warning("page cache disabled, cannot write its file: %s", error.strerror or error)
        self._capacity = 0


class SplicedBody:
    """A body as a list of parts: bytes, or (offset, length) in a FragmentFile. `oldest` is the lowest offset."""

    def __init__(self, coding: Coding, head: bytes, segments: Sequence[Segment], tail: bytes) -> None:
        first, last = coding.frame(head, segments, tail)
        self.parts: list[bytes | tuple[int, int]] = [first]
        self.oldest = sys.maxsize
        for number, segment in enumerate(segments):
            separator = coding.separator if number else b""
            if segment.data is not None:
                self.parts += (separator, segment.data)
                continue
            # The file holds a separator before each segment.
            offset, length = segment.offset + len(coding.separator) - len(separator), segment.length + len(separator)
            self.oldest = min(self.oldest, segment.offset)
            previous = self.parts[-1]
            if isinstance(previous, tuple) and sum(previous) == offset:
                self.parts[-1] = (previous[0], previous[1] + length)
            else:
                self.parts.append((offset, length))
        self.parts.append(last)
        self.size = sum([len(part) if isinstance(part, bytes) else part[1] for part in self.parts])
