"""Overload protection: bounds on requests in progress and on unsent bytes. Requests beyond get 503 with Retry-After.

A page is made in a millisecond or two, and then waits for its reader. So what grows under load is not work but bytes:
responses that slow readers have not received. While there are too many, new requests wait in a queue for a few seconds,
as many as can be served in that time. Requests without credentials have a small share of their own, so that they never
take the place of others.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ticketfeed.protocol.errors import ServerBusy
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import error_response
from ticketfeed.storage.shares import AccountShares

__all__ = [
    "CONNECTION",
    "PAGES_OF_ACCOUNT",
    "Overload",
    "Place",
    "Reader",
    "Share",
    "begin_page",
    "hold",
    "limit_anonymous",
]

RETRY_AFTER_SECONDS = 5
_POLL_SECONDS = 0.005
_ADMITTED_TOGETHER = 8
# Pages and lists of one account that are read at once: more than a store reads at a time, and few enough that what they
# take before it is counted as unsent, 2 to 16 MB each, does not matter.
PAGES_OF_ACCOUNT = 8
_WARN_SECONDS = 60.0
# The unsent bytes, as a multiple of the limit, up to which a connection is served that has received all before.
_PROVEN_UNSENT = 1.5
# Requests whose client is gone are worked on to their end, a write may be half done: as many again at the most.
_RUNNING = 2
# Answered during overload, too: orchestrators ask there whether to restart the process.
_ALWAYS_ANSWERED = frozenset(("/_ticketfeed/health", "/_ticketfeed/ready"))
_CREDENTIALS = frozenset((b"authorization", b"cookie"))
# Keys of the scope: the connection of a request, absent in a process without one; and its place.
CONNECTION, _PLACE = "ticketfeed.connection", "ticketfeed.place"

_log = logging.getLogger("ticketfeed.overload")


class Reader(Protocol):
    """A connection, as far as it concerns overload."""

    place: "Place | None"

    def buffered_bytes(self) -> int:
        """Bytes that the process holds for it."""

    def has_received_all(self) -> bool:
        """Whether it has received everything that it was sent, and that was something."""


class Share:
    """Requests that share their limits: those with credentials, or all others.

    `stalled`: connections that the process holds bytes for. `kernel_bytes`: what the system held for all connections
    when it was last counted. `held_bytes`: what is ready of answers that are sent in parts, and was not written yet.
    """

    def __init__(self, requests_max: int, unsent_bytes_max: int) -> None:
        self.requests_max, self.unsent_bytes_max = requests_max, unsent_bytes_max
        # In progress; `running`: and those whose client is gone, too.
        self.requests = self.running = 0
        self.stalled: set[Reader] = set()
        self.kernel_bytes = self.held_bytes = 0
        # The first to wait is the first to be admitted.
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._admitting: asyncio.Task[None] | None = None

    def unsent_bytes(self) -> int:
        """Bytes of responses that have not been received."""
        known = self.kernel_bytes + self.held_bytes
        if not self.stalled:
            return known
        return known + sum([reader.buffered_bytes() for reader in self.stalled])

    def has_room(self) -> bool:
        """Whether a request may be answered now that did not wait."""
        return not self._waiting and self.unsent_bytes() <= self.unsent_bytes_max

    def has_room_for(self, reader: Reader | None) -> bool:
        """Whether one of this connection may be, even so: it has received all that it was sent."""
        most = _PROVEN_UNSENT * self.unsent_bytes_max
        return reader is not None and reader.has_received_all() and self.unsent_bytes() <= most

    async def wait_for_room(self, seconds: float, *, has_waited: bool = False) -> bool:
        """Wait in line for at most so long, in front if it has waited before. Whether the request may be answered."""
        turn = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if has_waited else self._waiting.append)(turn)
        if self._admitting is None:
            self._admitting = asyncio.create_task(self._admit())
        try:
            async with asyncio.timeout(seconds):
                await turn
        except TimeoutError:
            return False
        return True

    async def _admit(self) -> None:
        """Admit a few at a time: what they are sent is not counted before it is written."""
        while self._waiting:
            for _ in range(_ADMITTED_TOGETHER):
                while self._waiting and self._waiting[0].done():  # gave up
                    self._waiting.popleft()
                if not self._waiting or self.unsent_bytes() > self.unsent_bytes_max:
                    break
                self._waiting.popleft().set_result(None)
            await asyncio.sleep(_POLL_SECONDS)
        self._admitting = None


class Place:
    """The place of a request in a share, until it is answered or its client is gone."""

    __slots__ = ("_held_bytes", "is_taken", "share")

    def __init__(self, share: Share) -> None:
        self.share, self.is_taken = share, True
        self._held_bytes = 0
        share.requests += 1

    def hold(self, size: int) -> None:
        """Count what the process holds of its answer, which is sent in parts, among the unsent bytes."""
        self.share.held_bytes += size - self._held_bytes
        self._held_bytes = size

    def leave(self) -> None:
        """Free the place. The share stays known: it is the one that the response counts for."""
        if self.is_taken:
            self.is_taken = False
            self.share.requests -= 1

    def move(self, share: Share) -> None:
        """Take a place in another share instead."""
        if self.is_taken:
            self.share.requests -= 1
            share.requests += 1
        self.share = share


class Overload:
    """Refuses requests while the process is overloaded."""

    def __init__(self, app: ASGIApp, limits: Limits = DEFAULT_LIMITS) -> None:
        self._app, self._wait_seconds = app, limits.wait_seconds
        self.known = Share(limits.requests, limits.unsent_bytes)
        self.anonymous = Share(limits.anonymous_requests, limits.anonymous_unsent_bytes)
        self._pages = AccountShares(PAGES_OF_ACCOUNT)
        self._warned_at: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        share = self.anonymous
        for name, _ in scope["headers"]:
            if name in _CREDENTIALS:
                share = self.known
                break
        reader: Reader | None = scope.get(CONNECTION)
        place = Place(share)
        scope[_PLACE] = place, self
        if reader is not None:
            reader.place = place
        share.running += 1
        try:
            if scope["path"] in _ALWAYS_ANSWERED or await self._is_admitted(place, reader):
                await self._app(scope, receive, send)
            else:
                self._warn(share)
                await error_response(Request(scope), _busy())(scope, receive, send)
        finally:
            share.running -= 1
            place.hold(0)
            place.leave()

    async def _is_admitted(self, place: Place, reader: Reader | None) -> bool:
        share = place.share
        if share.requests > share.requests_max or share.running > _RUNNING * share.requests_max:
            return False
        if share.has_room() or share.has_room_for(reader):
            return True
        return await share.wait_for_room(self._wait_seconds) and place.is_taken

    async def begin_page(self, place: Place, reader: Reader | None, account_id: int) -> Callable[[], None]:
        """Wait for one of the few places in which pages of an account are read, and for room to send what is read.

        A request was admitted before the others were sent their pages. While those are read from a database, hundreds
        would be admitted, and all their pages be held at once. Who has received all so far waits for nobody. Returns
        what gives the place back. Raises ServerBusy, StoreUnavailable.
        """
        if place.share.has_room_for(reader):
            return _do_nothing
        deadline = time.monotonic() + self._wait_seconds
        await self._pages.take(account_id, deadline)
        while place.share.unsent_bytes() > place.share.unsent_bytes_max:
            self._pages.give_back(account_id)  # who waits for room keeps nobody waiting who has it
            if not await place.share.wait_for_room(deadline - time.monotonic(), has_waited=True):
                raise _busy()
            await self._pages.take(account_id, deadline)
        return partial(self._pages.give_back, account_id)

    def _warn(self, share: Share) -> None:
        """Log once a minute: a line for each refusal would add to the load."""
        now = time.monotonic()
        if self._warned_at is None or now - self._warned_at > _WARN_SECONDS:
            self._warned_at = now
            whose = "with" if share is self.known else "without"
            unsent = share.unsent_bytes() // 1024 // 1024
            _log.warning(
                "refusing requests %s credentials: %d in progress, %d MiB not received", whose, share.requests, unsent
            )


def hold(scope: Scope, size: int) -> None:
    """`Place.hold` for a request."""
    if _PLACE in scope:
        scope[_PLACE][0].hold(size)


async def begin_page(scope: Scope, account_id: int) -> Callable[[], None]:
    """`Overload.begin_page` for a request."""
    if _PLACE not in scope:  # called in the process
        return _do_nothing
    place, overload = scope[_PLACE]
    end: Callable[[], None] = await overload.begin_page(place, scope.get(CONNECTION), account_id)
    return end


def _do_nothing() -> None:
    pass


def limit_anonymous(scope: Scope) -> None:
    """Count a request as anonymous from now on if no credentials were found to be valid, whatever its headers have.

    Raises ServerBusy.
    """
    place, overload = scope.get(_PLACE, (None, None))
    if place is None or place.share is overload.anonymous or request_context(scope).identity is not None:
        return
    anonymous = overload.anonymous
    place.move(anonymous)
    if anonymous.requests > anonymous.requests_max:
        raise _busy()


def _busy() -> ServerBusy:
    return ServerBusy("too many requests in progress", RETRY_AFTER_SECONDS)
