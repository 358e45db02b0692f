"""Consumers: what several processes note of one reader comes to the same as what one would have noted."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.consumers import (
    CONSUMER_DAYS_MAX,
    CONSUMERS_MAX,
    LOOP_REQUESTS,
    RANGES_MAX,
    Consumer,
    Event,
    ReadRange,
    Served,
    UsageUpdate,
    consumer_key,
    merge_events,
    merge_ranges,
    merge_usage,
    recent_consumers,
)
from ticketfeed.protocol.model import Filters, Position

NOON = 1_700_000_000.0
WHO: dict[str, Any] = {"credential_id": 1, "user_id": 2, "email": "a@example.com", "user_agent": "tap"}
BLANK = Consumer(**WHO, export="tickets/cursor", first_at=NOON, last_at=NOON)


def page(after: int, end: int, rows: int | None = None, *, is_last: bool = False, by_time: bool = False) -> Served:
    rows = end - after if rows is None else rows
    return Served("tickets/cursor", "tickets", Position(after, 0), Position(end, 0), rows, is_last, by_time=by_time)


def events(*pages: Served) -> list[Event]:
    """One a second."""
    return [Event(NOON + number, served, 100) for number, served in enumerate(pages)]


def read(*pages: Served) -> Consumer:
    """All noted by one process."""
    return merge_usage(None, UsageUpdate(BLANK, events(*pages)))


positions = st.builds(Position, st.integers(0, 40), st.integers(0, 1))
ranges = st.builds(lambda ends: ReadRange(min(ends), max(ends)), st.tuples(positions, positions))
walks = st.lists(
    st.builds(lambda ends, last: page(*sorted(ends), is_last=last), st.tuples(*[st.integers(0, 9)] * 2), st.booleans()),
    max_size=8,
)


@given(st.lists(ranges, max_size=12))
def test_ranges_unite(given_ranges: Sequence[ReadRange]) -> None:
    """United ranges cover the same ground, apart from one another and in order, whatever the order they came in."""
    united = merge_ranges(given_ranges)
    assert united == merge_ranges(reversed(given_ranges)) == merge_ranges(united)
    assert all(before.end < behind.after for before, behind in pairwise(united))
    for second in range(41):
        inside = [any(r.after < (second, 0) <= r.end for r in some) for some in (given_ranges, united)]
        assert inside[0] == inside[1]


@given(walks, st.integers(2, 3), st.randoms(use_true_random=False))
def test_processes_know_together_what_one_would_know(
    pages: list[Served], processes: int, chance: random.Random
) -> None:
    """Whoever serves which page, and in whatever order they pass it on: the same counts, the same ground, the same
    place where the consumer stands."""
    noted = events(*pages)
    parts = [[event for number, event in enumerate(noted) if number % processes == turn] for turn in range(processes)]
    chance.shuffle(parts)
    together: Consumer | None = None
    for part in parts:
        together = merge_usage(together, UsageUpdate(BLANK, part))
    exclusive = merge_usage(None, UsageUpdate(BLANK, noted))
    assert together is not None
    for name in ("requests", "pages", "tickets", "bytes", "given", "position", "asked", "page_at", "minutes"):
        assert getattr(together, name) == getattr(exclusive, name), name
    assert together.gaps() == exclusive.gaps()


@given(st.integers(2, 30), st.integers(1, 3))
def test_a_walk_spread_over_processes(pages: int, processes: int) -> None:
    """Pages of one walk that several processes served, in turns, are one range, with nothing repeated."""
    noted = events(*[page(number, number + 1) for number in range(pages)])
    whole: Consumer | None = None
    for turn in range(processes):
        whole = merge_usage(whole, UsageUpdate(BLANK, noted[turn::processes]))
    assert whole is not None
    assert (whole.pages, whole.tickets, whole.repeats, whole.loops) == (pages, pages, 0, 0)
    assert whole.position == Position(pages, 0)
    # Ranges are joined from the oldest on when there are too many of them at once.
    assert pages > RANGES_MAX or whole.gaps() == []


def test_a_repeat_that_another_process_serves() -> None:
    """Everything given by one process, and then again by another, is repeated."""
    walk = [page(number, number + 1) for number in range(5)]
    first = merge_usage(None, UsageUpdate(BLANK, events(*walk)))
    again = [event._replace(at=event.at + 60) for event in events(*walk)]
    assert merge_usage(first, UsageUpdate(BLANK, again)).repeats == 5


def test_a_loop_that_two_processes_serve() -> None:
    """One loop, however many processes it goes round in."""
    noted = events(*[page(5, 9)] * 6)
    both = merge_usage(merge_usage(None, UsageUpdate(BLANK, noted[::2])), UsageUpdate(BLANK, noted[1::2]))
    assert (both.same, both.loops, both.is_looping) == (6, 1, True)


def test_a_gap() -> None:
    """Going on from behind what was given leaves a gap, until it is read."""
    assert read(page(0, 5), page(5, 9)).gaps() == []
    assert read(page(0, 5), page(7, 9)).gaps() == [(Position(5, 0), Position(7, 0))]
    assert read(page(0, 5), page(7, 9), page(5, 7)).gaps() == []


def test_going_back_skips_nothing() -> None:
    """Who reads the newest first and then from the beginning is not there yet, and has skipped nothing."""
    backfill = read(page(50, 90), page(0, 5), page(5, 10))
    assert (backfill.gaps(), backfill.position) == ([], Position(10, 0))


def test_many_gaps() -> None:
    """Of more gaps than can be kept the oldest are forgotten."""
    consumer = read(*[page(10 * number, 10 * number + 1) for number in range(RANGES_MAX + 5)])
    assert len(consumer.given) == RANGES_MAX
    assert consumer.gaps()[-1] == (Position(10 * (RANGES_MAX + 3) + 1, 0), Position(10 * (RANGES_MAX + 4), 0))


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
    stuck = [page(0, 5), *[page(5, 9)] * LOOP_REQUESTS]
    assert (read(*stuck).is_looping, read(*stuck).loops) == (True, 1)
    assert read(*stuck, *stuck[1:]).loops == 1
    assert not read(*stuck, page(9, 12)).is_looping
    assert not read(page(0, 5), *[page(5, 9, is_last=True)] * LOOP_REQUESTS).is_looping


def test_in_one_instant() -> None:
    """Of two pages with one time the later noted is where the consumer stands."""
    noted = [Event(NOON, page(0, 5)), Event(NOON, page(5, 9)), Event(NOON, page(0, 5))]
    assert merge_usage(None, UsageUpdate(BLANK, noted)).position == Position(5, 0)


def test_a_failure_keeps_the_position() -> None:
    """A refused request is counted and told of, and changes nothing of where the consumer stands."""
    before = read(page(0, 5))
    after = merge_usage(
        before, UsageUpdate(BLANK, [Event(NOON + 60, error="400 InvalidCursor"), Event(NOON + 30, error="429")])
    )
    assert (after.position, after.errors, after.last_error) == (before.position, 2, "400 InvalidCursor")
    assert (after.requests, after.pages, after.last_at) == (3, 1, NOON + 60)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_pages_in_a_row_joined(sizes: list[int]) -> None:
    """Pages that follow one another, noted as one, come to the same but for repeats."""
    ends = [sum(sizes[:number]) for number in range(len(sizes) + 1)]
    noted = events(*[page(after, end) for after, end in pairwise(ends)])
    joined = noted[0]
    for event in noted[1:]:
        both = merge_events(joined, event)
        assert both is not None
        joined = both
    one, many = merge_usage(None, UsageUpdate(BLANK, [joined])), merge_usage(None, UsageUpdate(BLANK, noted))
    for name in ("requests", "pages", "tickets", "bytes", "given", "position", "minutes", "last_at"):
        assert getattr(one, name) == getattr(many, name), name


def test_what_is_not_joined() -> None:
    """Neither a refusal, nor a page from elsewhere, nor one of another minute."""
    first = Event(NOON, page(0, 5))
    for other in (Event(NOON, error="429"), Event(NOON, page(7, 9)), Event(NOON + 60, page(5, 7))):
        assert merge_events(first, other) is None
        assert merge_events(other, first) is None


def test_filters_tell_consumers_apart() -> None:
    """Reading with other filters is another consumer: what the one was given says nothing of the other."""
    filters = [Filters(deleted, scope) for deleted in (False, True) for scope in ("agent", "all", "ai_agent")]
    blanks = [Consumer(**WHO, export="tickets/cursor", filters=each, first_at=0, last_at=0) for each in filters]
    assert len({consumer_key(who) for who in blanks}) == len({who.reads for who in blanks}) == 6
    assert BLANK.reads == "tickets/cursor"


def test_rate() -> None:
    """Pages and tickets a minute, of the last five minutes alone."""
    consumer = read(page(0, 5), page(5, 15))
    assert consumer.rate(NOON + 10) == (2 / 5, 15 / 5)
    assert consumer.rate(NOON + 600) == (0, 0)


def test_which_are_kept() -> None:
    """The newest, so many, and none that was not seen for long."""
    seen = [(str(number), NOON + number) for number in range(CONSUMERS_MAX + 10)]
    assert recent_consumers(seen, NOON) == {key for key, _ in seen[10:]}
    assert recent_consumers(seen, NOON + (CONSUMER_DAYS_MAX + 1) * 86400) == set()
