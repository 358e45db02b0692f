"""An answer that is held back until scenarios have changed it, and the pieces in which it is sent."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Message

from ticketfeed.protocol.scenarios import FaultEffect

__all__ = ["FaultAnswer", "cut_at", "split_body"]

_GZIP_MEMBER = 31


@dataclass(slots=True)
class FaultAnswer:
    """An answer before it is sent."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    _pieces: list[bytes] = field(default_factory=list)

    def header(self, name: bytes) -> bytes | None:
        return next((value for found, value in self.headers if found.lower() == name), None)

    def put_header(self, name: bytes, value: bytes | None) -> None:
        """Replace a header; None removes it."""
        self.headers = [row for row in self.headers if row[0].lower() != name]
        if value is not None:
            self.headers.append((name, value))

    async def receive(self, message: Message) -> None:
        """Take a message of an application."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self._pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                self.body = b"".join(self._pieces)

    @property
    def is_json(self) -> bool:
        return bool(self.body) and (self.header(b"content-type") or b"").startswith(b"application/json")

    def decode(self) -> Any:
        """The JSON of the body."""
        is_gzip = self.header(b"content-encoding") == b"gzip"
        return msgspec.json.decode(zlib.decompress(self.body, _GZIP_MEMBER) if is_gzip else self.body)

    def encode(self, values: object) -> None:
        """Put JSON in the body, in the coding that it had."""
        self.body = msgspec.json.encode(values)
        if self.header(b"content-encoding") == b"gzip":
            self.body = _gzip(self.body)
        self.put_header(b"etag", None)


def cut_at(cut: FaultEffect | None, size: int) -> int:
    """How many of the bytes of a body are sent."""
    if cut is None or cut.cut in ("after_body", "after_answer"):
        return size
    if cut.cut == "before_body":
        return 0
    return size // 2 if cut.cut_after_bytes is None else min(size, cut.cut_after_bytes)


def split_body(body: bytes, count: int) -> Iterator[bytes]:
    """A body in so many pieces, one of them at least."""
    step = max(1, -(-len(body) // count))
    yield from (body[at : at + step] for at in range(0, max(1, len(body)), step))


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP_MEMBER)
    return compressor.compress(body) + compressor.flush()
