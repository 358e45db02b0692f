"""Which stream is asked next: first copies, following, outages, budgets of all sizes."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import msgspec
import pytest

from ticketfeed.mirror.schedule import (
    COMMENT_STREAMS,
    LEFT_ALONE_LIST_SECONDS,
    LEFT_ALONE_SECONDS,
    LIST_SHARE,
    LISTS_APART,
    MIRROR_STREAMS,
    behind_seconds,
    choose_turn,
)
from ticketfeed.protocol.mirrors import StreamState
from ticketfeed.protocol.request_budget import RequestBudget, take_request

NOW = 1_800_000_000.0
YEARS = 3 * 365 * 86_400
NAMES = [stream.name for stream in MIRROR_STREAMS]


class Source:
    """A source that has `pages` of each stream, spread evenly over some years, and gives whatever is asked for at once.

    `asked`: the stream and the time of each request.
    """

    def __init__(self, pages: Mapping[str, int], requests_per_minute: int | None, streams=MIRROR_STREAMS) -> None:
        self.pages, self.limit, self.streams = dict(pages), requests_per_minute, streams
        self.states: dict[str, StreamState] = {}
        self.now, self.budget = NOW, RequestBudget()
        self.asked: list[tuple[str, float]] = []
        self.lags: list[float] = []

    def run(self, seconds: float, *, until_copied: bool = False) -> float:
        """Walk for so long, or until everything is copied; how long it took."""
        began = self.now
        while self.now < began + seconds:
            after, wait, _ = take_request(self.budget, self.limit or 0, self.now)
            if wait:
                self.now += wait
                continue
            turn = choose_turn(self.streams, self.states, self.now, self.limit)
            if turn.stream is None:
                assert turn.wait_seconds > 0
                self.now += turn.wait_seconds
                continue
            self.budget, name = after, turn.stream.name
            state = self.states.get(name, StreamState())
            pages = 1 if state.has_ended else state.pages + 1
            total = self.pages.get(name, 1)
            ended = state.is_copied or pages >= total
            if name == "tickets" and state.has_ended:
                self.lags.append(self.now - state.asked_at)
            self.states[name] = msgspec.structs.replace(
                state,
                pages=max(pages, state.pages) if ended else pages,
                passed=int(self.now if ended else NOW - YEARS * (1 - pages / total)),
                has_ended=ended,
                is_copied=ended,
                asked_at=self.now,
            )
            self.asked.append((name, self.now))
            self.now += 0.05
            if until_copied and all(self.states.get(s.name, StreamState()).is_copied for s in self.streams):
                break
        return self.now - began


def test_a_first_copy_takes_what_its_pages_take() -> None:
    """A million tickets are 1000 pages, 100 minutes at 10 a minute: all other streams together take 5 % of that."""
    source = Source({"tickets": 1000}, 10)
    assert source.run(86_400, until_copied=True) <= 105 * 60
    counts = Counter(name for name, _ in source.asked)
    assert counts["tickets"] == 1000
    assert {*counts} == {*NAMES}


def test_other_first_copies_come_after_that_of_tickets() -> None:
    """However many users there are, tickets take little longer; they are followed while the users are copied."""
    source = Source({"tickets": 1000, "users": 260}, 10)
    while not source.states.get("tickets", StreamState()).is_copied:
        source.run(60)
    assert source.now - NOW <= 112 * 60
    source.lags.clear()
    assert source.run(86_400, until_copied=True) <= 35 * 60
    assert max(source.lags) <= 90


def test_long_lists_have_their_share_of_a_first_copy() -> None:
    """A list of 100 pages neither waits for the tickets nor takes more than its share of the requests."""
    source = Source({"tickets": 1000, "users": 100, "organization_memberships": 40}, 10)
    assert source.run(86_400, until_copied=True) <= 122 * 60
    members = [at for name, at in source.asked if name == "organization_memberships"]
    assert len(members) == 40
    assert min(later - earlier for earlier, later in pairwise(members)) >= LIST_SHARE * 6 - 0.1
    assert members[0] - NOW < 60


@pytest.mark.parametrize(("limit", "streams"), [(10, MIRROR_STREAMS), (30, MIRROR_STREAMS + COMMENT_STREAMS)])
def test_caught_up_tickets_are_asked_every_ten_seconds(limit: int, streams) -> None:
    """When nothing is behind, a change waits ten seconds in 99 of 100 cases, and a tenth more than that in all, and no
    stream is forgotten."""
    source = Source({}, limit, streams)
    source.run(3 * 3600)
    lags = sorted(source.lags[30:])  # without those behind the first copy, which has spent the budget
    assert lags[int(len(lags) * 0.99)] <= 15
    counts = Counter(name for name, _ in source.asked)
    assert all(counts[stream.name] >= 3 * 3600 / stream.interval_seconds * 0.8 for stream in streams)
    assert len(source.asked) / (3 * 60) <= limit


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 30, 700, None])
def test_no_stream_is_left_alone(limit: int | None) -> None:
    """However small the budget and however far the tickets are behind, every stream has a turn in the time it may be
    left alone, as far as the budget has so many."""
    source = Source({"tickets": 10**9}, limit)
    source.run(3 * 3600 if limit and limit < 100 else 300)
    longest = LEFT_ALONE_SECONDS + (2 + LISTS_APART) * len(NAMES) * 60 / (limit or 10**6) + 300
    for stream in MIRROR_STREAMS:
        times = [NOW, *(at for name, at in source.asked if name == stream.name), source.now]
        more = LEFT_ALONE_LIST_SECONDS - LEFT_ALONE_SECONDS if stream.is_list else 0
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert max(gaps) <= longest + more, stream.name


def test_after_an_outage_streams_come_forward_together() -> None:
    """Streams that are an hour behind share the requests by how often they change; no other is asked in between."""
    ended = {
        stream.name: StreamState(has_ended=True, is_copied=True, pages=1, asked_at=NOW, passed=int(NOW))
        for stream in MIRROR_STREAMS
    }
    behind = msgspec.structs.replace(ended["tickets"], has_ended=False, passed=int(NOW) - 3600)
    states = {**ended, "tickets": behind, "users": behind}
    turn = choose_turn(MIRROR_STREAMS, states, NOW, 10)
    assert turn.stream is not None
    assert turn.stream.name == "tickets"
    states["tickets"] = msgspec.structs.replace(behind, passed=int(NOW) - 500)
    assert choose_turn(MIRROR_STREAMS, states, NOW, 10).stream is MIRROR_STREAMS[NAMES.index("users")]
    assert behind_seconds(MIRROR_STREAMS, states, NOW) == 3600


def test_how_far_behind() -> None:
    """It is not known before every stream was asked; at the end it is the time since the last request."""
    assert behind_seconds(MIRROR_STREAMS, {}, NOW) is None
    states = {name: StreamState(has_ended=True, pages=1, asked_at=NOW - 7, passed=5) for name in NAMES}
    assert behind_seconds(MIRROR_STREAMS, states, NOW) == 7
