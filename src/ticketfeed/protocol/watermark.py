"""The rule that keeps the promise: which second a change carries, and which seconds are closed.

All of it runs while the account row is locked, so writes of one account happen one after the other. Then:

* a write carries a second later than the watermark, and never earlier than the write before it;
* the watermark is only moved to a second that no later write can carry;
* hence everything at or before the watermark is complete for good, whatever the clock does.

Records (users, audits, ...) are a second feed of the account, under the same rule but for its beginning: until a
reader first asks for it nothing was given out, so all that is loaded before then keeps its own time.

A mirror has the seconds of its source, and its watermark follows what the walk has passed there (`copied`).
"""

from dataclasses import replace

from ticketfeed.protocol.model import FeedState

__all__ = [
    "CLOCK_BEHIND_SECONDS",
    "States",
    "after_write",
    "allows_own_record_times",
    "allows_own_times",
    "can_close",
    "can_close_records",
    "clock_behind",
    "close",
    "close_records",
    "close_states",
    "copied",
    "copied_second",
    "fence",
    "fence_states",
    "next_generated_timestamp",
    "rewind",
    "rewind_states",
    "written",
    "written_records",
]

# The account's row: the state of its tickets, and that of its records.
States = tuple[FeedState, FeedState]

# A clock this far behind the newest change was set back, or was ahead before: worth telling somebody. More than the
# first write after a fence is ahead by default.
CLOCK_BEHIND_SECONDS = 10
# When a source says that a stream ends, it has given all that is older than this: it may hold back the last minute, and
# its clock may be a minute behind.
SOURCE_BEHIND_SECONDS = 120
# Past what the counts of an account can reach in its life.
FENCED = 1 << 32


def next_generated_timestamp(state: FeedState, now: int) -> int:
    """The second that a write carries when it locks the row at `now`."""
    return max(now, state.last_generated_timestamp, state.watermark + 1)


def written(state: FeedState, newest: int, now: int, ticket_count: int, departed: int = 0) -> FeedState:
    """The row after a write whose newest change carries `newest`.

    A second before the newest one is over by itself. The newest is over too when it lies before `now`, as
    after a load of history.
    """
    last = max(state.last_generated_timestamp, newest)
    watermark = max(state.watermark, last - 1, min(last, now - 1))
    return FeedState(last, watermark, ticket_count, state.invalidations + departed, state.record_changes)


def can_close(state: FeedState, now: int) -> bool:
    """Whether the newest second is still open, and over at `now`.

    With a clock that was set back it stays open, and writes go on to share it, until the clock has caught up. To
    close it as it stands would be safe too, but help nobody, as a page never goes beyond `now`; and each write after
    that would take a second further ahead of the clock.
    """
    return not state.is_mirror and state.watermark < state.last_generated_timestamp < now


def clock_behind(state: FeedState, now: int) -> int:
    """How many seconds the clock is behind the newest change, when that is too many to come from two clocks; or 0.

    The seconds of a mirror are of another clock, and no page of it goes by ours.
    """
    behind = state.last_generated_timestamp - now
    return behind if behind > CLOCK_BEHIND_SECONDS and not state.is_mirror else 0


def close(state: FeedState, now: int) -> FeedState:
    """The row after closing the newest second, where `can_close` allows it."""
    return replace(state, watermark=state.last_generated_timestamp) if can_close(state, now) else state


def allows_own_times(state: FeedState) -> bool:
    """Whether the tickets of a load may keep the seconds that they come with.

    Only in an account as it was made. Once it was written or fenced, readers may have passed those seconds; that
    it holds no ticket proves nothing, as what they were given may have been lost since.
    """
    return replace(state, record_changes=0) == FeedState()


def allows_own_record_times(state: FeedState) -> bool:
    """Whether records keep the seconds that they come with: nobody was given any yet, and there was no fence."""
    return state.watermark == 0


def written_records(state: FeedState, newest: int, now: int) -> FeedState:
    """The records' part of the row after a write. Its watermark stays 0 until a reader or a fence moves it."""
    if allows_own_record_times(state):
        return FeedState(max(state.last_generated_timestamp, newest))
    return written(state, newest, now, 0)


