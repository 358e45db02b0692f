"""Consumers: the readers of an account's exports, and how far each has come.

A consumer is what one credential, with one user agent and the same filters, reads from one export. Several processes
record its requests. The pages it received are stored as ranges of the feed, which merge in any order; only its position
and its last request are taken from the newest page.

* a gap: a range before its position that it never requested; the tickets still in it were missed;
* a repeat: a page of which it had received everything before;
* a loop: the same page requested repeatedly, although it holds tickets and more pages follow.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import msgspec

from ticketfeed.protocol.model import Filters, Position

__all__ = [
    "ANONYMOUS_REQUESTS_KEPT",
    "CONSUMERS_MAX",
    "CONSUMER_DAYS_MAX",
    "LOOP_REQUESTS",
    "RATE_MINUTES",
    "REQUESTS_KEPT",
    "TEST_REQUESTS_KEPT",
    "Consumer",
    "Event",
    "ReadRange",
    "RequestRecord",
    "Served",
    "UsageUpdate",
    "consumer_key",
    "merge_events",
    "merge_ranges",
    "merge_usage",
    "recent_consumers",
    "recent_requests",
]

# Requests for the same page in a row that count as a loop; two may be a retry.
LOOP_REQUESTS = 3
# With more ranges than this, the oldest gap is dropped. Each is 60 bytes of JSON; a consumer has one unless it skips.
RANGES_MAX = 64
RATE_MINUTES = 5
# Bounds of what is stored for one account.
CONSUMERS_MAX = 200
CONSUMER_DAYS_MAX = 30
REQUESTS_KEPT = 200
# On test servers, for verdicts: a connector may send several requests for each ticket.
TEST_REQUESTS_KEPT = 2000
# Of those, anybody can send as many as the server answers: they must not push out the others.
ANONYMOUS_REQUESTS_KEPT = 50


class Served(NamedTuple):
    """A page that was sent: the changes of `kind` in (after, end].

    `by_time`: a time-based export, which repeats the last second by design.
    """

    export: str
    kind: str
    after: Position
    end: Position
    rows: int
    end_of_stream: bool
    filters: Filters = Filters()
    by_time: bool = False


class Event(NamedTuple):
    """A request of a consumer: the page it received, or the error. `pages`: how many consecutive pages were merged."""

    at: float
    served: Served | None = None
    sent: int = 0
    error: str = ""
    pages: int = 1


class ReadRange(NamedTuple):
    """A range of the feed that a consumer has received: (after, end]."""

    after: Position
    end: Position


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one consumer.

    `position`: the end of its newest page, sent at `page_at`. `same`: how often in a row the page after `asked` was
    requested. `given`: the ranges it received; `forgotten_gaps`: how many gaps between them were dropped. `minutes`:
    (minute, pages, rows) of the last few. Times are Unix seconds.
    """

    credential_id: int
    user_id: int
    email: str
    user_agent: str
    export: str
    kind: str = "tickets"
    filters: Filters = Filters()
    first_at: float
    last_at: float
    requests: int = 0
    pages: int = 0
    tickets: int = 0
    bytes: int = 0
    repeats: int = 0
    loops: int = 0
    errors: int = 0
    asked: Position | None = None
    position: Position | None = None
    page_at: float = 0.0
    end_of_stream: bool = False
    same: int = 0
    given: tuple[ReadRange, ...] = ()
    forgotten_gaps: int = 0
    minutes: tuple[tuple[int, int, int], ...] = ()
    last_error: str = ""
    last_error_at: float = 0.0

    @property
    def reads(self) -> str:
        """The export, with its filters if they are not the default."""
        return _reads(self.export, self.filters)

    @property
    def is_looping(self) -> bool:
        return self.same >= LOOP_REQUESTS

    def gaps(self) -> list[tuple[Position, Position]]:
        """The skipped ranges, in feed order. Ranges after its position are pending, not skipped."""
        between = [(before.end, behind.after) for before, behind in pairwise(self.given)]
        return [(after, until) for after, until in between if self.position is not None and until <= self.position]

    def rate(self, now: float) -> tuple[float, float]:
        """Pages and rows a minute, over the last RATE_MINUTES."""
        recent = [(pages, rows) for minute, pages, rows in self.minutes if minute > now // 60 - RATE_MINUTES]
        return sum(pages for pages, _ in recent) / RATE_MINUTES, sum(rows for _, rows in recent) / RATE_MINUTES


@cache  # two exclusions, three scopes, and the exports
def _reads(export: str, filters: Filters) -> str:
    scope = {"agent": [], "all": ["all"], "ai_agent": ["AI agents"]}[filters.support_type_scope]
    return ", ".join([export, *scope, *(["not deleted"] if filters.exclude_deleted else [])])


class UsageUpdate(NamedTuple):
    """The requests of a consumer that one process has recorded since its last flush, in order."""

    consumer: Consumer
    events: Sequence[Event]

    @property
    def is_refused(self) -> bool:
        """Whether it received nothing. Such a one is stored only if it is known: its user agent and filters are what
        somebody without a right to read may choose."""
        return all(event.served is None for event in self.events)


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered. It holds no secret: the query is as it is logged.

    `is_anonymous`: without credentials, or with wrong ones. `time`: of the account, which its clock may move; 0 if an
    older release stored it. `served`: the page of an export that was sent whole. `retry_after`: how many seconds the
    answer asks the client to wait.
    """

    at: float
    request_id: str
    method: str
    path: str
    query: dict[str, str]
    status: int
    ms: float
    bytes: int
    client: str
    user_agent: str
    email: str
    is_anonymous: bool = False
    time: int = 0
    credential_id: int = 0
    error: str = ""
    served: Served | None = None
    retry_after: float | None = None

    @property
    def started_at(self) -> float:
        return self.at - self.ms / 1000


def recent_requests(requests: Iterable[RequestRecord], keep: int = REQUESTS_KEPT) -> list[RequestRecord]:
    """Those to keep, newest first."""
    kept, left = [], {True: ANONYMOUS_REQUESTS_KEPT, False: keep}
    for request in sorted(requests, key=lambda request: request.at, reverse=True):
        left[request.is_anonymous] -= 1
        if left[request.is_anonymous] >= 0:
            kept.append(request)
    return kept


def consumer_key(who: Consumer) -> str:
    """The key of a consumer within its account."""
    return f"{who.credential_id} {who.reads} {who.user_agent}"


def merge_usage(known: Consumer | None, noted: UsageUpdate) -> Consumer:
    """The state of a consumer after these requests. `known`: None for a new one."""
    consumer = known or noted.consumer
    for event in noted.events:
        consumer = _note_served(consumer, event, event.served) if event.served else _note_failure(consumer, event)
    return msgspec.structs.replace(consumer, email=noted.consumer.email)


def _note_served(known: Consumer, event: Event, served: Served) -> Consumer:
    is_newest = event.at >= known.page_at
    is_again = served.rows > 0 and not served.end_of_stream and served.after == known.asked
    same = known.same + 1 if is_again else 1 if is_newest else known.same
    is_end_by_time = served.by_time and served.end_of_stream
    is_repeat = served.rows > 0 and not is_end_by_time and _covers(known.given, served.after, served.end)
    given = merge_ranges([*known.given, ReadRange(served.after, max(served.after, served.end))])
    noted = msgspec.structs.replace(
        known,
        first_at=min(known.first_at, event.at),
        last_at=max(known.last_at, event.at),
        requests=known.requests + event.pages,
        pages=known.pages + event.pages,
        tickets=known.tickets + served.rows,
        bytes=known.bytes + event.sent,
        repeats=known.repeats + event.pages * is_repeat,
        loops=known.loops + (known.same < LOOP_REQUESTS <= same),
        same=same,
        kind=served.kind,
        given=_drop_gaps(given),
        forgotten_gaps=known.forgotten_gaps + max(0, len(given) - RANGES_MAX),
        minutes=_add_minutes([*known.minutes, (int(event.at // 60), event.pages, served.rows)]),
    )
    if not is_newest:
        return noted
    return msgspec.structs.replace(
        noted, asked=served.after, position=served.end, page_at=event.at, end_of_stream=served.end_of_stream
    )


def _note_failure(known: Consumer, event: Event) -> Consumer:
    failed = msgspec.structs.replace(
        known,
        first_at=min(known.first_at, event.at),
        last_at=max(known.last_at, event.at),
        requests=known.requests + 1,
        errors=known.errors + 1,
    )
    if event.at < known.last_error_at:
        return failed
    return msgspec.structs.replace(failed, last_error=event.error, last_error_at=event.at)


def merge_events(before: Event, event: Event) -> Event | None:
    """Merge two consecutive pages into one event; None if the second does not continue the first."""
    one, other = before.served, event.served
    if one is None or other is None or one.end != other.after or before.at // 60 != event.at // 60:
        return None
    served = other._replace(after=one.after, rows=one.rows + other.rows)
    return Event(event.at, served, before.sent + event.sent, pages=before.pages + event.pages)


def merge_ranges(ranges: Iterable[ReadRange]) -> tuple[ReadRange, ...]:
    """Merge overlapping and adjacent ranges; returns them in feed order."""
    united: list[ReadRange] = []
    for given in sorted(ranges):
        if united and given.after <= united[-1].end:
            before = united[-1]
            united[-1] = ReadRange(before.after, max(before.end, given.end))
        else:
            united.append(given)
    return tuple(united)


def _drop_gaps(ranges: tuple[ReadRange, ...]) -> tuple[ReadRange, ...]:
    """Bound the number of ranges: the oldest gaps are taken to be read."""
    if len(ranges) <= RANGES_MAX:
        return ranges
    oldest = ranges[: len(ranges) - RANGES_MAX + 1]
    return (ReadRange(oldest[0].after, oldest[-1].end), *ranges[len(oldest) :])


def recent_consumers(consumers: Sequence[tuple[str, float]], now: float) -> set[str]:
    """The keys of the consumers to keep, out of (key, last seen): those seen recently, the newest first."""
    recent = [pair for pair in consumers if pair[1] > now - CONSUMER_DAYS_MAX * 86400]
    recent.sort(key=lambda pair: pair[1], reverse=True)
    return {key for key, _ in recent[:CONSUMERS_MAX]}


def _covers(ranges: Iterable[ReadRange], after: Position, end: Position) -> bool:
    return any(given.after <= after and end <= given.end for given in ranges)


def _add_minutes(rows: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    added: dict[int, tuple[int, int]] = {}
    for minute, pages, tickets in rows:
        before = added.get(minute, (0, 0))
        added[minute] = before[0] + pages, before[1] + tickets
    return tuple((minute, *added[minute]) for minute in sorted(added)[-RATE_MINUTES - 1 :])
