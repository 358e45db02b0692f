"""A run of `mirror verify`, beside the mirror that may run: its requests count in the same budget, a part of it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ticketfeed.client.auth import TokenFile
from ticketfeed.client.drivers import Ways, returned_async
from ticketfeed.client.exporter import connect
from ticketfeed.client.oauth import Credentials, RefreshToken
from ticketfeed.client.session import Patience, Session
from ticketfeed.client.sources import Source
from ticketfeed.client.steps import Answer, Wait
from ticketfeed.client.transport import Transport
from ticketfeed.clock import system_instant
from ticketfeed.mirror.budget import StoredBudget
from ticketfeed.mirror.lease import is_alive
from ticketfeed.mirror.status import streams_of
from ticketfeed.mirror.verification import Findings, Verification, repair, store_findings
from ticketfeed.mirror.verify import LAG_SECONDS, Verifier
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.request_budget import request_limit
from ticketfeed.storage.contract import Store

__all__ = ["VerifyOptions", "verify_mirror"]

# Beside a mirror that runs, one in so many requests of the budget.
SHARE = 4


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """`repairs`: make what differs as it is at the source. `whole`: all of the exports, from their beginning."""

    repairs: bool = False
    whole: bool = False
    lag_seconds: float = LAG_SECONDS
    give_up_after_seconds: float = 3600.0
    per_page: int = 1000


class _PartOfBudget:
    """A SharedBudget of which a mirror that runs is left the greater part."""

    def __init__(self, budget: StoredBudget, clock: Callable[[], float]) -> None:
        self._budget, self._clock = budget, clock
        self._sent: deque[float] = deque(maxlen=1000)

    async def take(self, now: float) -> tuple[float, str]:
        if (seconds := self._wait_seconds(now)) > 0:
            return seconds, "the mirror goes first"
        seconds, reason = await self._budget.take(now)
        if not seconds:
            self._sent.append(now)
        return seconds, reason

    def _wait_seconds(self, now: float) -> float:
        mirror = self._budget.mirror
        if mirror is None or mirror.lease is None or not is_alive(mirror.lease, now):
            return 0.0
        limit = request_limit(mirror.budget, mirror.settings.requests_per_minute, now)
        part = max(1, limit // SHARE) if limit else len(self._sent) + 1
        return self._sent[-part] + 60.0 - now if len(self._sent) >= part else 0.0

    async def report(self, answer: Answer) -> None:
        await self._budget.report(answer)


async def verify_mirror(
    store: Store,
    account: Account,
    source: Source,
    credentials: Credentials | None,
    options: VerifyOptions,
    *,
    transport: Transport | None = None,
    clock: Callable[[], float] = system_instant,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Findings:
    """Compare a mirror with its source, and repair it where that is asked for; store when it was done.

    Raises SourceError, TooFarBehind, BadInput.
    """
    mirror = await store.read_mirror(account)
    if mirror is None:
        raise BadInput(f"{account.subdomain} is no mirror")
    if mirror.closed_at is not None:
        raise BadInput(f"{account.subdomain} is an archive of {mirror.source}, which is not read any more")
    if mirror.is_accepted_anew:
        raise BadInput(f"{account.subdomain} is being copied anew; it can be verified once that is done")
    sending = transport or connect(source)[0]
    tokens = TokenFile(credentials.file, source.url) if isinstance(credentials, RefreshToken) else None
    patience = Patience(options.per_page, None, options.give_up_after_seconds, shares_budget=True)
    session = Session(patience, credentials, clock())

    async def wait(step: Wait) -> None:
        await sleep(step.seconds)

    ways = Ways(wait, _PartOfBudget(StoredBudget(store, account, clock), clock), clock)
    verifier = Verifier(store, account, session, lambda flow: returned_async(flow, sending, tokens, ways), clock)
    streams = streams_of(comments=mirror.settings.has_comments)
    verification = Verification(
        store,
        account,
        verifier,
        streams,
        clock,
        sleep,
        options.lag_seconds,
        options.whole,
        options.per_page,
    )
    try:
        findings = await verification.run()
        left = len(findings.differences)
        if options.repairs and findings.differences:
            left -= (mended := await repair(store, account, findings.differences))
            findings.repaired = mended
        await store_findings(store, account, left, clock())
        return findings
    finally:
        if tokens is not None:
            tokens.close()
        await asyncio.to_thread(sending.close)
