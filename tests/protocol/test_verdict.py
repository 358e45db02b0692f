"""Verdicts: what a consumer was given, and what it wrote, compared with the feed."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ticketfeed.protocol.consumers import Consumer, Event, RequestRecord, Served, UsageUpdate, merge_usage
from ticketfeed.protocol.model import Filters, Position
from ticketfeed.protocol.output_check import Output, OutputTicket
from ticketfeed.protocol.verdict import CommandRun, FeedTicket, Verdict, make_verdict
from ticketfeed.protocol.verdict_conduct import FLOOD_REQUESTS

NOON = 1_700_000_000.0
BLANK = Consumer(
    credential_id=1,
    user_id=2,
    email="a@example.com",
    user_agent="tap",
    export="tickets/cursor",
    first_at=NOON,
    last_at=NOON,
)
START = Position(0, 0)
EVERY = Filters()


def request(at: float, status: int = 200, **values: Any) -> RequestRecord:
    """A request that was answered at once."""
    defaults: dict[str, Any] = {
        "request_id": str(at),
        "method": "GET",
        "path": "/api/v2/incremental/tickets/cursor.json",
        "query": {},
        "ms": 0.0,
        "bytes": 100,
        "client": "127.0.0.1",
        "user_agent": "tap",
        "email": "a@example.com",
        "time": int(NOON + at),
        "error": "" if status < 400 else f"{status} Error",
    }
    return RequestRecord(at=NOON + at, status=status, **{**defaults, **values})


@dataclass
class Feed:
    """A feed that a reader walks through while tickets change, and what the reader then has."""

    tickets: dict[int, int] = field(default_factory=dict)  # id -> second
    now: int = 1
    cursor: Position = START
    received: dict[int, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    requests: list[RequestRecord] = field(default_factory=list)

    def change(self, id: int) -> None:
        self.now += 1
        self.tickets[id] = self.now

    def read(self, limit: int, *, filters: Filters = EVERY, keeps: bool = True, is_lost: bool = False) -> None:
        """Request a page. `keeps`: whether the reader goes on from its cursor. `is_lost`: the answer is cut."""
        positions = sorted(Position(second, id) for id, second in self.tickets.items())
        following = [each for each in positions if each > self.cursor]
        page = following[:limit]
        served = Served(
            "tickets/cursor",
            "tickets",
            self.cursor,
            page[-1] if page else self.cursor,
            len(page),
            len(page) == len(following),
            filters,
        )
        at = float(len(self.requests))
        self.requests.append(request(at, served=None if is_lost else served))
        if not is_lost:
            self.events.append(Event(NOON + at, served, 100))
            self.received |= {position.id: position.generated_timestamp for position in page}
        if keeps:
            self.cursor = served.end

    def verdict(self, **options: Any) -> Verdict:
        consumers = [merge_usage(None, UsageUpdate(BLANK, self.events))] if self.events else []
        tickets = [FeedTicket(Position(second, id), "open") for id, second in self.tickets.items()]
        random.Random(1).shuffle(tickets)
        return make_verdict(consumers, self.requests, tickets, self.now, **options)


def read_all(tickets: int = 5, limit: int = 2) -> Feed:
    feed = Feed()
    for id in range(1, tickets + 1):
        feed.change(id)
    while not feed.events or not (feed.events[-1].served and feed.events[-1].served.end_of_stream):
        feed.read(limit)
    return feed


steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(1, 6)),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("skip"), st.integers(1, 3)),
        st.tuples(st.just("back"), st.just(0)),
        st.tuples(st.just("cut"), st.integers(1, 3)),
    ),
    max_size=40,
)


@given(steps)
def test_missed_is_exact(walk: list[tuple[str, int]]) -> None:
    """Missed are exactly the tickets whose latest state no page had, whatever the consumer read, skipped or read again;
    none of them is pending, and with exit code 0 they are a FAIL whether or not a fault fired."""
    feed = Feed()
    for step, number in walk:
        if step == "change":
            feed.change(number)
        elif step == "read":
            feed.read(number)
        elif step == "cut":
            feed.read(number, is_lost=True, keeps=number > 1)
        elif step == "skip":  # a cursor beyond what it received
            feed.cursor = Position(feed.cursor.generated_timestamp + number, 0)
        else:
            feed.cursor = START
    verdict = feed.verdict(since=START)
    missed = {id for id, second in feed.tickets.items() if feed.received.get(id) != second}
    newest = feed.events[-1].served if feed.events else None
    pending = (
        {id for id in missed if Position(feed.tickets[id], id) > newest.end}
        if newest is not None and newest.end_of_stream
        else set()
    )
    assert set(verdict.missed_ids) == missed - pending
    assert verdict.missed == len(missed - pending)
    assert (verdict.outcome == "PASS") == (bool(feed.events) and missed == pending)
    for fired in (0, 3):
        run = CommandRun(fired=fired, exit_code=0, must_have=feed.now)
        outcome = feed.verdict(since=START, run=run).outcome
        assert (outcome == "FAIL") == (bool(feed.requests) and bool(missed)) or verdict.loops


@given(st.integers(1, 12), st.integers(1, 5), st.randoms(use_true_random=False))
def test_right_consumer_passes(tickets: int, limit: int, random: random.Random) -> None:
    """A consumer that walks to the end, repeats what was cut and goes on from its cursor has all, however tickets
    change meanwhile."""
    feed = Feed()
    for id in range(1, tickets + 1):
        feed.change(id)
    for _ in range(3 * tickets):
        if random.random() < 0.3:
            feed.change(random.randint(1, tickets))
        feed.read(limit, is_lost=(is_lost := random.random() < 0.2), keeps=not is_lost)
    feed.read(limit)
    while feed.events[-1].served and not feed.events[-1].served.end_of_stream:
        feed.read(limit)
    verdict = feed.verdict(run=CommandRun(fired=1))
    assert (verdict.outcome, verdict.missed, verdict.tickets) == ("PASS", 0, tickets)


RIGHT = read_all()
STOPPED = Feed(dict(RIGHT.tickets), RIGHT.now)
STOPPED.read(2)
EMPTY = Feed(dict(RIGHT.tickets), RIGHT.now)
FAILED = Feed(dict(RIGHT.tickets), RIGHT.now)
FAILED.requests = [request(0, 403)]
LATE = read_all()
LATE.change(9)
LATER = read_all()
LATER.cursor = Position(0, 0)


def waited(*moments: float, retry_after: float = 30, time: int = 0) -> Feed:
    """Refused at 0, asked again at these moments."""
    feed = read_all()
    early = [request(100 + at, time=int(NOON + 100 + at + (time if at else 0))) for at in moments]
    feed.requests = [request(100, 429, retry_after=retry_after), *early]
    return feed


def hammered(count: int, pause: float) -> Feed:
    feed = read_all()
    feed.requests = [request(100 + number * pause, 500) for number in range(count)]
    return feed


def missing_address() -> Feed:
    feed = Feed(dict(RIGHT.tickets), RIGHT.now)
    feed.requests = [request(0, 404, path="/api/v2/unheard", error="404 InvalidEndpoint")]
    return feed


CASES: list[tuple[str, Feed, CommandRun | None, str, str]] = [
    ("all read", RIGHT, None, "PASS", "latest state of all 5 tickets"),
    ("stopped early", STOPPED, None, "FAIL", "3 tickets missed of 5"),
    ("nothing sent", EMPTY, None, "INCONCLUSIVE", "no request"),
    ("only refused", FAILED, None, "INCONCLUSIVE", "403 Error"),
    ("changed since", LATE, None, "PASS", "5 tickets"),
    ("asks for what is not there", missing_address(), None, "UNSUPPORTED", "GET /api/v2/unheard"),
    ("all read", RIGHT, CommandRun(fired=2), "PASS", "5 tickets"),
    ("did not fire", RIGHT, CommandRun(fired=0), "INCONCLUSIVE", "never fired"),
    ("missing, did not fire", STOPPED, CommandRun(fired=0), "FAIL", "exit code 0"),
    ("missing, fired", STOPPED, CommandRun(fired=1), "FAIL", "3 tickets missed of 5"),
    ("missing, any end is right", STOPPED, CommandRun(("any",), 1), "FAIL", "exit code 0"),
    ("stops as it should", STOPPED, CommandRun(("stops",), 1, exit_code=1), "PASS", "exit code 1"),
    ("refused at once, stops", FAILED, CommandRun(("stops",), 1, exit_code=3), "PASS", "exit code 3"),
    ("stops where it should go on", STOPPED, CommandRun(fired=1, exit_code=1), "FAIL", "gave up with exit code 1"),
    ("does not end", RIGHT, CommandRun(fired=1, exit_code=None, seconds=60), "FAIL", "within 60 seconds"),
    ("never calls", EMPTY, CommandRun(fired=0), "INCONCLUSIVE", "no request"),
    ("the second run reads nothing", LATE, CommandRun(fired=1, must_have=LATE.now), "FAIL", "1 ticket missed of 6"),
    ("should have stopped", RIGHT, CommandRun(("stops",), 1), "FAIL", "should have stopped"),
    ("waits", waited(), CommandRun(("waits",), 1, exit_code=None), "PASS", "waited"),
    ("waits, too early", waited(10), CommandRun(("waits",), 1, exit_code=None), "FAIL", "Retry-After"),
    ("waited", waited(30), CommandRun(fired=1), "PASS", "5 tickets"),
    ("asked within the second", waited(29.5), CommandRun(fired=1), "PASS", "5 tickets"),
    ("too early", waited(5), CommandRun(fired=1), "FAIL", "1 request before the time"),
    ("too early thrice", waited(5, 9, 20, 31), CommandRun(fired=1), "FAIL", "3 requests before the time"),
    ("too early, alone", waited(5), None, "PASS", "5 tickets"),
    ("the clock was put ahead", waited(5, time=3600), CommandRun(fired=1), "PASS", "5 tickets"),
    ("retries at once", hammered(FLOOD_REQUESTS, 0.01), CommandRun(("any",), 1), "FAIL", "6 times without a pause"),
    ("a few retries at once", hammered(4, 0.01), CommandRun(fired=1), "PASS", "5 tickets"),
    ("patient retries", hammered(50, 1), CommandRun(fired=1), "PASS", "5 tickets"),
]


@pytest.mark.parametrize(("case", "feed", "run", "outcome", "reason"), CASES, ids=[f"{c[0]} {c[3]}" for c in CASES])
def test_outcomes(case: str, feed: Feed, run: CommandRun | None, outcome: str, reason: str) -> None:
    """Each outcome, and the words of its reason."""
    verdict = feed.verdict(run=run, since=START)
    assert verdict.outcome == outcome, (case, verdict)
    assert reason in verdict.reason


def test_loop_fails_a_run() -> None:
    """The same page requested again and again fails a run; twice, after an answer that was cut, does not."""
    feed = read_all()
    feed.cursor = START
    feed.read(2, keeps=False)
    feed.read(2, is_lost=True, keeps=False)
    feed.read(2)
    while feed.events[-1].served and not feed.events[-1].served.end_of_stream:
        feed.read(2)
    assert feed.verdict(run=CommandRun(fired=1)).outcome == "PASS"
    feed.cursor = START
    for _ in range(3):
        feed.read(2, keeps=False)
    looping = feed.verdict(run=CommandRun(("any",), 1))
    assert (looping.outcome, looping.loops) == ("FAIL", 1)
    assert "again and again" in looping.reason


def test_begin_and_filters() -> None:
    """A consumer must have what follows its first request, and passes its filters; several consumers are one."""
    tickets = [
        FeedTicket(Position(10, 1), "open"),
        FeedTicket(Position(20, 2), "deleted"),
        FeedTicket(Position(30, 3), "open", "ai_agent"),
        FeedTicket(Position(40, 4), "open"),
    ]

    def reader(after: int, end: int, filters: Filters = EVERY) -> Consumer:
        served = Served("tickets/cursor", "tickets", Position(after, 0), Position(end, 9), 1, True, filters)
        return replace(merge_usage(None, UsageUpdate(BLANK, [Event(NOON + end, served)])), filters=filters)

    def missed(*consumers: Consumer, **options: Any) -> list[int]:
        return list(make_verdict(consumers, [], tickets, 50, **options).missed_ids)

    assert missed(reader(15, 50)) == []
    assert missed(reader(15, 50), since=START) == [1]
    assert missed(reader(0, 15), reader(35, 50)) == [2]
    assert missed(reader(0, 15), reader(35, 50), reader(15, 35)) == []
    assert missed(reader(0, 15, Filters(exclude_deleted=True)), reader(35, 50, Filters(exclude_deleted=True))) == []
    everything = Filters(support_type_scope="all")
    assert missed(reader(0, 15, everything), reader(35, 50, everything)) == [2, 3]


def test_dropped_gaps_are_inconclusive() -> None:
    """A consumer of whose ranges not all are noted is neither passed nor failed for what nobody knows."""
    feed = read_all()
    (consumer,) = [merge_usage(None, UsageUpdate(BLANK, feed.events))]
    tickets = [FeedTicket(Position(second, id), "open") for id, second in feed.tickets.items()]
    verdict = make_verdict([replace(consumer, forgotten_gaps=1)], feed.requests, tickets, feed.now)
    assert verdict.outcome == "INCONCLUSIVE"


FEED = [
    FeedTicket(Position(10, 1), "open", updated_at=9, subject="a"),
    FeedTicket(Position(20, 2), "deleted", updated_at=19, subject="b"),
    FeedTicket(Position(30, 3), "solved", updated_at=29, subject="c"),
]
WHOLE = {
    1: OutputTicket(10, 9, "open", "a"),
    2: OutputTicket(20, 19, "deleted", "b", is_deleted=True),
    3: OutputTicket(30, 29, "solved", "c"),
}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, ""),
        ({2: None}, ""),
        ({1: OutputTicket(updated_at=9)}, ""),
        ({1: OutputTicket(status="open")}, ""),
        ({1: None}, "1 missing"),
        ({1: None, 3: None}, "2 missing"),
        ({1: OutputTicket(9, 9, "open", "a")}, "1 stale"),
        ({1: OutputTicket(updated_at=8)}, "1 stale"),
        ({1: OutputTicket(10, 9, "open", "another")}, "1 stale"),
        ({3: OutputTicket(status="open")}, "1 stale"),
        ({2: OutputTicket(15, 15, "open", "b")}, "1 deleted but still alive"),
        ({7: OutputTicket(10)}, "1 not in the feed"),
        ({3: OutputTicket(subject="c")}, "1 missing, 1 torn"),
    ],
)
def test_output(changed: dict[int, OutputTicket | None], found: str) -> None:
    """The output decides, whatever the consumer was given: missing, stale, alive, unknown and torn tickets are named;
    a deleted one may be there as deleted, or not at all."""
    output = Output()
    for id, ticket in {**WHOLE, **changed}.items():
        if ticket is not None:
            output.add(f"line {id}", id, ticket)
    verdict = make_verdict([], [request(1)], FEED, 50, output=output)
    assert verdict.output is not None
    assert verdict.output.summary() == (f"in the output: {found}" if found else "")
    assert verdict.outcome == ("FAIL" if found else "PASS")
