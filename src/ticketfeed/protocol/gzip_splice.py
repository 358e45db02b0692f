"""A page body spliced from separately encoded segments, plain or gzip.

A segment is the bodies of consecutive tickets, joined by commas and encoded once. A plain page is its segments with
commas between them. A gzip page is one member holding one deflate stream: each segment was compressed on its own and
ends on a byte boundary (a sync flush, RFC 1951 section 3.2.4), everything between segments is inserted as stored
blocks, and the checksum of the whole is combined from those of the segments. So any page costs a copy, wherever its
boundaries are.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from isal import isal_zlib

from ticketfeed.protocol.model import Position

__all__ = ["GZIP", "PLAIN", "Coding", "Encoder", "Segment", "compress"]

# isal's second level: a segment of a hundred tickets takes as many bytes as the whole page does at its first level.
SEGMENT_LEVEL = 2
# isal's fastest level: a tenth of the time that zlib takes for a page, for a sixth more bytes.
BODY_LEVEL = 1
# Below this size the gzip header and trailer, and the client's work, outweigh what compression saves.
BODY_BYTES_MIN = 512
# zlib's codes for a window of 32 KB: without a container, and in a gzip member.
_RAW_DEFLATE, _GZIP_MEMBER = -15, 31
# RFC 1952 section 2.3: deflate, no file name, no modification time, unknown operating system.
_MEMBER_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# RFC 1951 section 3.2.4: the length of a stored block has 16 bits.
_STORED_MAX = 0xFFFF


@dataclass(slots=True)
class Segment:
    """The encoded bodies of `count` consecutive tickets, the last of them at `last`; `id_sum` is the sum of their ids.

    `size` and `crc` describe the bytes before compression. `data` are the `length` bytes as sent; None once only the
    fragment file holds them, at `offset`.
    """

    count: int
    id_sum: int
    last: Position
    size: int
    crc: int
    length: int
    data: bytes | None
    offset: int = -1


class Coding(Protocol):
    """A content coding: how segments are encoded and spliced. `separator` is sent between two segments."""

    name: str
    separator: bytes

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        """Join and encode bodies. Returns the bytes to send, and size and checksum of the bytes before compression."""

    def frame(self, head: bytes, segments: Sequence[Segment], tail: bytes) -> tuple[bytes, bytes]:
        """The bytes to send before and after `segments`, for a body that begins with `head` and ends with `tail`."""

    def stream(self) -> "Encoder":
        """An encoder for a body of unknown length."""


class Encoder(Protocol):
    """Encodes a body part by part."""

    def encode(self, part: bytes, *, is_last: bool = False) -> bytes:
        """The bytes to send for the next part."""


class _Plain:
    name = "identity"
    separator = b","

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        joined = b",".join(bodies)
        return joined, len(joined), 0

    def frame(self, head: bytes, segments: Sequence[Segment], tail: bytes) -> tuple[bytes, bytes]:  # noqa: ARG002 - the protocol's signature
        return head, tail

    def stream(self) -> Encoder:
        return _PlainEncoder()


class _PlainEncoder:
    def encode(self, part: bytes, *, is_last: bool = False) -> bytes:  # noqa: ARG002 - the protocol's signature
        return part


class _GzipEncoder:
    def __init__(self) -> None:
        self._deflate = isal_zlib.compressobj(BODY_LEVEL, isal_zlib.DEFLATED, _GZIP_MEMBER)

    def encode(self, part: bytes, *, is_last: bool = False) -> bytes:
        return self._deflate.compress(part) + (self._deflate.flush() if is_last else b"")


class _Gzip:
    name = "gzip"
    separator = struct.pack("<BHH", 0, 1, 1 ^ _STORED_MAX) + b","

    def encode(self, bodies: Sequence[bytes]) -> tuple[bytes, int, int]:
        joined = b",".join(bodies)
        deflate = isal_zlib.compressobj(SEGMENT_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
        data = deflate.compress(joined) + deflate.flush(isal_zlib.Z_SYNC_FLUSH)
        return data, len(joined), isal_zlib.crc32(joined)

    def frame(self, head: bytes, segments: Sequence[Segment], tail: bytes) -> tuple[bytes, bytes]:
        combine = isal_zlib.crc32_combine
        crc, size, separators = isal_zlib.crc32(head), len(head), -1
        for segment in segments:
            if separators >= 0:
                crc = combine(crc, _COMMA_CRC, 1)
            crc = combine(crc, segment.crc, segment.size)
            size += segment.size
            separators += 1
        crc, size = isal_zlib.crc32(tail, crc), size + max(0, separators) + len(tail)
        trailer = struct.pack("<II", crc, size & 0xFFFFFFFF)
        return _MEMBER_HEADER + _stored(head), _stored(tail, is_final=True) + trailer

    def stream(self) -> Encoder:
        return _GzipEncoder()


def compress(body: bytes, coding: Coding) -> tuple[bytes, str]:
    """A body that is no page of segments, in this coding if that is worth it; and the name of its coding."""
    if coding is PLAIN or len(body) < BODY_BYTES_MIN:
        return body, PLAIN.name
    return isal_zlib.compress(body, BODY_LEVEL, _GZIP_MEMBER), GZIP.name


def _stored(data: bytes, *, is_final: bool = False) -> bytes:
    """Stored deflate blocks: the data uncompressed."""
    blocks = [data[at : at + _STORED_MAX] for at in range(0, len(data), _STORED_MAX)] or [b""]
    return b"".join(
        struct.pack("<BHH", is_final and block is blocks[-1], len(block), len(block) ^ _STORED_MAX) + block
        for block in blocks
    )


_COMMA_CRC = isal_zlib.crc32(b",")
PLAIN: Coding = _Plain()
GZIP: Coding = _Gzip()
