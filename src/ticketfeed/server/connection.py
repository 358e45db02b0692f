"""uvicorn's connection, with the limits of `limits.py` on what a client may send, and how slowly it sends and reads.

uvicorn itself has a timer between requests alone, and bytes that are no request stop it. Here every connection is
checked twice a second (`connections.py`), whatever it waits for; that is also cheaper than a timer for each request.

A connection is closed by ending the output and waiting until the client has received it. Closing at once would leave
unsent bytes to the system, which holds them for as long as the client likes, and would destroy the response to a client
that is still sending.
"""

import array
import contextlib
import logging
import socket
import struct
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ticketfeed.server.middleware.overload import CONNECTION, Place, Share
from ticketfeed.server.request_context import find_request_context

if TYPE_CHECKING:
    from ticketfeed.server.connections import Connections

__all__ = ["BoundedConnection"]

# How the system closes a connection: by a reset, with nothing left to be sent.
_RESET = struct.pack("ii", 1, 0)
# A client has read responses that has received this multiple of what the system holds for it.
_PROOF = 2
# An event loop cannot be closed while bytes wait to be written.
_BEFORE_TIMEOUT_SECONDS = 0.5
# Where Linux has tcpi_bytes_acked in struct tcp_info (include/uapi/linux/tcp.h).
_ACKNOWLEDGED = struct.Struct("120xQ")

_log = logging.getLogger("ticketfeed.access")


class Mark(NamedTuple):
    """What a reader had received at some time, and how much more was there for it to receive."""

    when: float
    received: int
    ready: int

    def is_late(self, last: "Mark", bytes_per_second: float) -> bool:
        """Whether it has received less since the last mark than it should have, and could have."""
        return self.received - last.received < min(bytes_per_second * (self.when - last.when), last.ready)


