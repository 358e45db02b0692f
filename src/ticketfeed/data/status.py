"""How an account's feed and its consumers stand at one instant, for the page, the metrics and the command line.

All of it is read in one snapshot, in a thread, so that no page waits for somebody who only looks. Pending changes are
counted up to a bound: a consumer at the beginning of three million tickets must not cost three million rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ticketfeed.protocol.consumers import CONSUMER_DAYS_MAX, Consumer
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Position
from ticketfeed.storage.contract import Snapshot, Store

__all__ = ["PENDING_MAX", "ConsumerStatus", "FeedStatus", "Gap", "count_pending", "read_status", "readable_until"]

PENDING_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of the feed that a consumer was never given, and how many tickets still stand in it."""

    after: Position
    until: Position
    missed: int


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """A consumer, and how far behind it is.

    `pending`: changes behind its position, counted up to PENDING_MAX. `lag_seconds`: how long the first of them has
    waited; 0 for none. `gaps`: only those where tickets still stand, as it is given the others where they are now.
    """

    consumer: Consumer
    pending: int
    lag_seconds: int
    gaps: Sequence[Gap]

    @property
    def missed(self) -> int:
        return sum(gap.missed for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """An account. `size_bytes` is that of the whole store; `problem`: why nothing is known of consumers."""

    account: Account
    state: FeedState
    size_bytes: int
    standings: Sequence[ConsumerStatus]
    problem: str = ""

    @property
    def open_seconds(self) -> int:
        """How far the watermark is behind the newest change."""
        return max(0, self.state.last_generated_timestamp - self.state.watermark)


async def read_status(store: Store, account: Account, *, now: int, settle_seconds: int = 0) -> FeedStatus:
    """Raises StoreUnavailable."""
    problem, consumers = "", list[Consumer]()
    try:
        consumers = await store.read_consumers(account)
    except (StoreError, StoreUnavailable) as error:  # it stands beside the store, and all the rest can be told
        problem = str(error)
    recent = [each for each in consumers if each.last_at > now - CONSUMER_DAYS_MAX * 86400]

    def work(snapshot: Snapshot) -> FeedStatus:
        state = next((state for found, state in snapshot.accounts() if found == account), None) or FeedState()
        readable = readable_until(state, now, settle_seconds)
        standings = [
            _stand(snapshot, account, each, now, readable if each.kind == "tickets" else now - max(1, settle_seconds))
            for each in recent
        ]
        return FeedStatus(account, state, snapshot.size_bytes(), standings, problem)

    return await store.inspect(work)


def readable_until(state: FeedState, now: int, settle_seconds: int) -> int:
    """The newest second of tickets that a reader is given who asks now. One that is over is closed for it."""
    closed = state.last_generated_timestamp if state.last_generated_timestamp < now else state.watermark
    return min(closed, now - settle_seconds)


def count_pending(
    snapshot: Snapshot, account: Account, after: Position, until: int, filters: Filters, kind: str = "tickets"
) -> tuple[int, int | None]:
    """How many changes follow a position, up to PENDING_MAX, and the second of the first."""
    return snapshot.count_changes(account, kind, after, Position(until, INT64_MAX), PENDING_MAX, filters)


def _stand(snapshot: Snapshot, account: Account, consumer: Consumer, now: int, until: int) -> ConsumerStatus:
    position, filters, kind = consumer.position, consumer.filters, consumer.kind
    if position is None:
        return ConsumerStatus(consumer, 0, 0, ())
    pending, first = count_pending(snapshot, account, position, until, filters, kind)
    gaps = [
        Gap(after, end, snapshot.count_changes(account, kind, after, end, PENDING_MAX, filters)[0])
        for after, end in consumer.gaps()
    ]
    lag_seconds = max(0, now - first) if first is not None else 0
    return ConsumerStatus(consumer, pending, lag_seconds, [gap for gap in gaps if gap.missed])
