"""The watermark rule: whatever the clock does, a closed second stays closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.model import FeedState
from ticketfeed.protocol.watermark import (
    CLOCK_BEHIND_SECONDS,
    can_close,
    can_close_records,
    clock_behind,
    close,
    close_records,
    next_generated_timestamp,
    written,
)

NOON = 1_700_000_000

# What happens at one moment: a write, an attempt to close, or a fence that raises the watermark.
EVENTS = ("write", "write", "close", "fence")

# How far the clock moves before it: mostly on, at times back, far back, or far ahead.
steps = st.one_of(
    st.integers(0, 3), st.integers(-8, 8), st.sampled_from([-(10**6), -3600, -CLOCK_BEHIND_SECONDS, 3600, 10**6])
)
stories = st.lists(st.tuples(steps, st.sampled_from(EVENTS), st.integers(1, 100)), max_size=60)
histories = st.none() | st.integers(0, NOON + 300)


class Feed:
    """An account row, and a record of all that it ever promised."""

    def __init__(self) -> None:
        self.state = FeedState()
        self.seconds: list[int] = []

    def load_history(self, newest: int, now: int) -> None:
        self._store(written(self.state, newest, now, 1))
        self.seconds.append(newest)

    def write(self, now: int) -> None:
        """Each write is checked against every watermark stored before it: the last one is the highest."""
        second = next_generated_timestamp(self.state, now)
        assert second > self.state.watermark, "a change became visible behind a cursor"
        assert second >= max(now, *self.seconds, 0), "commit order and feed order differ"
        self.seconds.append(second)
        self._store(written(self.state, second, now, self.state.ticket_count + 1))
        assert self.state.watermark >= second - 1, "a second that is over stayed open"

    def close(self, now: int) -> None:
        allowed, before = can_close(self.state, now), self.state.watermark
        self._store(close(self.state, now))
        assert (self.state.watermark > before) == allowed

    def fence(self, ahead: int) -> None:
        """What a promotion or a restore does: past anything that can have been given out."""
        newest = max(self.state.watermark, self.state.last_generated_timestamp) + ahead
        self._store(FeedState(self.state.last_generated_timestamp, newest, self.state.ticket_count))

    def _store(self, state: FeedState) -> None:
        assert state.watermark >= self.state.watermark, "the watermark went back"
        assert state.last_generated_timestamp >= self.state.last_generated_timestamp
        self.state = state


@given(histories, stories)
def test_the_promise(history: int | None, story: list[tuple[int, str, int]]) -> None:
    """No write carries a second at or before a watermark stored earlier, and none goes back in time."""
    feed, now = Feed(), NOON
    if history is not None:
        feed.load_history(history, now)
    for step, event, ahead in story:
        now = max(0, now + step)
        if event == "write":
            feed.write(now)
        elif event == "close":
            feed.close(now)
        else:
            feed.fence(ahead)
    assert feed.seconds == sorted(feed.seconds)


@given(histories, stories, steps)
def test_every_second_can_be_closed(history: int | None, story: list[tuple[int, str, int]], step: int) -> None:
    """From any state, the newest second can be closed as soon as the clock has passed it, and not before."""
    feed, now = Feed(), NOON
    if history is not None:
        feed.load_history(history, now)
    for moved, event, _ahead in story:
        now = max(0, now + moved)
        if event == "write":
            feed.write(now)
    now = max(0, now + step)
    last = feed.state.last_generated_timestamp
    if feed.state.watermark < last:
        assert can_close(feed.state, max(now, last + 1))
        assert not can_close(feed.state, min(now, last))


# (last_generated_timestamp, watermark, now) -> whether the newest second may be closed
CLOSING = [
    (NOON, NOON - 1, NOON - 1, False),
    (NOON, NOON - 1, NOON, False),
    (NOON, NOON - 1, NOON + 1, True),
    (NOON, NOON, NOON + 1, False),
    (NOON, NOON + 5, NOON + 1, False),
    (NOON, NOON - 1, NOON - CLOCK_BEHIND_SECONDS, False),
    (NOON, NOON - 1, NOON - 3600, False),
    (0, 0, NOON, False),
]


@pytest.mark.parametrize(("last", "watermark", "now", "expected"), CLOSING)
def test_when_a_second_can_be_closed(last: int, watermark: int, now: int, expected: bool) -> None:
    """A second is closed once it is over, and never before, however far the clock was set back."""
    state = FeedState(last, watermark)
    assert can_close(state, now) is expected
    assert close(state, now) == (FeedState(last, last) if expected else state)


# (state, second written, now) -> watermark after it
WRITING = [
    (FeedState(), NOON, NOON, NOON - 1),
    (FeedState(NOON - 9, NOON - 9), NOON, NOON, NOON - 1),
    (FeedState(NOON, NOON - 1), NOON, NOON, NOON - 1),
    (FeedState(NOON, NOON), NOON + 1, NOON, NOON),
    # a load of history: all of it is over at once
    (FeedState(), 5, NOON, 5),
    (FeedState(), 0, NOON, 0),
    (FeedState(), NOON - 1, NOON, NOON - 1),
    # a clock set back: the newest second is still open
    (FeedState(NOON, NOON - 1), NOON, NOON - 3600, NOON - 1),
    # behind a fence
    (FeedState(NOON, NOON + 60), NOON + 61, NOON, NOON + 60),
]


@pytest.mark.parametrize(("state", "second", "now", "watermark"), WRITING)
def test_watermark_after_a_write(state: FeedState, second: int, now: int, watermark: int) -> None:
    """A write closes every second before its own, and its own when that is over already."""
    assert written(state, second, now, 7) == FeedState(second, watermark, 7)


def test_two_writes_in_one_second_share_it() -> None:
    """While a second is open, writes share it; once it was closed, the next takes the one after."""
    state = written(FeedState(), NOON, NOON, 1)
    assert next_generated_timestamp(state, NOON) == NOON
    closed = close(state, NOON + 1)
    assert closed.watermark == NOON
    assert next_generated_timestamp(closed, NOON - 3600) == NOON + 1


@given(st.integers(CLOCK_BEHIND_SECONDS + 1, 10**6), st.lists(st.booleans(), max_size=60))
def test_a_clock_set_back_does_not_run_the_feed_ahead(behind: int, closing: list[bool]) -> None:
    """However many writes and closings a clock that was set back sees, the feed is no further ahead than at first."""
    state = written(FeedState(), NOON, NOON, 1)
    for closes in closing:
        now = NOON - behind
        state = close(state, now) if closes else written(state, next_generated_timestamp(state, now), now, 1)
    assert state.last_generated_timestamp == NOON
    assert clock_behind(state, NOON - behind) == behind
    assert clock_behind(state, NOON) == 0


# (last_generated_timestamp, watermark, now) -> the records' watermark after closing
CLOSING_RECORDS = [
    (NOON, 0, NOON - 1, NOON - 2),
    (NOON, 0, NOON, NOON - 1),
    (NOON, 0, NOON + 1, NOON),
    (NOON, NOON - 1, NOON, NOON - 1),
    (NOON, NOON - 1, NOON + 1, NOON),
    (NOON, NOON, NOON + 9, NOON),
    (NOON, NOON + 5, NOON + 9, NOON + 5),
    (NOON, NOON - 1, NOON - 3600, NOON - 1),
    (0, 0, NOON, 0),
]


@pytest.mark.parametrize(("last", "watermark", "now", "after"), CLOSING_RECORDS)
def test_when_records_can_be_closed(last: int, watermark: int, now: int, after: int) -> None:
    """Of records every second before `now` is closed, the newest one included, and never one that lasts."""
    state = FeedState(last, watermark)
    assert can_close_records(state, now) is (after > watermark)
    assert close_records(state, now) == FeedState(last, after)


@pytest.mark.parametrize(("ahead", "behind"), [(-1, 0), (0, 0), (1, 0), (10, 0), (11, 11), (3600, 3600)])
def test_when_the_clock_is_behind(ahead: int, behind: int) -> None:
    """A newest change that is a few seconds ahead can come from two clocks; further ahead, the clock was set back."""
    assert clock_behind(FeedState(NOON + ahead, NOON), NOON) == behind
