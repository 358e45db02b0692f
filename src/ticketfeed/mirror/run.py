"""A mirror that runs: it holds the lease of its account, walks its source, applies page after page."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from ticketfeed.client.auth import TokenFile
from ticketfeed.client.drivers import Ways, drive_async, returned_async
from ticketfeed.client.exporter import connect
from ticketfeed.client.oauth import Credentials, RefreshToken
from ticketfeed.client.session import Flow, Patience, Session
from ticketfeed.client.sources import Source
from ticketfeed.client.steps import ExportPage, Wait
from ticketfeed.client.streams import STREAMS
from ticketfeed.client.transport import Transport
from ticketfeed.clock import system_instant
from ticketfeed.mirror.apply import PageWrite, apply_page
from ticketfeed.mirror.budget import StoredBudget
from ticketfeed.mirror.continuous import ContinuousVerification
from ticketfeed.mirror.counted_transport import CountedTransport
from ticketfeed.mirror.drafts import make_drafts
from ticketfeed.mirror.lease import LeaseHolder, refuse_running
from ticketfeed.mirror.progress import Progress
from ticketfeed.mirror.source_check import HeldTicket, check_source, count_records
from ticketfeed.mirror.status import status_of, streams_of
from ticketfeed.mirror.verification import store_findings
from ticketfeed.mirror.verify import Verifier
from ticketfeed.mirror.walk import FOR_CHANGES, MirrorWalk
from ticketfeed.protocol.errors import BadInput, SourceChanged, SourceError, SourceRefused, StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror, MirrorStatus, StreamState
from ticketfeed.protocol.model import Account, Slice, TicketList
from ticketfeed.protocol.request_budget import count_sent, request_limit
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["MirrorOptions", "MirrorRun"]

T = TypeVar("T")

RENEW_SECONDS = 5.0
# A page takes half a minute at most, unless the source is silent.
STOP_SECONDS = 30.0
SAMPLE_TICKETS = 50
# Between two tries to write a store that cannot be written.
STORE_SECONDS = 5.0
# The source is looked at again so often, and after every fault: what answers then may be another one.
CHECK_SECONDS = 3600.0
# What a fence adds to the clock where a source was accepted anew.
ACCEPT_CLOCK_ERROR_SECONDS = 5


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """`requests_per_minute`, `comments`: None for what is stored. `accepts_source`: although it is not the one that was
    copied. `follow`: go on until stopped."""

    comments: bool | None = None
    follow: bool = True
    accepts_source: bool = False
    requests_per_minute: int | None = None
    give_up_after_seconds: float = math.inf
    per_page: int = 1000


class Stopped(Exception):
    """The run was asked to stop, between two pages."""


class _Held(msgspec.Struct):
    created_at: str
    updated_at: str


_HELD = msgspec.json.Decoder(_Held)


class MirrorRun:
    """One run of a mirror, in the event loop of `store`.

    `note`: is told what an operator should know, a line each. `clock` and `sleep` are replaced where time is not real.
    """

    def __init__(
        self,
        store: Store,
        account: str | Account,
        source: Source,
        credentials: Credentials | None,
        options: MirrorOptions,
        *,
        note: Callable[[str], None] = lambda _text: None,
        transport: Transport | None = None,
        clock: Callable[[], float] = system_instant,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._store, self._source, self._options, self._note_line = store, source, options, note
        self._name = account if isinstance(account, str) else account.subdomain
        self._account: Account | None = account if isinstance(account, Account) else None
        self._clock, self._sleep_seconds = clock, sleep
        self._transport = CountedTransport(transport or connect(source)[0], clock)
        rotating = credentials if isinstance(credentials, RefreshToken) else None
        self._tokens = TokenFile(rotating.file, source.url) if rotating else None
        patience = Patience(options.per_page, None, options.give_up_after_seconds, shares_budget=True)
        self._session = Session(patience, credentials, clock())
        self._holder = LeaseHolder(clock())
        self._streams = streams_of(comments=bool(options.comments))
        self._stopping = asyncio.Event()
        self._mirror: Mirror | None = None
        self._budget: StoredBudget | None = None
        self._wait: Wait | None = None
        self._waits_until = 0.0
        self._last_error: str | None = None
        self._listed: dict[str, set[int]] = {}
        self._progress = Progress(options.per_page)
        self._checked_at = -math.inf
        self._verification: ContinuousVerification | None = None

    def stop(self) -> None:
        """End the run behind the page that is in progress, or without it after STOP_SECONDS. Idempotent."""
        self._stopping.set()

    @property
    def mirror(self) -> Mirror | None:
        """As it was last stored; None before it was begun."""
        return self._mirror

    @property
    def values(self) -> dict[str, Any]:
        """How it goes now (status.py); empty before it was begun."""
        if self._mirror is None:
            return {}
        mirror = (self._budget and self._budget.mirror) or self._mirror
        mirror = msgspec.structs.replace(self._mirror, budget=mirror.budget, settings=mirror.settings)
        return status_of(msgspec.structs.replace(mirror, status=self._status(mirror)), self._clock())

    @property
    def total(self) -> int | None:
        """How many tickets the source counted at the beginning of the run; None if it does not say."""
        return self._progress.total

    @property
    def wait_seconds(self) -> float:
        """For how long it waits still."""
        return max(0.0, self._waits_until - self._clock()) if self._wait else 0.0

    async def run(self) -> None:
        """Until stopped, or caught up without `follow`. Raises SourceError, BadInput, StoreError."""
        reason: str | None = None
        try:
            await self._begin()
            renewing = asyncio.create_task(self._renew_regularly())
            try:
                await self._first_of(self._walk_on(), renewing)
            finally:
                renewing.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await renewing
        except Stopped:
            pass
        except Exception as error:
            reason = str(error)
            raise
        finally:
            await self._end(reason)

    async def _first_of(self, walk: Coroutine[Any, Any, None], renewing: "asyncio.Task[None]") -> None:
        """The walk, unless the lease is lost meanwhile."""
        walking = asyncio.create_task(walk)
        try:
            await asyncio.wait({walking, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not walking.done():
                renewing.result()  # raises: it has no end
            await walking
        finally:
            walking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await walking

    # Beginning and ending

    async def _begin(self) -> None:
        account = self._account or await self._store.find_account(self._name)
        stored = None if account is None else await self._store.read_mirror(account)
        if stored is None:  # before anything is made, so that a source that refuses leaves nothing behind
            self._progress.total = await self._count()
        if account is None:
            account = await self._store.create_account(self._name)
        self._account, options = account, self._options
        self._budget = StoredBudget(self._store, account, self._clock)
        self._mirror = await self._store.write(account, self._take_over, mirror=True)
        self._streams = streams_of(comments=self._mirror.settings.has_comments)
        if options.follow:
            verifier = Verifier(self._store, account, self._session, self._returned, self._clock)
            self._verification = ContinuousVerification(verifier, self._streams, self._limit_and_sent, self._note)
        if options.accepts_source and not await self._is_same_source():
            self._mirror = await self._store.write(account, self._accept_source, mirror=True)
            self._note("the source was accepted as it is now, and is copied again from its beginning")
        if self._progress.total is None:
            self._progress.total = await self._count()

    def _take_over(self, transaction: WriteTransaction) -> Mirror:
        mirror, now = transaction.mirror, self._clock()
        if mirror is None:
            mirror = Mirror(self._source.name)
        if mirror.closed_at is not None:
            raise BadInput(f"{self._name} is an archive of {mirror.source}, and mirrors nothing any more")
        if mirror.source != self._source.name and not self._options.accepts_source:
            raise BadInput(
                f"{self._name} mirrors {mirror.source}, not {self._source.name}; --accept-source goes on with the other"
            )
        refuse_running(mirror, now)
        given = {"requests_per_minute": self._options.requests_per_minute, "has_comments": self._options.comments}
        changes = {name: value for name, value in given.items() if value is not None}
        mirror = msgspec.structs.replace(mirror, settings=msgspec.structs.replace(mirror.settings, **changes))
        if mirror.is_accepted_anew:  # what the source lacks is known only of what is read in one run
            copied = {name: stream for name, stream in mirror.streams.items() if stream.is_copied}
            mirror = msgspec.structs.replace(mirror, streams=copied)
        status = msgspec.structs.replace(mirror.status, state="copying", reason=None)
        mirror = msgspec.structs.replace(mirror, lease=self._holder.lease(now), status=status)
        transaction.put_mirror(mirror)
        return mirror

    def _accept_source(self, transaction: WriteTransaction) -> Mirror:
        """Begin again, behind all that readers can have been given."""
        mirror = self._holder.renewed(transaction.mirror, self._clock())
        transaction.fence_mirror(ACCEPT_CLOCK_ERROR_SECONDS)
        mirror = msgspec.structs.replace(mirror, source=self._source.name, streams={}, is_accepted_anew=True)
        transaction.put_mirror(mirror)
        return mirror

    async def _is_same_source(self) -> bool:
        assert self._mirror
        if self._mirror.source != self._source.name:
            return False
        try:
            await self._check_source()
        except SourceChanged:
            return False
        return True

    async def _end(self, reason: str | None) -> None:
        self._holder.end()
        if self._tokens is not None:
            self._tokens.close()
        await asyncio.to_thread(self._transport.close)
        if self._account is None or self._mirror is None:
            return

        def work(transaction: WriteTransaction) -> None:
            mirror = transaction.mirror
            if mirror is None or mirror.lease is None or mirror.lease.owner != self._holder.owner:
                return
            status = self._status(mirror)
            error = reason or status.last_error
            status = msgspec.structs.replace(status, state="stopped", reason=reason, last_error=error)
            transaction.put_mirror(msgspec.structs.replace(mirror, lease=None, status=status))

        with contextlib.suppress(Exception):  # the disk may be full: the lease then ends with the process
            await self._store.write(self._account, work, mirror=True)

    # Walking

    async def _walk_on(self) -> None:
        """Walk; where the store cannot be written, as with a full disk, go on once it can."""
        while True:
            try:
                return await self._walk()
            except (StoreError, StoreUnavailable) as error:
                if not self._options.follow:
                    raise
                self._note(f"the store cannot be written: {error}")
            await self._sleep(Wait(STORE_SECONDS, "the store cannot be written"))

    async def _walk(self) -> None:
        assert self._account
        self._mirror = await self._store.read_mirror(self._account) or self._mirror
        assert self._mirror
        walk = MirrorWalk(
            self._streams, dict(self._mirror.streams), self._limit, self._note, once=not self._options.follow
        )
        pages = drive_async(walk.pages(self._session), self._transport, self._tokens, self._ways())
        await self._check_source()
        async with contextlib.aclosing(pages):
            async for page in pages:
                if self._transport.faults or self._clock() - self._checked_at >= CHECK_SECONDS:
                    await self._check_source()
                before = walk.states
                walk.states = dict((await self._apply(page, before)).streams)
                self._progress.add(page, before.get(page.stream, StreamState()), walk.states[page.stream])
                if self._stopping.is_set():
                    raise Stopped
                if self._verification is not None and self._verification.is_due(self._mirror, self._clock()):
                    await self._verify(self._verification)

    async def _verify(self, verification: ContinuousVerification) -> None:
        assert self._account
        try:
            await verification.step(self._clock())
        except SourceError as error:  # the walk notices itself what it cannot go on from
            self._note(f"the mirror is not verified: {error}")
        if (verified_at := verification.verified_at) is not None:
            await store_findings(self._store, self._account, verification.differences, verified_at)

    async def _apply(self, page: ExportPage, states: dict[str, StreamState]) -> Mirror:
        assert self._account
        before = states.get(page.stream, StreamState())
        made = await asyncio.to_thread(make_drafts, page, before.state, account=self._name, now=int(self._clock()))
        for problem in made.problems:
            self._note(problem)
        listed = self._note_listed(page, before, [draft.id for draft in made.drafts])
        names = [stream.name for stream in self._streams]
        write = PageWrite(self._name, self._holder.owner, page, made, before, self._session.now, listed, names)
        self._mirror = await self._store.write(
            self._account, lambda transaction: apply_page(transaction, write), exclusive=True, mirror=True
        )
        if page.end_of_stream:  # not before: what could not be written is asked for again from this page on
            self._listed.pop(page.stream, None)
        return self._mirror

    def _note_listed(self, page: ExportPage, before: StreamState, ids: list[int]) -> set[int] | None:
        """The ids of a list with its last page; None if not all of its pages were read by this run. Of a source that
        was accepted anew every stream is one."""
        assert self._mirror
        if STREAMS[page.stream].way != "list" and (before.is_copied or not self._mirror.is_accepted_anew):
            return None
        if not before.state:
            self._listed[page.stream] = set()
        if page.stream in self._listed:
            self._listed[page.stream].update(ids)
        return self._listed.get(page.stream) if page.end_of_stream and not page.skipped else None

    async def _count(self) -> int | None:
        """How many tickets the source counts; None where it does not say. Raises SourceError."""
        try:
            return await self._returned(count_records(self._session, "tickets"))
        except SourceRefused as error:
            if error.status == 401:
                raise
            return None

    async def _check_source(self) -> None:
        """Raises SourceChanged."""
        assert self._account
        assert self._mirror
        if self._mirror.is_accepted_anew:
            return
        faults = self._transport.faults
        held = await self._sample()
        await self._returned(check_source(held, self._mirror.stream("tickets").state, self._session))
        self._checked_at = self._clock()
        self._transport.faults -= faults

    async def _sample(self) -> list[HeldTicket]:
        """Some of the newest tickets, and of those that changed last."""
        assert self._account
        found = {}
        for order in ("id", "updated_at"):
            part = Slice(limit=SAMPLE_TICKETS, order=order, descending=True)
            for row in await self._store.list_tickets(self._account, TicketList(), part):
                found[row.id] = _HELD.decode(row.body)
        return [HeldTicket(id, body.created_at, body.updated_at) for id, body in found.items()]

    async def _returned(self, flow: Flow[T]) -> T:
        return await returned_async(flow, self._transport, self._tokens, self._ways())

    def _ways(self) -> Ways:
        return Ways(self._sleep, self._budget, self._clock)

    def _limit(self) -> int | None:
        mirror = self._budget.mirror if self._budget else None
        if mirror is None:
            mirror = self._mirror
        assert mirror
        return request_limit(mirror.budget, mirror.settings.requests_per_minute, self._clock())

    def _limit_and_sent(self) -> tuple[int | None, int]:
        now, stored = self._clock(), self._budget.mirror if self._budget else None
        sent = count_sent(stored.budget, now) if stored else 0
        return self._limit(), max(sent, self._transport.count_lately(now))

    async def _sleep(self, step: Wait) -> None:
        self._wait, self._waits_until = step, self._clock() + step.seconds
        if self._session.is_troubled:
            self._last_error = step.reason
        try:
            if self._sleep_seconds is not None:
                await self._sleep_seconds(step.seconds)
            else:
                await self._is_stopped_within(step.seconds)
        finally:
            self._wait = None
        if self._stopping.is_set():
            raise Stopped

    async def _is_stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _note(self, text: str) -> None:
        self._last_error = text
        self._note_line(text)

    # Saying how it goes

    async def _renew_regularly(self) -> None:
        """Raises Stopped where the page in progress takes too long, and BadInput as `renew`."""
        while not await self._is_stopped_within(RENEW_SECONDS):
            with contextlib.suppress(StoreError, StoreUnavailable):  # which the next page meets, too
                await self.renew()
        await asyncio.sleep(STOP_SECONDS)
        raise Stopped

    async def renew(self) -> None:
        """Renew the lease, and store how it goes. Raises BadInput where another process has taken over."""
        assert self._account

        def work(transaction: WriteTransaction) -> Mirror:
            mirror = self._holder.renewed(transaction.mirror, self._clock())
            mirror = msgspec.structs.replace(mirror, status=self._status(mirror))
            transaction.put_mirror(mirror)
            return mirror

        self._mirror = await self._store.write(self._account, work, mirror=True)

    def _status(self, mirror: Mirror) -> MirrorStatus:
        now, wait = self._clock(), self._wait
        is_copied = all(mirror.stream(stream.name).is_copied for stream in self._streams)
        changes = self._progress.behind_changes(mirror.stream("tickets"), now)
        return msgspec.structs.replace(
            mirror.status,
            state="waiting" if self._session.is_troubled else "following" if is_copied else "copying",
            reason=wait.reason if wait and wait.reason != FOR_CHANGES else None,
            behind_changes=changes,
            requests_used=self._transport.count_lately(now),
            eta_seconds=self._progress.left_seconds(mirror.stream("tickets"), now, self._limit()),
            last_error=self._last_error or mirror.status.last_error,
        )
