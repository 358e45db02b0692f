"""Pieces -> the body of a page, plain or gzip. A piece is the joined bodies of some neighbouring tickets.

A plain page is its pieces with commas between. A gzip page is one member of one deflate stream: each piece was
compressed by itself and ends on a byte (a sync flush), what stands between is put in as stored blocks, and the
checksum is combined from those of the pieces. So a page costs a copy, wherever its borders are.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from isal import isal_zlib

from ticketfeed.protocol.model import Position

__all__ = ["GZIP", "PLAIN", "Coding", "Piece"]

# isal's second level: a run of a hundred tickets takes as many bytes as the whole page at its first.
LEVEL = 2
_RAW_DEFLATE = -15
# No name, no time, unknown system.
_MEMBER_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_STORED_MAX = 0xFFFF


@dataclass(slots=True)
class Piece:
    """`count` tickets up to `last`, whose ids sum to `id_sum`. `size` and `crc` are of the bytes before compression.

    `data` is the piece as it is sent, `length` bytes of it; None while only a file holds it, at `place`.
    """

    count: int
    id_sum: int
    last: Position
    size: int
    crc: int
    length: int
    data: bytes | None
    place: int = -1


class Coding(Protocol):
    """How pieces are made and joined."""

    name: str
    comma: bytes

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        """The joined bodies as they are sent; their size and checksum before that."""

    def ends(self, head: bytes, pieces: Sequence[Piece], tail: bytes) -> tuple[bytes, bytes]:
        """What is sent before and behind the pieces, between which `comma` stands."""


class _Plain:
    name = "identity"
    comma = b","

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        joined = b",".join(bodies)
        return joined, len(joined), 0

    def ends(self, head: bytes, pieces: Sequence[Piece], tail: bytes) -> tuple[bytes, bytes]:  # noqa: ARG002
        return head, tail


class _Gzip:
    name = "gzip"
    comma = struct.pack("<BHH", 0, 1, 1 ^ _STORED_MAX) + b","

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        joined = b",".join(bodies)
        deflate = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
        data = deflate.compress(joined) + deflate.flush(isal_zlib.Z_SYNC_FLUSH)
        return data, len(joined), isal_zlib.crc32(joined)

    def ends(self, head: bytes, pieces: Sequence[Piece], tail: bytes) -> tuple[bytes, bytes]:
        combine = isal_zlib.crc32_combine
        crc, size, between = isal_zlib.crc32(head), len(head), -1
        for piece in pieces:
            if between >= 0:
                crc = combine(crc, _COMMA_CRC, 1)
            crc = combine(crc, piece.crc, piece.size)
            size += piece.size
            between += 1
        crc, size = isal_zlib.crc32(tail, crc), size + max(0, between) + len(tail)
        end = _stored(tail, is_final=True) + struct.pack("<II", crc, size & 0xFFFFFFFF)
        return _MEMBER_HEAD + _stored(head), end


def _stored(data: bytes, *, is_final: bool = False) -> bytes:
    """Blocks of deflate that hold the data as it is."""
    parts = [data[at : at + _STORED_MAX] for at in range(0, len(data), _STORED_MAX)] or [b""]
    return b"".join(
        struct.pack("<BHH", is_final and part is parts[-1], len(part), len(part) ^ _STORED_MAX) + part for part in parts
    )


_COMMA_CRC = isal_zlib.crc32(b",")
PLAIN: Coding = _Plain()
GZIP: Coding = _Gzip()
