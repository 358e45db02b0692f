"""What a process notes of the requests it serves, passed on every second to the store, where all processes share it.

A request costs two entries in lists: what it was, and what it was for its consumer. The store turns them into consumers
(`protocol/consumers.py`) once a second; while it is away they wait here, and nothing that is served waits for them.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.types import Scope

from ticketfeed.protocol.consumers import (
    CONSUMERS_MAX,
    REQUESTS_KEPT,
    Consumer,
    Event,
    RequestRecord,
    UsageUpdate,
    consumer_key,
    join,
)
from ticketfeed.protocol.errors import StoreError, StoreUnavailable, WireError
from ticketfeed.protocol.model import Account, Filters
from ticketfeed.protocol.query import parse_filters
from ticketfeed.server.request_context import RequestContext
from ticketfeed.storage.contract import Store

__all__ = ["Answered", "UsageTracker", "header_text", "logged_path"]

PASS_ON_SECONDS = 1.0
# Of a caller's own words.
TEXT_CHARS_MAX = 200
# Of one consumer; from then on pages that follow one another are noted as one.
EVENTS_MAX = 1000
_EXPORTS = "/incremental/"

_log = logging.getLogger("ticketfeed.notes")


class Answered(NamedTuple):
    """A request with its answer. `is_whole`: a GET whose answer was sent to its end."""

    scope: Scope
    context: RequestContext
    request_id: str
    query: dict[str, str]
    status: int
    sent: int
    seconds: float
    is_whole: bool


@dataclass(slots=True)
class _Waiting:
    """What waits to be passed on, of one account."""

    consumers: dict[str, UsageUpdate] = field(default_factory=dict)
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=REQUESTS_KEPT))


class UsageTracker:
    """Those of one process. `instant`: what time it is, in Unix seconds."""

    def __init__(self, store: Store, instant: Callable[[], float]) -> None:
        self._store, self._instant = store, instant
        self._waiting: dict[Account, _Waiting] = {}
        self._task: asyncio.Task[None] | None = None
        self._passing = asyncio.Lock()
        self._is_told = False

    def add(self, answered: Answered) -> None:
        """Note this one."""
        account = answered.context.account
        if account is None:
            return
        at = self._instant()
        waiting = self._waiting.setdefault(account, _Waiting())
        waiting.requests.append(_request_record(answered, at))
        if (who := _consumer(answered, at)) and (event := _event(answered, at)):
            self._add_event(waiting, who, event)

    def _add_event(self, waiting: _Waiting, who: Consumer, event: Event) -> None:
        key = consumer_key(who)
        if key not in waiting.consumers:
            waiting.consumers[key] = UsageUpdate(who, deque(maxlen=EVENTS_MAX))
            if len(waiting.consumers) > CONSUMERS_MAX:
                del waiting.consumers[next(iter(waiting.consumers))]
        events = waiting.consumers[key].events
        assert isinstance(events, deque)
        if len(events) == EVENTS_MAX and (joined := join(events[-1], event)) is not None:
            events[-1] = joined
        else:
            events.append(event)

    def keep_on(self) -> None:
        """From now on, pass on every second what was noted."""
        self._task = asyncio.get_running_loop().create_task(self._pass_on_for_ever())

    async def end(self) -> None:
        """Pass on the rest."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.pass_on()

    async def pass_on(self) -> None:
        """Everything noted so far. What the store does not take now, it is offered again."""
        async with self._passing:
            refusals = [await self._pass_on_of(account) for account in list(self._waiting)]
        self._tell(next(filter(None, refusals), ""))

    async def _pass_on_of(self, account: Account) -> str:
        """Why the store did not take it; nothing where it did."""
        waiting = self._waiting.pop(account)
        consumers, requests = dict(waiting.consumers), list(waiting.requests)
        try:
            await self._store.record_usage(account, consumers, requests, self._instant())
        except (StoreError, StoreUnavailable) as error:
            self._put_back(account, waiting)
            return str(error)
        except BaseException:
            self._put_back(account, waiting)
            raise
        return ""

    def _put_back(self, account: Account, waiting: _Waiting) -> None:
        """What was noted meanwhile comes behind it."""
        meanwhile = self._waiting.get(account, _Waiting())
        self._waiting[account] = waiting
        waiting.requests.extend(meanwhile.requests)
        for noted in meanwhile.consumers.values():
            for event in noted.events:
                self._add_event(waiting, noted.who, event)

    async def _pass_on_for_ever(self) -> None:
        while True:
            await asyncio.sleep(PASS_ON_SECONDS)
            try:
                await self.pass_on()
            except Exception:
                _log.exception("what was noted of requests is lost")
                self._waiting.clear()

    def _tell(self, reason: str) -> None:
        """Once, until it works again."""
        if reason and not self._is_told:
            _log.warning("consumers are not noted for now: %s", reason)
        self._is_told = bool(reason)


def _request_record(answered: Answered, at: float) -> RequestRecord:
    scope, identity = answered.scope, answered.context.identity
    return RequestRecord(
        at=at,
        request_id=answered.request_id,
        method=scope["method"],
        path=logged_path(scope),
        query=answered.query,
        status=answered.status,
        ms=round(answered.seconds * 1000, 2),
        bytes=answered.sent,
        client=(scope.get("client") or ("",))[0],
        user_agent=header_text(scope, b"user-agent"),
        email=identity.email if identity else "",
    )


def _consumer(answered: Answered, at: float) -> Consumer | None:
    """Who asked, if it was somebody for an export."""
    context = answered.context
    export = context.endpoint.removeprefix(_EXPORTS)
    if context.identity is None or export == context.endpoint or export.endswith("/sample"):
        return None
    return Consumer(
        credential_id=context.identity.credential_id,
        user_id=context.identity.user_id,
        email=context.identity.email,
        user_agent=header_text(answered.scope, b"user-agent"),
        export=export,
        filters=context.served.filters if context.served else _asked_filters(answered.query),
        first_at=at,
        last_at=at,
    )


def _asked_filters(query: dict[str, str]) -> Filters:
    """Of a request that was refused, as far as they can be read."""
    try:
        return parse_filters(query)
    except WireError:
        return Filters()


def _event(answered: Answered, at: float) -> Event | None:
    if answered.status >= 400:
        return Event(at, error=answered.context.error or str(answered.status))
    if answered.context.served is not None and answered.status == 200 and answered.is_whole:
        return Event(at, answered.context.served, answered.sent)
    return None


def header_text(scope: Scope, name: bytes) -> str:
    """A header as it may be shown; empty for none."""
    value: bytes = next((value for found, value in scope["headers"] if found == name), b"")
    return "".join(c if c.isprintable() else " " for c in value[:TEXT_CHARS_MAX].decode("latin-1"))


def logged_path(scope: Scope) -> str:
    """The path, no longer than a line can bear."""
    return str(scope["path"][:500])
