"""Which stream of a source is asked next: the one that is most behind, by how often each is worth asking.

How far a stream is behind is counted in seconds: to the second that it has passed while there is more of it, since it
was last asked once its end was reached. Streams share the request budget by that, divided by their interval, so that
after an outage all come forward together, those that change often first. None is left alone for longer than
LEFT_ALONE_SECONDS, a list for LEFT_ALONE_LIST_SECONDS, however far another is behind: during a first copy of hours,
what is small stays fresh for a few percent of the requests. First copies come one after the other, that of tickets
first, and tickets are followed while others are copied.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ticketfeed.client.streams import STREAMS, Stream
from ticketfeed.protocol.mirrors import StreamState

__all__ = ["COMMENT_STREAMS", "MIRROR_STREAMS", "MirrorStream", "Turn", "behind_seconds", "choose_turn"]

LEFT_ALONE_SECONDS, LEFT_ALONE_LIST_SECONDS = 900.0, 3600.0
# Tickets, while other streams are behind: so long, and for so many requests, as a small budget is for all.
LEFT_ALONE_TICKETS_SECONDS, LEFT_ALONE_TICKETS_REQUESTS = 60.0, 6
# One in so many requests goes on with a list that is long, or reads it again.
LIST_SHARE = 20
# And of those that were read before, one in so many requests is read again at most, as they fall due together.
LISTS_APART = 10
# A source without a limit is asked so much more often.
UNLIMITED_SHARE = 0.1
# Waits are looked at again so soon, as streams, budget and settings may change.
WAIT_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class MirrorStream:
    """A stream of the source. `interval_seconds`: how often it is asked for changes when nothing is behind.

    With these intervals ten requests a minute are enough, and a change of a ticket is here ten seconds after the
    source gives it.
    """

    stream: Stream
    interval_seconds: float

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def is_list(self) -> bool:
        return self.stream.way == "list"


def _with(name: str, *parameters: tuple[str, str]) -> Stream:
    return replace(STREAMS[name], parameters=(*STREAMS[name].parameters, *parameters))


_LISTS = (
    "ticket_fields",
    "ticket_forms",
    "custom_statuses",
    "group_memberships",
    "organization_memberships",
    "satisfaction_ratings",
)
MIRROR_STREAMS = (
    MirrorStream(_with("tickets", ("include", "metric_sets")), 10),
    MirrorStream(STREAMS["users"], 60),
    MirrorStream(STREAMS["organizations"], 90),
    MirrorStream(_with("groups", ("exclude_deleted", "false")), 1200),
    MirrorStream(_with("brands", ("include_deleted", "true")), 1200),
    *(MirrorStream(STREAMS[name], 1200) for name in _LISTS),
)
# With --comments.
COMMENT_STREAMS = (
    MirrorStream(_with("ticket_events", ("include", "comment_events")), 60),
    MirrorStream(STREAMS["ticket_metric_events"], 120),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is next: a page of `stream`, or a wait where nothing is due."""

    stream: MirrorStream | None
    wait_seconds: float = 0.0


def choose_turn(
    streams: Sequence[MirrorStream], states: Mapping[str, StreamState], now: float, requests_per_minute: int | None
) -> Turn:
    """`requests_per_minute`: of the budget; None for no limit."""
    asked = [(stream, states.get(stream.name, StreamState())) for stream in streams]
    lists_asked_at = max((state.asked_at for stream, state in asked if stream.is_list), default=0.0)
    pace = _Pace(now, requests_per_minute, lists_asked_at)
    waits = [pace.seconds_until_due(stream, state) for stream, state in asked]
    due = [each for each, wait in zip(asked, waits, strict=True) if wait <= 0]
    is_behind = any(not stream.is_list and not state.has_ended for stream, state in asked)
    left_alone = [each for each in due if is_behind and pace.is_left_alone(*each)]
    if any(stream.name == "tickets" and not state.is_copied for stream, state in asked):
        due = [each for each in due if not _is_copied_later(*each)]
    unfinished = [each for each in asked if each[0].is_list and not each[1].has_ended]
    for choice in (left_alone, due, unfinished):
        if choice:
            return Turn(max(choice, key=lambda each: pace.urgency(*each))[0])
    return Turn(None, min(min(waits, default=WAIT_SECONDS_MAX), WAIT_SECONDS_MAX))


def _is_copied_later(stream: MirrorStream, state: StreamState) -> bool:
    """Whether the first copy of a stream waits for that of tickets."""
    return not stream.is_list and stream.name != "tickets" and not state.is_copied


def behind_seconds(streams: Sequence[MirrorStream], states: Mapping[str, StreamState], now: float) -> int | None:
    """How far behind its source the mirror is by the stream that is furthest; lists aside. None before the first page
    of each."""
    lags = [_lag(states.get(stream.name, StreamState()), now) for stream in streams if not stream.is_list]
    return None if math.inf in lags else max(0, round(max(lags, default=0.0)))


def _lag(state: StreamState, now: float) -> float:
    if state.has_ended:
        return _age(state, now)
    return now - state.passed if state.pages else math.inf


def _age(state: StreamState, now: float) -> float:
    """Since a stream was last asked; one that never was, or was by a clock that was ahead, was long ago."""
    return now - state.asked_at if 0 < state.asked_at <= now else math.inf


@dataclass(frozen=True, slots=True)
class _Pace:
    now: float
    requests_per_minute: int | None
    lists_asked_at: float

    @property
    def seconds_per_request(self) -> float:
        return 60.0 / self.requests_per_minute if self.requests_per_minute else 0.0

    def interval(self, stream: MirrorStream, state: StreamState) -> float:
        """Between two times that a stream is asked whose end was reached."""
        if stream.is_list:
            return max(stream.interval_seconds, state.pages * LIST_SHARE * self.seconds_per_request)
        return stream.interval_seconds * (1.0 if self.requests_per_minute else UNLIMITED_SHARE)

    def seconds_until_due(self, stream: MirrorStream, state: StreamState) -> float:
        """A list that is not finished has its share, and what nobody else needs."""
        if stream.is_list and not state.has_ended:
            return LIST_SHARE * self.seconds_per_request - _age(state, self.now)
        if not state.has_ended:
            return 0.0
        wait = self.interval(stream, state) - _age(state, self.now)
        if stream.is_list and self.lists_asked_at <= self.now:
            return max(wait, self.lists_asked_at + LISTS_APART * self.seconds_per_request - self.now)
        return wait

    def is_left_alone(self, stream: MirrorStream, state: StreamState) -> bool:
        """Whether a stream that is due goes before those that are behind."""
        if stream.is_list:
            return not state.has_ended or _age(state, self.now) >= LEFT_ALONE_LIST_SECONDS
        seconds = LEFT_ALONE_SECONDS
        if stream.name == "tickets":
            seconds = max(LEFT_ALONE_TICKETS_SECONDS, LEFT_ALONE_TICKETS_REQUESTS * self.seconds_per_request)
        return (state.has_ended or not state.is_copied) and _age(state, self.now) >= seconds

    def urgency(self, stream: MirrorStream, state: StreamState) -> float:
        """Lists that were never read come first, as there are few and they are short."""
        lag = _age(state, self.now) if stream.is_list else _lag(state, self.now)
        return (self.now if lag == math.inf else lag) / stream.interval_seconds
