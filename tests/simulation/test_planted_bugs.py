"""The simulation finds each of the classic mistakes within its fixed seeds: a check that cannot fail proves nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines import sqlite_url
from tests.simulation.observer import EVERYTHING, Attempt, GivenPage, Observer, Row, version_of
from tests.simulation.test_simulation import SEEDS
from tests.simulation.world import Violation, run_seed
from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import FeedState, Position

Rule = Callable[..., object]


def _second_from_the_clock(state: FeedState, now: int) -> int:
    return now if now > state.watermark else max(now, state.last_generated_timestamp)


def _watermark_from_the_clock(state: FeedState, now: int) -> FeedState:
    return replace(state, watermark=max(state.watermark, now))


def _open_second_given_out(state: FeedState, newest: int, _now: int, ticket_count: int, departed: int = 0) -> FeedState:
    last = max(state.last_generated_timestamp, newest)
    return FeedState(last, max(state.watermark, last), ticket_count, state.invalidations + departed)


def _watermark_forgotten(state: FeedState, now: int) -> int:
    return max(now, state.last_generated_timestamp)


# Store and judge share the broken rule and agree with each other: only the Observer can object.
BROKEN: list[tuple[str, dict[str, Rule]]] = [
    ("a clock step backwards is honoured", {"next_generated_timestamp": lambda _state, now: now}),
    (
        "a clock step backwards is honoured down to the watermark, which is the clock's",
        {"next_generated_timestamp": _second_from_the_clock, "close": _watermark_from_the_clock},
    ),
    (
        "an open second is given out",
        {"written": _open_second_given_out, "next_generated_timestamp": _watermark_forgotten},
    ),
    ("a write lands in a closed second", {"next_generated_timestamp": _watermark_forgotten}),
    ("the newest second is closed while it lasts", {
        "can_close": lambda state, _now: state.watermark < state.last_generated_timestamp,
        "next_generated_timestamp": _watermark_forgotten,
    }),
]  # fmt: skip


@pytest.mark.parametrize("rules", [rules for _, rules in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_broken_rule_is_found(rules: dict[str, Rule], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this rule of protocol/watermark.py broken, one of the fixed seeds ends in a violation that names itself."""
    for name, rule in rules.items():
        monkeypatch.setattr(watermark, name, rule)
    with pytest.raises(Violation) as caught:  # noqa: PT012 - which of the seeds finds it is not the point
        for seed in SEEDS["sqlite"]:
            run_seed(seed, sqlite_url(tmp_path))
    text = str(caught.value)
    assert "became visible behind a cursor" in text or "was told end_of_stream without" in text, text
    assert "replay: python -m tests.simulation --seed" in text


OLD, NEW = b'{"id":1,"generated_timestamp":5,"subject":"old"}', b'{"id":1,"generated_timestamp":9,"subject":"new"}'
START = Position(0, -1)


def _page(reader: str, time: float, *rows: Row, after: Position = START, cursor: Position | None = None) -> GivenPage:
    last = cursor or (Position(*rows[-1][:2]) if rows else after)
    return GivenPage(reader, "acme", EVERYTHING, after, rows, last, True, time, time + 0.5)


def test_the_observer_sees_what_comes_late() -> None:
    """A change behind a cursor given out is a violation, to whichever reader it shows; one in time order is not."""
    observer = Observer()
    observer.pages([_page("one", 2, Row(5, 1, "a"), Row(7, 1, "b")), _page("two", 1, Row(5, 1, "a"))])
    assert observer.violations == []
    observer.page(_page("three", 3, Row(5, 1, "a"), Row(6, 2, "c"), Row(7, 1, "b")))
    assert len(observer.violations) == 1
    assert "Row(second=6, id=2" in observer.violations[0]


def test_the_observer_sees_pages_of_a_wrong_form() -> None:
    """Rows out of order, a cursor that is not the last row's, and an empty page that is not the end are violations."""
    for bad in (
        _page("r", 1, Row(6, 1, "a"), Row(5, 2, "b")),
        _page("r", 1, Row(6, 1, "a"), cursor=Position(7, 1)),
        _page("r", 1)._replace(end_of_stream=False),
        _page("r", 1, Row(5, 1, "a"), after=Position(5, 1)),
    ):
        observer = Observer()
        observer.page(bad)
        assert observer.violations, bad


def test_the_observer_sees_lost_and_torn_writes() -> None:
    """An acknowledged write that is gone, one that an older one came back over, and half of one are violations."""
    old, new = version_of(OLD, 5), version_of(NEW, 9)
    attempts = [Attempt("w", "acme", {1: old}, 1, 2), Attempt("w", "acme", {1: new, 2: "x"}, 3, 4)]
    for final, expected in (
        ({}, "is gone"),
        ({1: (5, OLD), 2: (9, b"?")}, "which is lost"),
        ({1: (9, NEW)}, "is gone"),
        ({1: (9, OLD)}, "nobody wrote"),
    ):
        observer = Observer()
        observer.writes("acme", attempts, final)
        assert any(expected in violation for violation in observer.violations), (final, observer.violations)
    observer = Observer()
    assert observer.writes("acme", attempts[:1], {1: (5, OLD)}) == 1
    assert observer.violations == []


def test_the_observer_sees_a_watermark_go_back() -> None:
    """The account row never goes back."""
    observer = Observer()
    observer.state("acme", FeedState(10, 9, 3))
    observer.state("acme", FeedState(10, 8, 3))
    assert len(observer.violations) == 1
