"""Consumers: what several processes note of one reader comes to the same as what one would have noted."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.consumers import (
    CONSUMER_DAYS_MAX,
    CONSUMERS_MAX,
    GIVEN_MAX,
    LOOP_REQUESTS,
    Consumer,
    Given,
    Served,
    kept_consumers,
    merge,
    note_failure,
    note_served,
    unite,
)
from ticketfeed.protocol.model import Position

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


def page(after: int, end: int, rows: int | None = None, *, is_last: bool = False, by_time: bool = False) -> Served:
    rows = end - after if rows is None else rows
    return Served("tickets/cursor", "tickets", Position(after, 0), Position(end, 0), rows, is_last, by_time=by_time)


def read(*pages: Served, start: Consumer = BLANK) -> Consumer:
    """All noted by one process, one a second."""
    known = start
    for number, served in enumerate(pages):
        known = note_served(known, known, served, 100, NOON + number)
    return known


positions = st.builds(Position, st.integers(0, 40), st.integers(0, 1))
ranges = st.builds(lambda ends, at: Given(min(ends), max(ends), at), st.tuples(positions, positions), st.floats(0, 100))
walks = st.lists(
    st.builds(
        lambda ends, last: page(min(ends), max(ends), is_last=last), st.tuples(*[st.integers(0, 9)] * 2), st.booleans()
    ),
    max_size=6,
)


@given(st.lists(ranges, max_size=12))
def test_ranges_unite(given_ranges: Sequence[Given]) -> None:
    """United ranges cover the same ground, apart from one another and in order, whatever the order they came in."""
    united = unite(given_ranges)
    assert united == unite(reversed(given_ranges)) == unite(united)
    assert all(before.end < behind.after for before, behind in pairwise(united))
    for second in range(41):
        inside = [any(r.after < (second, 0) <= r.end for r in some) for some in (given_ranges, united)]
        assert inside[0] == inside[1]


@given(walks, walks, walks)
def test_merge_knows_no_order(first: list[Served], second: list[Served], third: list[Served]) -> None:
    """What three processes noted comes to the same in whatever order they pass it on."""
    a, b, c = (read(*pages) for pages in (first, second, third))
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(st.integers(2, 30), st.integers(1, 3))
def test_a_walk_spread_over_processes_has_no_gap(pages: int, processes: int) -> None:
    """Pages of one walk that several processes served, in turns, are one range, with nothing repeated."""
    noted = [BLANK] * processes
    for number in range(pages):
        turn = number % processes
        noted[turn] = note_served(noted[turn], noted[turn], page(number, number + 1), 100, NOON + number)
    whole = noted[0]
    for other in noted[1:]:
        whole = merge(whole, other)
    assert (whole.pages, whole.tickets, whole.repeats, whole.loops) == (pages, pages, 0, 0)
    assert whole.position == Position(pages, 0)
    # Ranges are joined from the oldest on when there are too many of them at once.
    assert pages > GIVEN_MAX or whole.gaps() == []


def test_a_gap() -> None:
    """Going on from behind what was given leaves a gap, until it is read."""
    assert read(page(0, 5), page(5, 9)).gaps() == []
    skipping = read(page(0, 5), page(7, 9))
    assert skipping.gaps() == [(Position(5, 0), Position(7, 0))]
    assert read(page(5, 7), start=skipping).gaps() == []


def test_many_gaps() -> None:
    """Of more gaps than can be kept the oldest are forgotten."""
    consumer = read(*[page(10 * number, 10 * number + 1) for number in range(GIVEN_MAX + 5)])
    assert len(consumer.given) == GIVEN_MAX
    assert consumer.gaps()[-1] == (Position(10 * (GIVEN_MAX + 3) + 1, 0), Position(10 * (GIVEN_MAX + 4), 0))


def test_a_repeat() -> None:
    """A page of which all was given before is a repeat; polling at the end is none, nor is new after old."""
    assert read(page(0, 5), page(0, 5)).repeats == 1
    assert read(page(0, 5), page(0, 3), page(3, 6)).repeats == 1
    polling = [page(5, 5, is_last=True)] * 5
    assert (read(page(0, 5), *polling).repeats, read(page(0, 5), *polling).loops) == (0, 0)


def test_by_time_the_last_second_is_no_repeat() -> None:
    """Exports without a cursor give the last second again, by their nature."""
    last = page(4, 5, is_last=True, by_time=True)
    assert read(page(0, 5, by_time=True), last, last).repeats == 0


def test_a_loop() -> None:
    """The same page, with more behind it, asked for so often is a loop: counted once, and over with the next page."""
    stuck = read(page(0, 5), *[page(5, 9)] * LOOP_REQUESTS)
    assert (stuck.is_looping, stuck.loops) == (True, 1)
    assert read(*[page(5, 9)] * LOOP_REQUESTS, start=stuck).loops == 1
    assert not read(page(9, 12), start=stuck).is_looping
    assert not read(page(0, 5), *[page(5, 9, is_last=True)] * LOOP_REQUESTS).is_looping


def test_a_failure_keeps_the_position() -> None:
    """A refused request is counted and told of, and changes nothing of where the consumer stands."""
    before = read(page(0, 5))
    after = merge(before, note_failure(BLANK, "400 InvalidCursor", NOON + 60))
    assert (after.position, after.errors, after.last_error) == (before.position, 1, "400 InvalidCursor")
    assert (after.requests, after.pages, after.last_at) == (2, 1, NOON + 60)


def test_rate() -> None:
    """Pages and tickets a minute, of the last five minutes alone."""
    consumer = read(page(0, 5), page(5, 15))
    assert consumer.rate(NOON + 10) == (2 / 5, 15 / 5)
    assert consumer.rate(NOON + 600) == (0, 0)


def test_which_are_kept() -> None:
    """The newest, so many, and none that was not seen for long."""
    seen = [(str(number), NOON + number) for number in range(CONSUMERS_MAX + 10)]
    assert kept_consumers(seen, NOON) == {key for key, _ in seen[10:]}
    assert kept_consumers(seen, NOON + (CONSUMER_DAYS_MAX + 1) * 86400) == set()
