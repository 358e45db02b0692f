"""Overload protection: bounds on requests in progress and on unsent bytes. Requests beyond get 503 with Retry-After.

A page is made in a millisecond or two, and then waits for its reader. So what grows under load is not work but bytes:
answers that slow readers have not taken. While there are too many, new requests wait in a queue for a few seconds, as
many as can be served in that time.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ticketfeed.protocol.errors import ServerBusy
from ticketfeed.server.responses import error_response

__all__ = ["REQUESTS_MAX", "UNSENT_BYTES_MAX", "WAIT_SECONDS_MAX", "Overload", "stalled_transports", "unsent_bytes"]

# Answers held in memory until their readers have taken them.
UNSENT_BYTES_MAX = 128 * 1024 * 1024
# Requests of one process that wait or are being answered.
REQUESTS_MAX = 1000
# Clients of the wire give up after five seconds.
WAIT_SECONDS_MAX = 3.0
RETRY_AFTER_SECONDS = 5
_POLL_SECONDS = 0.005
_WARN_SECONDS = 60.0

# Connections of this process with more to send than their readers have taken.
stalled_transports: set[asyncio.WriteTransport] = set()

_log = logging.getLogger("ticketfeed.overload")


def unsent_bytes() -> int:
    """Bytes of answers that this process holds because readers have not taken them yet."""
    return sum([transport.get_write_buffer_size() for transport in stalled_transports])


class Overload:
    """Refuses requests while the process is overloaded, but for those below /_ticketfeed/, such as health checks."""

    def __init__(self, app: ASGIApp, unsent: Callable[[], int] = unsent_bytes) -> None:
        self._app, self._unsent = app, unsent
        self._in_progress = 0
        self._warned_at: float | None = None
        # A fair queue: the first to wait is the first to be served.
        self._queue = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_ticketfeed/"):
            await self._app(scope, receive, send)
            return
        self._in_progress += 1
        try:
            if await self._is_admitted():
                await self._app(scope, receive, send)
            else:
                self._warn()
                busy = ServerBusy("too many requests in progress", RETRY_AFTER_SECONDS)
                await error_response(Request(scope), busy)(scope, receive, send)
        finally:
            self._in_progress -= 1

    async def _is_admitted(self) -> bool:
        if self._in_progress > REQUESTS_MAX:
            return False
        if not self._queue.locked() and self._unsent() <= UNSENT_BYTES_MAX:
            return True
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX), self._queue:
                while self._unsent() > UNSENT_BYTES_MAX:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    def _warn(self) -> None:
        """Log once a minute: a line for each refusal would add to the load."""
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at > _WARN_SECONDS:
            self._warned_at = now
            held = self._unsent() // 1024 // 1024
            _log.warning("refusing requests: %d in progress, %d MiB not taken by readers", self._in_progress, held)
