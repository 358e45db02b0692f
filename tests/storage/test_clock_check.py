"""Which differences between clocks are a fault of the machine's clock."""

from types import SimpleNamespace

import pytest

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage.clock_check import ClockCheck

NOON = 1_700_000_000.0
HOUR, WEEK = 3600.0, 604_800.0


class Machine:
    """Its wall clock, and the one that counts seconds since it started."""

    CLOCK_MONOTONIC = 1

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.started = NOON, 100.0
        clocks = {"time": lambda: self.wall, "clock_gettime": lambda _clock: self.started}
        monkeypatch.setattr("ticketfeed.clock.time", SimpleNamespace(CLOCK_MONOTONIC=1, **clocks))

    def wait(self, seconds: float) -> None:
        self.wall, self.started = self.wall + seconds, self.started + seconds


@pytest.mark.parametrize(
    ("step", "is_refused"), [(0.0, False), (-WEEK, False), (299.0, False), (301.0, True), (WEEK, True)]
)
def test_steps(step: float, is_refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than five minutes forward are a fault, however long the machine slept or nobody wrote, until set back."""
    machine = Machine(monkeypatch)
    check, accepting = ClockCheck(), ClockCheck(is_accepted=True)
    machine.wait(WEEK)
    check.refuse()
    machine.wall += step
    machine.wait(HOUR)
    assert (check.problem() is not None) == is_refused
    assert accepting.problem() is None
    if is_refused:
        with pytest.raises(StoreUnavailable, match=f"set forward by {step:,.0f} s .*--accept-clock"):
            check.refuse()
    machine.wall -= step
    check.refuse()


@pytest.mark.parametrize(
    ("difference", "text"), [(299.0, None), (-299.0, None), (301.0, "ahead of"), (-301.0, "behind")]
)
def test_differences(difference: float, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than five minutes from the database's clock, in either direction, are a fault until they agree."""
    machine = Machine(monkeypatch)
    check = ClockCheck()
    check.compare(machine.wall - difference)
    problem = check.problem()
    assert problem is None if text is None else f"{abs(difference):,.0f} s {text} PostgreSQL's" in (problem or "")
    check.compare(machine.wall)
    check.refuse()
