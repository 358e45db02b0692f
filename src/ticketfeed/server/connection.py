"""uvicorn's connection, with bounds on what a client may send, and how slowly, and on how slowly it may read.

The parser itself would hold an endless header, and wait for ever for the rest of half a request; the transport would
hold an answer for ever that nobody takes.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ticketfeed.server.middleware.head_limit import HEAD_BYTES_MAX
from ticketfeed.server.middleware.overload import stalled_transports

__all__ = ["HEAD_SECONDS_MAX", "READ_SECONDS_MAX", "BoundedConnection"]

HEAD_SECONDS_MAX = 30.0
# A reader that takes nothing of an answer for this long is gone. The system holds some megabytes of it, too, and asks
# for more only when a part of them has been taken.
READ_SECONDS_MAX = 120.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedConnection(HttpToolsProtocol):
    """A head that comes in several pieces is counted here; one that comes whole, by HeadBound."""

    _head_bytes = 0
    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

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
        self._let_go()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        stalled_transports.add(self.transport)
        self._await_reader()

    def resume_writing(self) -> None:
        self._let_go()
        super().resume_writing()

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

    def _await_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()

        def look_again() -> None:
            if self.transport.get_write_buffer_size() >= unsent:
                self.transport.abort()
            else:
                self._await_reader()

        self._stalled = self.loop.call_later(READ_SECONDS_MAX, look_again)

    def _let_go(self) -> None:
        stalled_transports.discard(self.transport)
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
