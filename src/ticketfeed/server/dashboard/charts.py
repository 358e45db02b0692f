"""The chart of changes a minute: tickets by the time of their last change.

Counting scans all tickets of the account, so a chart is cached: for twenty times as long as it took to count. While the
first one takes longer than a page can wait, the page has none.
"""

from dataclasses import dataclass

from ticketfeed.protocol.model import Account
from ticketfeed.server.recent_reads import RecentReads
from ticketfeed.storage.contract import Store

__all__ = ["PERIODS", "Chart", "Charts", "Period"]

# At most a twentieth of the time is spent counting.
_CACHE_FACTOR = 20
_SECONDS_MIN = 4.0
# A count that takes longer is given up: some ten million tickets.
_COUNT_SECONDS_MAX = 30.0
# While a chart is counted anew, the old one is shown for so long.
_STALE_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Period:
    """A period up to now: `count` buckets of `seconds` each."""

    name: str
    seconds: int
    count: int


PERIODS = {
    "hour": Period("1 hour", 60, 60),
    "day": Period("1 day", 900, 96),
    "month": Period("30 days", 6 * 3600, 120),
    "year": Period("1 year", 86400 * 5, 73),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """`times`: the start of each bucket in Unix seconds. `rates`: changes a minute. `total`: None while counting."""

    period: Period
    times: list[int]
    rates: list[float]
    total: int | None


class Charts:
    """Per-process cache of charts."""

    def __init__(self, store: Store, recent_reads: RecentReads) -> None:
        self._store, self._recent_reads = store, recent_reads

    async def read(self, account: Account, period_name: str, now: int) -> Chart:
        """The chart of a period, from the cache or counted. Raises StoreUnavailable, also while it is counted."""
        return await self._recent_reads.get(
            ("chart", account, period_name),
            lambda: self._count(account, PERIODS[period_name], now),
            stale_seconds=_STALE_SECONDS,
            keep=lambda seconds: max(_SECONDS_MIN, seconds * _CACHE_FACTOR),
        )

    async def _count(self, account: Account, period: Period, now: int) -> Chart:
        last = now // period.seconds * period.seconds
        times = [last - period.seconds * back for back in reversed(range(period.count))]
        counted = dict(
            await self._store.inspect(
                lambda snapshot: snapshot.count_by_time(account, times[0], period.seconds),
                accounts=[account],
                statement_seconds=_COUNT_SECONDS_MAX,
            )
        )
        rates = [round(counted.get(begin, 0) * 60 / period.seconds, 3) for begin in times]
        return Chart(period, times, rates, sum(counted.get(begin, 0) for begin in times))