def after_write(
    states: States,
    newest: int | None,
    newest_record: int | None,
    now: int,
    added: int,
    departed: int = 0,
    *,
    bumps_record_changes: bool = False,
) -> States:
    """Both parts of the row after a write: its newest ticket and record, or None; how many tickets are new, and how
    many left a closed place; whether it stored what FeedState.record_changes counts."""
    state, records = states
    state = replace(
        state,
        ticket_count=state.ticket_count + added,
        invalidations=state.invalidations + departed,
        record_changes=state.record_changes + bumps_record_changes,
    )
    if newest is not None:
        state = written(state, newest, now, state.ticket_count)
    if newest_record is not None:
        records = written_records(records, newest_record, now)
    return state, records


def copied_second(state: FeedState, second: int) -> int:
    """The second that a ticket or record of a mirror gets that carries `second` at the source."""
    return max(second, state.watermark + 1)


def copied(state: FeedState, newest: int, passed: int, now: int, *, has_ended: bool) -> FeedState:
    """The state of a mirrored feed after a write at `now` whose newest change carries `newest`.

    `passed`: the newest second that the walk has wholly passed. What lies after it at the end of the source's stream
    (`has_ended`) came late, with a second that was closed, and got a later one here (`copied_second`). Nobody is to
    read that before the source has given all of that second too: a reader may go on at the source from there.
    """
    last = max(state.last_generated_timestamp, newest)
    came_late = min(last, now - SOURCE_BEHIND_SECONDS) if has_ended else 0
    return replace(state, last_generated_timestamp=last, watermark=max(state.watermark, passed, came_late))


def can_close_records(state: FeedState, now: int) -> bool:
    """Whether the records' watermark can move.

    Before the first reader everything is open, however long over; then what is over is closed, and no more than that.
    """
    return not state.is_mirror and state.watermark < min(state.last_generated_timestamp, now - 1)


def close_records(state: FeedState, now: int) -> FeedState:
    """The records' part of the row after that, where `can_close_records` allows it."""
    closed = min(state.last_generated_timestamp, now - 1)
    return replace(state, watermark=closed) if can_close_records(state, now) else state


def close_states(states: States, now: int) -> States | None:
    """Both parts of the row after closing what is over; None where nothing can be closed."""
    tickets, records = states
    if not can_close(tickets, now) and not can_close_records(records, now):
        return None
    return close(tickets, now), close_records(records, now)


def fence(state: FeedState, now: int, clock_error_seconds: int) -> FeedState:
    """The row after a restore or a promotion: the watermark past every position that can have been given out.

    The row may be older than what readers have seen. A position is given out at or before the watermark, and at
    or before `now` of the machine that served it; our `now` may be behind that by `clock_error_seconds`. What
    was lost can be told to nobody who keeps pages: both counts go past all that they can have heard of.
    """
    closed = max(state.watermark, state.last_generated_timestamp, now + clock_error_seconds)
    return replace(_with_fenced_counts(state), watermark=closed)


def fence_states(states: States, now: int, clock_error_seconds: int) -> States:
    """Both parts of the row after `fence`; nothing of records is counted.

    Those of a mirror stay where they are: what was lost comes from its source again, at the same positions.
    """
    if states[0].is_mirror:
        return _with_fenced_counts(states[0]), states[1]
    tickets, records = (fence(state, now, clock_error_seconds) for state in states)
    return tickets, replace(records, invalidations=0, record_changes=0)


def rewind(state: FeedState, now: int, clock_error_seconds: int) -> FeedState:
    """The row of a feed that lies in the future, brought back to now; one that does not stays as it is.

    The only step that moves a watermark back, and so the caller puts every change again that lies after the new one,
    and remembers where that is: a reader whose position lies in the future is read from there. What was given out by
    clocks that are right, which may be ahead by `clock_error_seconds`, stays closed. The counts are as after a fence:
    cached pages of the future are dropped.
    """
    closed = now + clock_error_seconds
    if max(state.last_generated_timestamp, state.watermark) - now <= max(CLOCK_BEHIND_SECONDS, clock_error_seconds + 1):
        return state
    return replace(_with_fenced_counts(state), last_generated_timestamp=closed, watermark=closed)


def rewind_states(states: States, now: int, clock_error_seconds: int) -> States:
    """Both parts of the row after `rewind`; nothing of records is counted."""
    tickets, records = (rewind(state, now, clock_error_seconds) for state in states)
    return tickets, replace(records, invalidations=0, record_changes=0)


def _with_fenced_counts(state: FeedState) -> FeedState:
    return replace(state, invalidations=state.invalidations + FENCED, record_changes=state.record_changes + FENCED)
