"""Who reads an account's exports, and how far each has come: what several processes note becomes one.

A consumer is what one credential, with one user agent, reads from one export. What it was given is kept as ranges of
the feed. `merge` only adds and unites, so it comes to the same in whatever order processes pass on what they noted.

* a gap: a range between two that were given, which nobody asked for; what still stands there was missed;
* a repeat: a page of which everything had been given before;
* a loop: the same page asked for again and again, with tickets in it and more behind it.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from ticketfeed.protocol.model import Filters, Position

__all__ = [
    "CONSUMERS_MAX",
    "CONSUMER_DAYS_MAX",
    "LOOP_REQUESTS",
    "RATE_MINUTES",
    "REQUESTS_KEPT",
    "Consumer",
    "Given",
    "RequestNote",
    "Served",
    "consumer_key",
    "kept_consumers",
    "merge",
    "note_failure",
    "note_served",
    "unite",
]

# The same page so often in a row, and it is no accident.
LOOP_REQUESTS = 3
# More ranges than this: the oldest gap is forgotten.
GIVEN_MAX = 16
RATE_MINUTES = 5
# Kept of one account.
CONSUMERS_MAX = 200
CONSUMER_DAYS_MAX = 30
REQUESTS_KEPT = 200


class Served(NamedTuple):
    """A page that was sent: everything of `kind` in (after, end]. `by_time`: an export that knows no cursor, where
    the last second is given again by its nature."""

    export: str
    kind: str
    after: Position
    end: Position
    rows: int
    end_of_stream: bool
    filters: Filters = Filters()
    by_time: bool = False


class Given(NamedTuple):
    """A range of the feed, (after, end], and when it was last added to."""

    after: Position
    end: Position
    at: float


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one, or what one process noted since it last passed it on.

    `position`: the end of the last page. `same`: how often in a row the page at `asked` was asked for. `minutes`: of
    the last few, (minute, pages, tickets). Times are Unix seconds.
    """

    credential_id: int
    user_id: int
    email: str
    user_agent: str
    export: str
    kind: str = "tickets"
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
    end_of_stream: bool = False
    filters: Filters = Filters()
    same: int = 0
    given: tuple[Given, ...] = ()
    minutes: tuple[tuple[int, int, int], ...] = ()
    last_error: str = ""
    last_error_at: float = 0.0

    @property
    def is_looping(self) -> bool:
        return self.same >= LOOP_REQUESTS

    def gaps(self) -> list[tuple[Position, Position]]:
        """The ranges between those given, in feed order."""
        return [(before.end, behind.after) for before, behind in pairwise(self.given)]

    def rate(self, now: float) -> tuple[float, float]:
        """Pages and tickets a minute, over the last RATE_MINUTES."""
        recent = [row for row in self.minutes if row[0] > now // 60 - RATE_MINUTES]
        return sum(row[1] for row in recent) / RATE_MINUTES, sum(row[2] for row in recent) / RATE_MINUTES


class RequestNote(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered. It holds no secret: of the query only what the log has, too."""

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


def consumer_key(credential_id: int, user_agent: str, export: str) -> str:
    """One text for one consumer, within its account."""
    return f"{credential_id} {export} {user_agent}"


def note_served(known: Consumer, fresh: Consumer, served: Served, sent: int, at: float) -> Consumer:
    """`fresh` with one more page. `known`: all that is known of this consumer by now, `fresh` included."""
    is_again = served.rows > 0 and not served.end_of_stream and served.after == known.asked
    same = known.same + 1 if is_again else 1
    is_end_by_time = served.by_time and served.end_of_stream
    is_repeat = served.rows > 0 and not is_end_by_time and _covers(known.given, served.after, served.end)
    given = (Given(served.after, max(served.after, served.end), at),)
    return msgspec.structs.replace(
        fresh,
        last_at=at,
        requests=fresh.requests + 1,
        pages=fresh.pages + 1,
        tickets=fresh.tickets + served.rows,
        bytes=fresh.bytes + sent,
        repeats=fresh.repeats + is_repeat,
        loops=fresh.loops + (same == LOOP_REQUESTS),
        asked=served.after,
        position=served.end,
        end_of_stream=served.end_of_stream,
        kind=served.kind,
        filters=served.filters,
        same=same,
        given=unite([*fresh.given, *given]),
        minutes=_add_minutes([*fresh.minutes, (int(at // 60), 1, served.rows)]),
    )


def note_failure(fresh: Consumer, error: str, at: float) -> Consumer:
    """`fresh` with one more request that was refused."""
    return msgspec.structs.replace(
        fresh,
        last_at=at,
        requests=fresh.requests + 1,
        errors=fresh.errors + 1,
        last_error=error,
        last_error_at=at,
    )


def merge(one: Consumer, other: Consumer) -> Consumer:
    """Both together: counts add up, ranges unite, and of what comes last the later one stays."""
    later = max(one, other, key=_by_page)
    failed = max(one, other, key=lambda consumer: (consumer.last_error_at, consumer.last_error))
    return msgspec.structs.replace(
        later,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
        requests=one.requests + other.requests,
        pages=one.pages + other.pages,
        tickets=one.tickets + other.tickets,
        bytes=one.bytes + other.bytes,
        repeats=one.repeats + other.repeats,
        loops=one.loops + other.loops,
        errors=one.errors + other.errors,
        given=unite([*one.given, *other.given]),
        minutes=_add_minutes([*one.minutes, *other.minutes]),
        last_error=failed.last_error,
        last_error_at=failed.last_error_at,
    )


def _by_page(consumer: Consumer) -> tuple[object, ...]:
    """Orders by when the last page was given; one that was only refused comes before all others."""
    given_at = max((given.at for given in consumer.given), default=0.0)
    asked, position = consumer.asked or Position(-1, -1), consumer.position or Position(-1, -1)
    return given_at, position, asked, consumer.same, consumer.end_of_stream, consumer.email, consumer.user_id


def unite(ranges: Iterable[Given]) -> tuple[Given, ...]:
    """The same ground in as few ranges as can be, in feed order."""
    united: list[Given] = []
    for given in sorted(ranges):
        if united and given.after <= united[-1].end:
            before = united[-1]
            united[-1] = Given(before.after, max(before.end, given.end), max(before.at, given.at))
        else:
            united.append(given)
    while len(united) > GIVEN_MAX:
        first, second = united[0], united[1]
        united[:2] = [Given(first.after, second.end, max(first.at, second.at))]
    return tuple(united)


def kept_consumers(consumers: Sequence[tuple[str, float]], now: float) -> set[str]:
    """Which of (key, last seen) are worth keeping."""
    recent = [pair for pair in consumers if pair[1] > now - CONSUMER_DAYS_MAX * 86400]
    recent.sort(key=lambda pair: pair[1], reverse=True)
    return {key for key, _ in recent[:CONSUMERS_MAX]}


def _covers(ranges: Iterable[Given], after: Position, end: Position) -> bool:
    return any(given.after <= after and end <= given.end for given in ranges)


def _add_minutes(rows: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    added: dict[int, tuple[int, int]] = {}
    for minute, pages, tickets in rows:
        before = added.get(minute, (0, 0))
        added[minute] = before[0] + pages, before[1] + tickets
    return tuple((minute, *added[minute]) for minute in sorted(added)[-RATE_MINUTES - 1 :])
