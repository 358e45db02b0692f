"""`verify` by itself: samples where the source has no hashes, and narrowing down where it has."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.playbook import START, Reaction, answer, failure, ticket
from ticketfeed.client import verify as module
from ticketfeed.client.drivers import returned
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import Basic
from ticketfeed.client.session import Patience, Session
from ticketfeed.client.steps import Request, Resumed, Wait
from ticketfeed.client.verify import Held, Verdict, held_by, verify
from ticketfeed.protocol.feed_hash import FeedHash
from ticketfeed.protocol.model import Position
from ticketfeed.testing import serve_desk

NO_HASHES = answer(404, {"error": "InvalidEndpoint"})
COUNT = answer(200, {"count": {"value": 3, "refreshed_at": "2026-01-01T00:00:00Z"}})


def shown(*tickets: dict[str, Any]) -> Reaction:
    return answer(200, {"tickets": list(tickets)})


def compare(held: dict[int, int], *reactions: Reaction) -> tuple[Verdict, list[str]]:
    """The verdict of samples, and what was requested."""
    patience = Patience(requests_per_minute=10)
    flow = verify(
        Held(lambda: iter(held.items()), Position(200, 0), {}, FeedHash()),
        Session(patience, None, START, random=lambda: 1.0),
    )
    left, now, targets = list(reactions), START, []
    try:
        step = next(flow)
        while True:
            if isinstance(step, Wait):
                now += step.seconds
                step = flow.send(Resumed(now))
                continue
            assert isinstance(step, Request)
            targets.append(step.target.partition("?")[0])
            step = flow.send(left.pop(0)(step, now))
    except StopIteration as end:
        assert not left
        verdict: Verdict = end.value
        return verdict, targets


@pytest.mark.parametrize(
    ("source", "differences", "changed", "count"),
    [
        ([ticket(1, 100), ticket(2, 150)], [], 0, 2),
        ([ticket(1, 300), ticket(2, 150)], [], 1, 2),  # changed since: behind the target's cursor
        ([ticket(1, 100)], [], 0, 1),  # deleted tickets are not shown
        ([ticket(1, 120), ticket(2, 150)], ["ticket 1: the target has its state of 100, the source that of 120"], 0, 2),
        ([ticket(1, 0), {"id": 2}], [], 0, 0),  # an answer without positions proves nothing
    ],
)
def test_samples(source: list[dict[str, Any]], differences: list[str], changed: int, count: int) -> None:
    """Where the source has no hashes, tickets chosen by chance are compared, and its own count is told."""
    verdict, targets = compare({1: 100, 2: 150}, NO_HASHES, failure(), COUNT, shown(*source))
    assert (verdict.differences, verdict.changed, verdict.count) == (differences, changed, count)
    assert verdict.how.startswith("a sample of 2 of 2 tickets; the source counts 3")
    count_path = "/api/v2/tickets/count.json"
    assert targets == ["/_ticketfeed/feed_hash", count_path, count_path, "/api/v2/tickets/show_many.json"]


def test_samples_are_bounded() -> None:
    """However many tickets there are, a few requests are made."""
    held = dict.fromkeys(range(1, 3001), 100)
    verdict, targets = compare(held, NO_HASHES, COUNT, *[shown()] * 5)
    assert len(targets) == 7
    assert verdict.how.startswith("a sample of 500 of 3,000 tickets")


def test_narrowing_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that are too full are divided again until each ticket that differs is named."""
    monkeypatch.setattr(module, "BUCKETS", 4)
    monkeypatch.setattr(module, "IDS", 6)
    monkeypatch.setattr(module, "CHANGE_SECONDS", 0.0)
    with serve_desk(tickets=200) as desk:
        desk.clock.advance(2)
        with Exporter(desk.url, credentials=Basic(desk.email, desk.token)) as exporter:
            [page] = list(exporter)
            held = {key.id: key.second for key in page.keys}
            missing, older, more = sorted(held)[3], sorted(held)[150], max(held) + 5
            del held[missing]
            held[older] -= 7
            held[more] = 1_700_000_000

            def positions() -> Iterator[tuple[int, int]]:
                return iter(held.items())

            what = held_by(page.state, {"from": {"start_time": 0}}, {"since": 0, "exclude_deleted": False}, positions)
            verdict = returned(verify(what, exporter.session), exporter.transport, None)
    assert [line.split(":")[0] for line in verdict.differences] == [f"ticket {id}" for id in (missing, older, more)]
    assert "missing" in verdict.differences[0]
    assert "the source does not" in verdict.differences[2]
    assert (verdict.count, verdict.how) == (200, "compared id by id")
