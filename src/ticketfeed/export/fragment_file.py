"""Where pieces of pages are kept: a file of this process, without a name, of bounded size.

It is written round and round: the newest piece takes the place of the oldest. It lives in the system's own cache as
long as that has room, costs the process no memory, and is gone with it. Nothing in it is needed: whatever is missing
is read from the store and made again.
"""

import logging
import os
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from ticketfeed.protocol.gzip_splice import Piece

__all__ = ["Body", "PieceFile"]

# A disk, by convention, where the folder for short-lived files is often memory.
_FOLDER = Path("/var/tmp")

_log = logging.getLogger("ticketfeed.pieces")


class PieceFile:
    """Pieces in `capacity` bytes of disk. With no capacity, or where no file can be made, nothing is kept."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._written = 0  # of all rounds together: what lies further back than the capacity is overwritten
        self._file: int | None = None

    @property
    def is_open(self) -> bool:
        return self._capacity > 0

    def keep(self, piece: Piece, comma: bytes) -> bool:
        """Take the piece's bytes into the file, each behind a comma, so that neighbours are read as one; or leave it
        as it is."""
        assert piece.data is not None
        size = len(comma) + piece.length
        if size > self._capacity:
            return False
        begin = self._written
        if begin % self._capacity + size > self._capacity:  # a piece stands in one place
            begin += self._capacity - begin % self._capacity
        try:
            if os.pwritev(self._descriptor(), [comma, piece.data], begin % self._capacity) != size:
                return False
        except OSError as error:
            self._give_up(error)
            return False
        self._written = begin + size
        piece.place, piece.data = begin, None
        return True

    def holds(self, piece: Piece) -> bool:
        """Whether its bytes can be had."""
        return piece.data is not None or self._written <= piece.place + self._capacity

    def read(self, body: "Body") -> bytearray | None:
        """The whole body, put together in one copy; None if a part of it has been overwritten."""
        if self._written > body.oldest + self._capacity:
            return None
        joined, at = bytearray(body.size), 0
        view = memoryview(joined)
        for part in body.parts:
            if isinstance(part, bytes):
                end = at + len(part)
                view[at:end] = part
            else:
                begin, length = part
                end = at + length
                if os.preadv(self._descriptor(), [view[at:end]], begin % self._capacity) != length:
                    return None
            at = end
        return joined

    def _descriptor(self) -> int:
        """The file, made when it is first needed. It has no name, so it goes with the process, however that ends."""
        if self._file is None:
            folder = _FOLDER if "TMPDIR" not in os.environ and os.access(_FOLDER, os.W_OK) else None
            with tempfile.TemporaryFile(buffering=0, dir=folder) as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
        return self._file

    def _give_up(self, error: OSError) -> None:
        _log.warning("pages are no longer kept: %s", error.strerror or error)
        self._capacity = 0


class Body:
    """The parts of a body in order: bytes, or (place, length) in the file. `oldest` is the first place of them."""

    def __init__(self, head: bytes, tail: bytes, pieces: Sequence[Piece], comma: bytes) -> None:
        self.parts: list[bytes | tuple[int, int]] = [head]
        self.oldest = sys.maxsize
        first = True
        for piece in pieces:
            lead = b"" if first else comma
            first = False
            if piece.data is not None:
                self.parts += (lead, piece.data)
                continue
            begin, length = piece.place + len(comma) - len(lead), piece.length + len(lead)
            self.oldest = min(self.oldest, piece.place)
            before = self.parts[-1]
            if isinstance(before, tuple) and sum(before) == begin:
                self.parts[-1] = (before[0], before[1] + length)
            else:
                self.parts.append((begin, length))
        self.parts.append(tail)
        self.size = sum([len(part) if isinstance(part, bytes) else part[1] for part in self.parts])
