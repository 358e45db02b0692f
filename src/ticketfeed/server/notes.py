"""What a process notes of the requests it serves, passed on every second to the store, where all processes share it.

A request costs one entry in a list. What stands in the list becomes consumers (`protocol/consumers.py`) once a second;
while the store is away they wait here, and nothing that is served waits for them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import Scope

from ticketfeed.protocol.consumers import (
    CONSUMERS_MAX,
    REQUESTS_KEPT,
    Consumer,
    RequestNote,
    consumer_key,
    merge,
    note_failure,
    note_served,
)
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server.seen import Seen
from ticketfeed.storage.base import Store

__all__ = ["Answered", "Notes", "header_text", "logged_path"]

PASS_ON_SECONDS = 1.0
# Of a caller's own words; and of requests whose turn has not come, between two seconds.
TEXT_CHARS_MAX = 200
WAITING_MAX = 20_000
_EXPORTS = "/incremental/"

_log = logging.getLogger("ticketfeed.notes")


class Answered(NamedTuple):
    """A request with its answer."""

    scope: Scope
    seen: Seen
    request_id: str
    query: dict[str, str]
    status: int
    sent: int
    seconds: float


class Notes:
    """Those of one process. `instant`: what time it is, in Unix seconds."""

    def __init__(self, store: Store, instant: Callable[[], float]) -> None:
        self._store, self._instant = store, instant
        self._waiting: deque[tuple[float, Answered]] = deque(maxlen=WAITING_MAX)
        self._fresh: dict[Account, dict[str, Consumer]] = {}
        self._requests: dict[Account, deque[RequestNote]] = {}
        self._known: dict[tuple[Account, str], Consumer] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_told = False

    def add(self, answered: Answered) -> None:
        """Note this one."""
        if answered.seen.account is not None:
            self._waiting.append((self._instant(), answered))

    def keep_on(self) -> None:
        """From now on, pass on every second what was noted."""
        self._task = asyncio.get_running_loop().create_task(self._pass_on_for_ever())

    async def end(self) -> None:
        """Pass on the rest."""
        if self._task is not None:
            self._task.cancel()
        await self.pass_on()

    async def pass_on(self) -> None:
        """Everything noted so far. What the store does not take now, it is offered again."""
        while self._waiting:
            at, answered = self._waiting.popleft()
            self._take(at, answered)
        for account in {*self._fresh, *self._requests}:
            fresh = self._fresh.get(account, {})
            requests = list(self._requests.get(account, ()))
            try:
                merged = await self._store.keep_notes(account, fresh, requests, self._instant())
            except (StoreError, StoreUnavailable) as error:
                self._tell(str(error))
                return
            del self._fresh[account], self._requests[account]
            self._known.update({(account, key): consumer for key, consumer in merged.items()})
        while len(self._known) > CONSUMERS_MAX:
            del self._known[next(iter(self._known))]
        self._is_told = False

    def _take(self, at: float, answered: Answered) -> None:
        scope, seen = answered.scope, answered.seen
        account, identity, served = seen.account, seen.identity, seen.served
        assert account is not None
        agent = header_text(scope, b"user-agent")
        self._requests.setdefault(account, deque(maxlen=REQUESTS_KEPT)).append(
            RequestNote(
                at=at,
                request_id=answered.request_id,
                method=scope["method"],
                path=logged_path(scope),
                query=answered.query,
                status=answered.status,
                ms=round(answered.seconds * 1000, 2),
                bytes=answered.sent,
                client=(scope.get("client") or ("",))[0],
                user_agent=agent,
                email=identity.email if identity else "",
            )
        )
        fresh = self._fresh.setdefault(account, {})
        export = served.export if served else seen.endpoint.removeprefix(_EXPORTS)
        if identity is None or not seen.endpoint.startswith(_EXPORTS) or export.endswith("/sample"):
            return
        key = consumer_key(identity.credential_id, agent, export)
        blank = Consumer(
            credential_id=identity.credential_id,
            user_id=identity.user_id,
            email=identity.email,
            user_agent=agent,
            export=export,
            first_at=at,
            last_at=at,
        )
        before, known = fresh.get(key, blank), self._known.get((account, key))
        if served is not None and answered.status == 200:
            whole = merge(known, before) if known else before
            fresh[key] = note_served(whole, before, served, answered.sent, at)
        elif answered.status >= 400:
            fresh[key] = note_failure(before, seen.error or str(answered.status), at)

    async def _pass_on_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PASS_ON_SECONDS)
            try:
                await self.pass_on()
            except Exception:
                _log.exception("what was noted of requests is lost")

    def _tell(self, reason: str) -> None:
        """Once, until it works again."""
        if not self._is_told:
            self._is_told = True
            _log.warning("consumers are not noted for now: %s", reason)


def header_text(scope: Scope, name: bytes) -> str:
    """A header as it may be shown; empty for none."""
    value: bytes = next((value for found, value in scope["headers"] if found == name), b"")
    return "".join(c if c.isprintable() else " " for c in value.decode("latin-1"))[:TEXT_CHARS_MAX]


def logged_path(scope: Scope) -> str:
    """The path, no longer than a line can bear."""
    return str(scope["path"][:500])
