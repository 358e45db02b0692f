"""The verdict itself: a right connector passes every scenario, and each classic bug is found by the one it is for."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.torture.seeds import run_seeds
from tests.torture.threads import run_in_thread
from tests.torture.wrong_connectors import BUGS
from ticketfeed.faults import shipped_scenarios
from ticketfeed.torture import scenario_run
from ticketfeed.torture.results import ScenarioRun
from ticketfeed.torture.world import World

TICKETS = 250
SIDE_BY_SIDE = 8
SCENARIOS = shipped_scenarios()


async def run_all(pairs: Iterable[tuple[str, str]], folder: Path, seed: int = 1) -> dict[tuple[str, str], ScenarioRun]:
    """Scenario and bug -> what came of it."""
    world, free = await World.make(TICKETS, 1), asyncio.Semaphore(SIDE_BY_SIDE)

    async def run(name: str, bug: str) -> ScenarioRun:
        async with free:
            return await run_in_thread(SCENARIOS[name], bug, world, folder / f"{name}-{bug}-{seed}", seed=seed)

    pairs = list(pairs)
    return dict(zip(pairs, await asyncio.gather(*(run(*pair) for pair in pairs)), strict=True))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario_run, "WATCH_SECONDS", 3.0)


def test_a_right_connector_passes(tmp_path: Path) -> None:
    """Every scenario fires at the right connector, and it passes: no scenario asks for what nobody can do."""
    found = asyncio.run(run_all(((name, "") for name in SCENARIOS), tmp_path))
    wrong = {name: (run.outcome, run.reason, run.fired) for (name, _), run in found.items() if run.outcome != "PASS"}
    assert not wrong
    assert all(run.fired for run in found.values())


def test_each_bug_is_found(tmp_path: Path) -> None:
    """More than forty connectors, each with one classic bug, fail the scenario that is for it."""
    found = asyncio.run(run_all(((scenario, bug) for bug, scenario in BUGS.items()), tmp_path))
    wrong = {pair: (run.outcome, run.reason, run.fired) for pair, run in found.items() if run.outcome != "FAIL"}
    assert not wrong
    assert len(found) >= 40
    assert all(run.fired for run in found.values())


def test_seeds(tmp_path: Path) -> None:
    """Whatever the seed, the right connector fails nothing; `python -m tests.torture.seeds` runs a thousand."""
    found = asyncio.run(run_seeds(1000, 8, tmp_path))
    assert [each for each in found if each[2] == "FAIL"] == []
    assert len(found) == 8
