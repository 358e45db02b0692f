"""How many changes a minute, over time: of the tickets as they stand, each where it was last changed.

Counting looks at every ticket of the account. So what was counted serves for a while: the longer it took, the longer.
"""

import time
from dataclasses import dataclass

from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store

__all__ = ["SPANS", "Chart", "Charts", "Span"]

# Counting takes a twentieth of the time at most.
_SHARE = 20
_SECONDS_MIN = 4.0
_CHARTS_MAX = 200


@dataclass(frozen=True, slots=True)
class Span:
    """`count` buckets of so many seconds, up to now."""

    name: str
    seconds: int
    count: int


SPANS = {
    "hour": Span("1 hour", 60, 60),
    "day": Span("1 day", 900, 96),
    "month": Span("30 days", 6 * 3600, 120),
    "year": Span("1 year", 86400 * 5, 73),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """`times`: where each bucket begins, in Unix seconds. `rates`: changes a minute. `total`: changes."""

    span: Span
    times: list[int]
    rates: list[float]
    total: int


class Charts:
    """Those that were made lately, of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: dict[tuple[int, str], tuple[float, Chart]] = {}

    async def make(self, account: Account, span_name: str, now: int) -> Chart:
        """Raises StoreUnavailable."""
        key = account.account_id, span_name
        made = self._made.get(key)
        if made is not None and made[0] > time.monotonic():
            return made[1]
        started = time.monotonic()
        chart = await self._count(account, SPANS[span_name], now)
        taken = time.monotonic() - started
        if len(self._made) >= _CHARTS_MAX:
            self._made.clear()
        self._made[key] = time.monotonic() + max(_SECONDS_MIN, taken * _SHARE), chart
        return chart

    async def _count(self, account: Account, span: Span, now: int) -> Chart:
        last = now // span.seconds * span.seconds
        times = [last - span.seconds * back for back in reversed(range(span.count))]
        counted = dict(
            await self._store.inspect(lambda snapshot: snapshot.count_by_time(account, times[0], span.seconds))
        )
        rates = [round(counted.get(begin, 0) * 60 / span.seconds, 3) for begin in times]
        return Chart(span, times, rates, sum(counted.get(begin, 0) for begin in times))
