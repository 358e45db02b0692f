"""The fence: after it, no write carries a position that a reader can have passed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.model import FeedState
from ticketfeed.protocol.watermark import allows_own_times, can_close, close, fence, next_generated_timestamp, written

NOON = 1_700_000_000

seconds = st.integers(0, 2 * NOON)
counts = st.integers(0, 10)
errors = st.integers(0, 86400)


@st.composite
def states(draw: st.DrawFn) -> FeedState:
    """Any row that writes, closings and fences can leave."""
    last = draw(seconds)
    return FeedState(last, max(0, last - 1) + draw(st.integers(0, 100)), draw(counts))


@given(states(), seconds, errors, st.integers(0, 3600))
def test_no_write_lands_at_a_position_given_out(lost: FeedState, now: int, error: int, age: int) -> None:
    """Whatever the lost store had given out, an older row that is fenced never gives out again.

    The lost store served up to min(watermark, its now), and its now was at most `error` seconds ahead of ours.
    """
    given_out = min(lost.watermark, now + error)
    older = FeedState(max(0, lost.last_generated_timestamp - age), max(0, lost.watermark - age))
    fenced = fence(older, now, error)
    for later in (now - 7200, now, now + 1):
        assert next_generated_timestamp(fenced, later) > given_out
        assert not allows_own_times(fenced) or given_out <= 0


@given(states(), seconds, errors)
def test_idempotent(state: FeedState, now: int, error: int) -> None:
    """Fencing twice at one instant is fencing once; those who keep pages only forget them once more."""
    once = fence(state, now, error)
    again = fence(once, now, error)
    assert replace(again, invalidations=once.invalidations, record_changes=once.record_changes) == once


@given(states(), seconds, errors)
def test_only_the_watermark_moves_and_only_up(state: FeedState, now: int, error: int) -> None:
    """The fence raises the watermark, past all three of its bounds, and both counts past what a life of the store
    can have counted; it leaves the rest of the row alone."""
    fenced = fence(state, now, error)
    assert fenced.watermark == max(state.watermark, state.last_generated_timestamp, now + error)
    assert fenced.invalidations >= state.invalidations + 2**32
    assert fenced.record_changes >= state.record_changes + 2**32
    counts = {"invalidations": state.invalidations, "record_changes": state.record_changes}
    assert replace(fenced, watermark=state.watermark, **counts) == state


@given(states(), seconds, errors)
def test_the_newest_second_is_closed(state: FeedState, now: int, error: int) -> None:
    """After the fence nothing is open, so what the row held can be read as soon as its second has come."""
    fenced = fence(state, now, error)
    assert not can_close(fenced, now)
    assert close(fenced, now) == fenced


@given(states(), seconds, errors)
def test_a_fence_survives_a_write(state: FeedState, now: int, error: int) -> None:
    """The write after the fence carries a second beyond it and leaves the watermark where no reader is behind it."""
    fenced = fence(state, now, error)
    second = next_generated_timestamp(fenced, now)
    after = written(fenced, second, now, fenced.ticket_count + 1)
    assert after.last_generated_timestamp == second > fenced.watermark
    assert after.watermark == fenced.watermark


# state -> whether a load may keep the seconds of its tickets
KEEPING = [
    (FeedState(), True),
    (FeedState(0, 0, 1), False),
    (FeedState(5, 5, 1), False),
    (FeedState(0, NOON, 0), False),  # fenced before anything was written
    (FeedState(5, 5, 0), False),  # its tickets are gone, its readers are not
]


@pytest.mark.parametrize(("state", "expected"), KEEPING)
def test_what_may_be_kept(state: FeedState, expected: bool) -> None:
    """Only an account as it was made lets tickets keep their seconds."""
    assert allows_own_times(state) is expected
