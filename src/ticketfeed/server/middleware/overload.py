"""How much one process takes on. What goes beyond is refused early, and told when to come again.

A page is made in a millisecond or two, and then waits for its reader. So what piles up under load is not work but
bytes: answers that slow readers have not taken. New requests wait in line while too many of them are held, a little
while, and no more of them than can be served in that time.
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
_LOOK_AGAIN_SECONDS = 0.005
_TELL_SECONDS = 60.0

# Connections of this process with more to send than their readers have taken.
stalled_transports: set[asyncio.WriteTransport] = set()

_log = logging.getLogger("ticketfeed.overload")


def unsent_bytes() -> int:
    """What this process holds for readers that have not taken it yet."""
    return sum([transport.get_write_buffer_size() for transport in stalled_transports])


class Overload:
    """Stands before all that costs something. Whether the process is alive can be asked at any time."""

    def __init__(self, app: ASGIApp, unsent: Callable[[], int] = unsent_bytes) -> None:
        self._app, self._unsent = app, unsent
        self._under_way = 0
        self._told: float | None = None
        # Who came first is served first.
        self._line = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_ticketfeed/"):
            await self._app(scope, receive, send)
            return
        self._under_way += 1
        try:
            if await self._is_let_in():
                await self._app(scope, receive, send)
            else:
                self._tell()
                busy = ServerBusy("too many requests under way", RETRY_AFTER_SECONDS)
                await error_response(Request(scope), busy)(scope, receive, send)
        finally:
            self._under_way -= 1

    async def _is_let_in(self) -> bool:
        if self._under_way > REQUESTS_MAX:
            return False
        if not self._line.locked() and self._unsent() <= UNSENT_BYTES_MAX:
            return True
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX), self._line:
                while self._unsent() > UNSENT_BYTES_MAX:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        except TimeoutError:
            return False
        return True

    def _tell(self) -> None:
        """Once a minute: a line for each would be load, too."""
        now = time.monotonic()
        if self._told is None or now - self._told > _TELL_SECONDS:
            self._told = now
            held = self._unsent() // 1024 // 1024
            _log.warning("requests are refused: %d under way, %d MiB not taken by readers", self._under_way, held)
