"""The rule that keeps the promise: which second a change carries, and which seconds are closed.

All of it runs while the account row is locked, so writes of one account happen one after the other. Then:

* a write carries a second later than the watermark, and never earlier than the write before it;
* the watermark is only moved to a second that no later write can carry;
* hence everything at or before the watermark is complete for good, whatever the clock does.
"""

from dataclasses import replace

from ticketfeed.protocol.model import FeedState

__all__ = ["CLOCK_BEHIND_SECONDS", "can_close", "can_keep", "close", "fence", "next_generated_timestamp", "written"]

# A clock this far behind the newest change was set back; waiting for it to catch up would stop the feed.
CLOCK_BEHIND_SECONDS = 5


def next_generated_timestamp(state: FeedState, now: int) -> int:
    """The second that a write carries when it locks the row at `now`."""
    return max(now, state.last_generated_timestamp, state.watermark + 1)


def written(state: FeedState, newest: int, now: int, ticket_count: int) -> FeedState:
    """The row after a write whose newest change carries `newest`.

    A second before the newest one is over by itself. The newest is over too when it lies before `now`, as
    after a load of history.
    """
    last = max(state.last_generated_timestamp, newest)
    watermark = max(state.watermark, last - 1, min(last, now - 1))
    return FeedState(last, watermark, ticket_count)


def can_close(state: FeedState, now: int) -> bool:
    """Whether the newest second is still open and may be closed at `now`.

    With a clock far behind, it is closed as it stands: the next write then takes the second after it.
    """
    last = state.last_generated_timestamp
    return state.watermark < last and (last < now or last - now > CLOCK_BEHIND_SECONDS)


def close(state: FeedState, now: int) -> FeedState:
    """The row after closing the newest second, where `can_close` allows it."""
    return replace(state, watermark=state.last_generated_timestamp) if can_close(state, now) else state


def can_keep(state: FeedState) -> bool:
    """Whether the tickets of a load may keep the seconds that they come with.

    Only in an account as it was made. Once it was written or fenced, readers may have passed those seconds; that
    it holds no ticket proves nothing, as what they were given may have been lost since.
    """
    return state == FeedState()


def fence(state: FeedState, now: int, clock_error_seconds: int) -> FeedState:
    """The row after a restore or a promotion: the watermark past every position that can have been given out.

    The row may be older than what readers have seen. A position is given out at or before the watermark, and at
    or before `now` of the machine that served it; our `now` may be behind that by `clock_error_seconds`.
    """
    return replace(state, watermark=max(state.watermark, state.last_generated_timestamp, now + clock_error_seconds))