class BoundedConnection(HttpToolsProtocol):
    """A connection of `connections`. What it does at the moment is told by a few values:

    `since`: when it was opened, its last head began, or its last response was written. `is_head`: a head has begun and
    not ended. `is_reused`: this is not its first request. `quiet_bytes`: received since the parser last found something
    in them. `begun`: when the head began. `body_bytes`: received of the body; `waited_bytes`: how much of it when the
    client last had to wait for the server.
    """

    place: Place | None = None
    _running: RequestResponseCycle | None = None
    _stalled_in: Share | None = None
    since = 0.0
    is_head = False
    is_reused = False
    is_trusted = False
    is_finishing = False
    ignores_input = False
    quiet_bytes = 0
    begun = 0.0
    body_bytes = waited_bytes = 0
    # Whether something may be unsent, and the marks from which the rate of its reader is measured.
    has_unsent = False
    mark: "Mark | None" = None
    busy_mark: "Mark | None" = None

    def __init__(self, connections: "Connections", *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections = connections

    # asyncio's calls

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.since = self.loop.time()
        self._socket = transport.get_extra_info("socket")
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self)
        if self.place is not None:
            self.place.leave()
        self._end_stall()
        self.pipeline.clear()
        if self._running is not None:  # uvicorn tells the last request alone
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.ignores_input:
            return
        self.quiet_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # a request to change the protocol, which is answered as if it were none
            self._take_no_more()
        except httptools.HttpParserError:
            self.refuse(400)
        if self.is_head and not self.quiet_bytes:  # it began in here
            self.quiet_bytes = len(data)
        if self.quiet_bytes > self._connections.limits.head_bytes:
            self.refuse(431)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.place is not None:
            self._stalled_in = self.place.share
            self._stalled_in.stalled.add(self)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _end_stall(self) -> None:
        if self._stalled_in is not None:  # the next request may belong to another share
            self._stalled_in.stalled.discard(self)
            self._stalled_in = None

    # The parser's calls

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.is_reused:
            self.is_reused = True
            self.trust_reader()
        super().on_message_begin()
        self.since = self.begun = self.loop.time()
        self.is_head = self.has_unsent = True
        self.quiet_bytes = self.body_bytes = self.waited_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_head:  # else a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self.is_head = False
        self.quiet_bytes = 0
        if len(self.pipeline) >= self._connections.limits.pipelined_requests:
            raise httptools.HttpParserError("too many pipelined requests")
        self.scope[CONNECTION] = self  # type: ignore[literal-required]  # scopes have keys of servers, too
        super().on_headers_complete()
        if not self.cycle.keep_alive:
            self.cycle.transport = _EndedTransport(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self.quiet_bytes = 0
        self.body_bytes += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        """As uvicorn's, without its timer."""
        self.server_state.total_requests += 1
        self.since = self.loop.time()
        if self.transport.is_closing() or self.is_finishing:
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """Close the connection, or once its request is answered; a slow reader is not waited for beyond the timeout."""
        if self.is_in_progress():
            super().shutdown()
        else:
            self.transport.close()
        if self.config.timeout_graceful_shutdown is not None:
            seconds = max(0.0, self.config.timeout_graceful_shutdown - _BEFORE_TIMEOUT_SECONDS)
            self.loop.call_later(seconds, self._reset_answered)

    # What Connections and Overload ask

    @property
    def address(self) -> str:
        return self.client[0] if self.client else ""

    def is_known(self) -> bool:
        """Whether its last request had valid credentials."""
        context = find_request_context(self.scope) if self.scope else None
        return context is not None and context.identity is not None

    def is_gone(self) -> bool:
        """Whether it is closed, and will be removed in a moment: its descriptor may be another's already."""
        return self.transport.is_closing() and self.buffered_bytes() == 0

    def is_in_progress(self) -> bool:
        """Whether a request is being received or answered."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.disconnected

    def is_sending(self) -> bool:
        """Whether the server waits for the client to send the rest of a head or body."""
        if not self.is_in_progress():
            return self.is_head
        if not self.cycle.more_body:
            return False
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:  # the client waits for the server
            self.since, self.waited_bytes = self.loop.time(), self.body_bytes
            return False
        return True

    def sent_bytes(self) -> int:
        """What the client has sent of the head or body that it is sending."""
        return self.quiet_bytes if self.is_head else self.body_bytes

    def sent_since(self) -> int:
        """What of it the client has sent while it did not have to wait for the server."""
        return self.quiet_bytes if self.is_head else self.body_bytes - self.waited_bytes

    def trust_reader(self) -> None:
        """Let the system hold whole responses for a client with credentials that has shown that it reads them."""
        if self.is_trusted or not hasattr(socket, "TCP_NOTSENT_LOWAT") or not self.is_known():
            return
        if self.acknowledged_bytes() > _PROOF * self._connections.limits.socket_bytes:
            self.is_trusted = True
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)

    def buffered_bytes(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size

    def has_received_all(self) -> bool:
        return self.is_reused and self.buffered_bytes() == 0 and self.kernel_bytes() == 0

    def kernel_bytes(self) -> int:
        """What the system holds for the reader; 0 where it does not say."""
        return _unsent(self._socket.fileno())

    def make_mark(self, now: float) -> "Mark":
        """How far the reader is now."""
        if sys.platform == "linux":
            return Mark(now, self.acknowledged_bytes(), self.kernel_bytes())
        return Mark(now, -self.buffered_bytes(), self.buffered_bytes())

    def acknowledged_bytes(self) -> int:
        """What the reader has received since the connection was opened; 0 where the system does not say."""
        if sys.platform != "linux":
            return 0
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
        return int(_ACKNOWLEDGED.unpack_from(info)[0]) if len(info) >= _ACKNOWLEDGED.size else 0

    def omit_date(self) -> None:
        """Leave the header Date of the response that is being made to the application."""
        if self._running is not None:
            self._running.default_headers = [row for row in self._running.default_headers if row[0] != b"date"]

    # How it ends

    def cut(self, *, at_once: bool) -> None:
        """End the connection in the middle of a response: the client receives what was written, or a reset at once."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        if at_once:
            self.reset()
        else:
            self.finish()

    def refuse(self, status: int) -> None:
        """Answer what the client is sending with an error, and close the connection."""
        if self.is_finishing or self.transport.is_closing():
            return
        cycle = self.cycle
        is_body = self.is_in_progress() and cycle.more_body and not cycle.response_started and not self.pipeline
        if self.is_in_progress() and not is_body:  # earlier requests are answered first
            self._take_no_more()
            return
        if cycle is None or not cycle.more_body or is_body:  # else it has been answered
            phrase = HTTPStatus(status).phrase.encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
                b"connection: close\r\n\r\n%b" % (status, phrase, len(phrase), phrase)
            )
        if is_body:
            context = find_request_context(cycle.scope)
            if context is not None:
                context.cut_status = status
            cycle.disconnected = True
            cycle.message_event.set()
        else:
            line = {"status": status, "client": self.address}
            _log.info("request refused: %s", HTTPStatus(status).phrase, extra={"line": line})
        self.finish()

    def finish(self) -> None:
        """End the output. The connection is closed as soon as the client has received everything."""
        if self.is_finishing or self.transport.is_closing():
            return
        self.is_finishing = self.ignores_input = self.has_unsent = True
        self.since = self.loop.time()
        if self.transport.can_write_eof():
            self.flow.resume_reading()  # the client's end is noticed while reading alone
            with contextlib.suppress(OSError):  # the client has gone meanwhile
                self.transport.write_eof()
        else:
            self.transport.close()

    def reset(self) -> None:
        """Close it at once; what the reader has not received is discarded."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _reset_answered(self) -> None:
        if not self.is_in_progress():
            self.reset()

    def _take_no_more(self) -> None:
        """Answer what has been received, then close the connection."""
        self.ignores_input = True
        if self.is_in_progress():
            self.cycle.keep_alive = False
            self.cycle.transport = _EndedTransport(self)  # type: ignore[assignment]
        else:
            self.finish()


class _EndedTransport:
    """The transport of the last request of a connection: `close` ends the output, and waits for the reader."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection
        self.write = connection.transport.write

    def is_closing(self) -> bool:
        return self._connection.is_finishing or self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.finish()


def _ask_system() -> Callable[[int], int]:
    try:
        from fcntl import ioctl
        from termios import TIOCOUTQ
    except ImportError:
        return lambda _: 0
    size = array.array("i", [0])

    def ask(descriptor: int) -> int:
        try:
            ioctl(descriptor, TIOCOUTQ, size)
        except OSError:  # closed meanwhile
            return 0
        return size[0]

    return ask


_unsent = _ask_system()
