"""Usage tracking: records of requests, buffered in memory and flushed to the store once a second.

A request appends one entry to the list of requests and one to the events of its consumer. The store merges the events
of all processes into consumers (`protocol/consumers.py`). While the store is unavailable the records stay in the
buffer; no response waits for a flush.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope

from ticketfeed.protocol.consumers import (
    ANONYMOUS_REQUESTS_KEPT,
    CONSUMERS_MAX,
    REQUESTS_KEPT,
    Consumer,
    Event,
    RequestRecord,
    Served,
    UsageUpdate,
    consumer_key,
    merge_events,
)
from ticketfeed.protocol.errors import StoreError, StoreUnavailable, WireError
from ticketfeed.protocol.model import Account, Filters
from ticketfeed.protocol.query import parse_filters
from ticketfeed.protocol.retry_after import parse_retry_after
from ticketfeed.server.ops.token_uses import TokenUses
from ticketfeed.server.request_context import RequestContext
from ticketfeed.storage.contract import Store

__all__ = ["Answered", "UsageTracker", "header_text", "logged_path"]

FLUSH_SECONDS = 1.0
# Of a header sent by a client.
TEXT_CHARS_MAX = 200
# Buffered events of one consumer; beyond that, consecutive pages are merged into one event.
EVENTS_MAX = 1000
_EXPORTS = "/incremental/"

_log = logging.getLogger("ticketfeed.usage")


class Answered(NamedTuple):
    """A request and its response. `is_whole`: a GET whose response was sent completely. `retry_after`: its header."""

    scope: Scope
    context: RequestContext
    request_id: str
    query: dict[str, str]
    status: int
    sent: int
    seconds: float
    is_whole: bool
    retry_after: str = ""


@dataclass(slots=True)
class _Buffer:
    """The buffered records of one account."""

    requests: deque[RequestRecord]
    consumers: dict[str, UsageUpdate] = field(default_factory=dict)
    anonymous: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=ANONYMOUS_REQUESTS_KEPT))


class UsageTracker:
    """The usage records of one process. `instant` returns the current time in Unix seconds, with fractions. `keep`: how
    many requests are stored of an account. `on_erasure` is called after any process has erased.
    """

    def __init__(
        self,
        store: Store,
        instant: Callable[[], float],
        keep: int = REQUESTS_KEPT,
        on_erasure: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._instant, self._keep, self._on_erasure = store, instant, keep, on_erasure
        self._token_uses = TokenUses(store)
        self._erasures: int | None = None
        self._buffers: dict[Account, _Buffer] = {}
        self._task: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()
        self._has_warned = False

    def add(self, answered: Answered) -> None:
        """Buffer the records of one request."""
        account = answered.context.account
        if account is None:
            return
        at = self._instant()
        time = self._store.clocks.at(account, int(at))
        if answered.context.identity is not None and answered.status != 401:
            self._token_uses.add(account, answered.context.identity, time)
        buffer = self._buffers.get(account)
        if buffer is None:
            buffer = self._buffers[account] = self._new_buffer()
        requests = buffer.anonymous if answered.context.identity is None else buffer.requests
        requests.append(_request_record(answered, at, time))
        if (consumer := _consumer(answered, at)) and (event := _event(answered, at)):
            self._add_event(buffer, consumer, event)

    def _new_buffer(self) -> _Buffer:
        return _Buffer(deque(maxlen=self._keep))

    def _add_event(self, buffer: _Buffer, consumer: Consumer, event: Event) -> None:
        key = consumer_key(consumer)
        if key not in buffer.consumers:
            if event.served is None and len(buffer.consumers) >= CONSUMERS_MAX:
                return
            buffer.consumers[key] = UsageUpdate(consumer, deque(maxlen=EVENTS_MAX))
            if len(buffer.consumers) > CONSUMERS_MAX:
                del buffer.consumers[next(iter(buffer.consumers))]
        events = buffer.consumers[key].events
        assert isinstance(events, deque)
        if len(events) == EVENTS_MAX and (merged := merge_events(events[-1], event)) is not None:
            events[-1] = merged
        else:
            events.append(event)

    def start(self) -> None:
        """Start the task that flushes the buffer every second."""
        self._task = asyncio.get_running_loop().create_task(self._flush_forever())

    async def stop(self) -> None:
        """Stop the task and flush what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._token_uses.stop()
        await self.flush()

    async def flush(self) -> None:
        """Write the buffered records to the store. Records that it cannot take stay in the buffer."""
        async with self._flushing:
            await self._drop_erased()
            reasons = await asyncio.gather(*map(self._flush_account, list(self._buffers)))
        self._warn_once(next(filter(None, reasons), ""))

    async def flush_all(self, workers: int) -> None:
        """Flush, and wait until the other processes of this server have."""
        await self.flush()
        if workers > 1:
            await asyncio.sleep(1.2 * FLUSH_SECONDS)

    async def flush_token_uses(self) -> None:
        """Write when tokens were last used, for `flush` does not: it waits for no write of the store."""
        await self._token_uses.flush()

    async def _drop_erased(self) -> None:
        """If any process has erased since, drop the buffered requests, which may carry what was erased, and all that is
        buffered of accounts that are gone."""
        with contextlib.suppress(StoreError, StoreUnavailable):
            before, self._erasures = self._erasures, await self._store.count_erasures()
            if before in (None, self._erasures):
                return
            self._on_erasure()
            for buffer in self._buffers.values():
                buffer.requests.clear()
                buffer.anonymous.clear()
            known = set(await self._store.list_accounts())
            for account in self._buffers.keys() - known:
                del self._buffers[account]

    async def _flush_account(self, account: Account) -> str:
        """Flush one account; returns the reason if the store was unavailable, else an empty text."""
        buffer = self._buffers.pop(account)
        consumers, requests = dict(buffer.consumers), [*buffer.requests, *buffer.anonymous]
        try:
            await self._store.record_usage(account, consumers, requests, self._instant(), keep=self._keep)
        except (StoreError, StoreUnavailable) as error:
            self._restore(account, buffer)
            return str(error)
        except BaseException:
            self._restore(account, buffer)
            raise
        return ""

    def _restore(self, account: Account, buffer: _Buffer) -> None:
        """Return records to the buffer, before those that were added in the meantime."""
        meanwhile = self._buffers.get(account) or self._new_buffer()
        self._buffers[account] = buffer
        buffer.requests.extend(meanwhile.requests)
        buffer.anonymous.extend(meanwhile.anonymous)
        for update in meanwhile.consumers.values():
            for event in update.events:
                self._add_event(buffer, update.consumer, event)

    async def _flush_forever(self) -> None:
        await self._drop_erased()
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._token_uses.start_flush()
            try:
                await self.flush()
            except Exception:
                _log.exception("dropped buffered usage records")
                self._buffers.clear()

    def _warn_once(self, reason: str) -> None:
        """Log the reason once, until a flush succeeds."""
        if reason and not self._has_warned:
            _log.warning("cannot flush usage records, will retry: %s", reason)
        self._has_warned = bool(reason)


