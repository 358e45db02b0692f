"""uvicorn's connection, with bounds on what a client may send, and how slowly, before its request's head is whole.

The parser itself would hold an endless header, and wait for ever for the rest of half a request.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ticketfeed.server.bounds import HEAD_BYTES_MAX

__all__ = ["HEAD_SECONDS_MAX", "BoundedConnection"]

HEAD_SECONDS_MAX = 30.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """A head that comes in several pieces is counted here; one that comes whole, by HeadBound."""

    _head_bytes = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._late is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._late is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._forget_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._late = self.loop.call_later(HEAD_SECONDS_MAX, lambda: self.transport.close())

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
