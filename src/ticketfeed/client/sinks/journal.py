"""Rows on their way into Parquet: appended as Arrow batches with the checkpoint that covers them, durable at once.

A frame is a head (a mark, the checksum and length of what follows) and a MessagePack value: batches, checkpoint, and
the columns of custom fields found so far. A frame that is not whole was never acknowledged, and is cut off when the
journal is opened.
"""

import io
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from isal import isal_zlib

from ticketfeed.client.sinks.contract import Checkpoint

__all__ = ["Journal"]

_HEAD = struct.Struct("<4sIQ")
_MARK = b"TFJ1"


class _Frame(msgspec.Struct, array_like=True):
    batches: list[tuple[str, bytes]]
    streams: dict[str, Any]
    totals: dict[str, Any]
    custom_fields: dict[str, str]


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(_Frame).decode


class Journal:
    """`rows` and `size` in bytes are of all frames; `checkpoint` and `custom_fields` are of the last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.size = 0
        self.checkpoint: Checkpoint | None = None
        self.custom_fields: Mapping[str, str] = {}
        self._file = io.FileIO(path, "ab")

    def open(self, identity: Mapping[str, Any]) -> None:
        """Find the last whole frame, and cut off what lies behind it."""
        for frame, end in self._frames():
            self._count(frame, end, identity)
            self.rows += sum(_batch_of(data).num_rows for _, data in frame.batches)
        os.ftruncate(self._file.fileno(), self.size)

    def append(
        self, batches: Sequence[tuple[str, pa.RecordBatch]], checkpoint: Checkpoint, custom_fields: Mapping[str, str]
    ) -> None:
        """Durable when this returns; without effect when it raises."""
        packed = [(stream, _bytes_of(batch)) for stream, batch in batches]
        frame = _Frame(packed, dict(checkpoint.streams), dict(checkpoint.totals), dict(custom_fields))
        payload = _ENCODE(frame)
        head = _HEAD.pack(_MARK, isal_zlib.crc32(payload), len(payload))
        try:
            for data in (head, payload):
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            os.ftruncate(self._file.fileno(), self.size)
            raise
        self._count(frame, self.size + len(head) + len(payload), checkpoint.identity)
        self.rows += sum(batch.num_rows for _, batch in batches)

    def _count(self, frame: _Frame, end: int, identity: Mapping[str, Any]) -> None:
        self.size = end
        self.checkpoint = Checkpoint(identity, frame.streams, frame.totals)
        self.custom_fields = frame.custom_fields

    def batches(self, stream: str) -> Iterator[pa.RecordBatch]:
        """The rows of a stream in their order."""
        for frame, _ in self._frames():
            for name, data in frame.batches:
                if name == stream:
                    yield _batch_of(data)

    def _frames(self) -> Iterator[tuple[_Frame, int]]:
        """Each whole frame, and where it ends."""
        with self.path.open("rb") as file:
            end = 0
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                mark, checksum, length = _HEAD.unpack(head)
                payload = file.read(length) if mark == _MARK else b""
                if mark != _MARK or len(payload) < length or isal_zlib.crc32(payload) != checksum:
                    return
                end += _HEAD.size + length
                yield _DECODE(payload), end

    def close(self) -> None:
        self._file.close()


def _bytes_of(batch: pa.RecordBatch) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, batch.schema) as writer:
        writer.write_batch(batch)
    return buffer.getvalue()


def _batch_of(data: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_next_batch()