def _request_record(answered: Answered, at: float, time: int) -> RequestRecord:
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
        is_anonymous=identity is None,
        time=time,
        credential_id=identity.credential_id if identity else 0,
        error=answered.context.error,
        served=_served(answered),
        retry_after=parse_retry_after(answered.retry_after, time),
    )


def _consumer(answered: Answered, at: float) -> Consumer | None:
    """The consumer of a request; None unless an authenticated user requested an export."""
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
        filters=context.served.filters if context.served else _requested_filters(answered.query),
        first_at=at,
        last_at=at,
    )


def _requested_filters(query: dict[str, str]) -> Filters:
    """The filters of a refused request, or the defaults if they are invalid."""
    try:
        return parse_filters(query)
    except WireError:
        return Filters()


def _event(answered: Answered, at: float) -> Event | None:
    if answered.status >= 400:
        return Event(at, error=answered.context.error or str(answered.status))
    served = _served(answered)
    return Event(at, served, answered.sent) if served else None


def _served(answered: Answered) -> Served | None:
    """The page that was sent whole."""
    return answered.context.served if answered.status == 200 and answered.is_whole else None


def header_text(scope: Scope, name: bytes) -> str:
    """A request header as printable text of bounded length; empty if it is missing."""
    value: bytes = next((value for found, value in scope["headers"] if found == name), b"")
    return _printable(value[:TEXT_CHARS_MAX])


@lru_cache(1024)  # a client sends the same with each request
def _printable(value: bytes) -> str:
    return "".join(c if c.isprintable() else " " for c in value.decode("latin-1"))


def logged_path(scope: Scope) -> str:
    """The path, shortened to 500 characters."""
    return str(scope["path"][:500])
