"""All scenarios, side by side."""

import asyncio
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticketfeed.protocol.errors import TicketfeedError
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.torture.results import ScenarioResult, ScenarioRun, compare
from ticketfeed.torture.scenario_run import Commands, run_scenario
from ticketfeed.torture.world import World
from ticketfeed.wrap.services import RunPlan

__all__ = ["JOBS", "TorturePlan", "run_scenarios"]

# Commands mostly wait: for the server, for the end of a pause, and for their interpreter to start.
JOBS = 2 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class TorturePlan:
    """`commands`: by label, run one after another; with two, the scenario has to fail with the first.

    `options`: those of the command line that repeat a scenario, besides its name. `given`: how a scenario was named;
    None for all of the package.
    """

    scenarios: Sequence[Scenario]
    commands: Mapping[str, Commands]
    environ: Mapping[str, str]
    run_plan: RunPlan
    seed: int
    timeout: float
    tickets: int
    jobs: int
    options: Sequence[str]
    command: Sequence[str]
    given: Mapping[str, str] | None = None


async def run_scenarios(
    plan: TorturePlan,
    on_start: Callable[[Scenario], None],
    on_result: Callable[[ScenarioResult], None],
) -> list[ScenarioResult]:
    """The results, in the order of the scenarios. Raises BadInput if COMMAND cannot be started."""
    world = await World.make(plan.tickets, plan.seed)
    free = asyncio.Semaphore(plan.jobs)

    async def run(scenario: Scenario) -> ScenarioResult:
        async with free:
            on_start(scenario)
            result = await _run_one(plan, scenario, world)
        on_result(result)
        return result

    try:
        async with asyncio.TaskGroup() as group:
            # What takes longest goes first, so that nothing waits for it alone.
            tasks = {each.name: group.create_task(run(each)) for each in sorted(plan.scenarios, key=_is_short)}
    except* TicketfeedError as problems:
        raise _first(problems) from None
    return [tasks[each.name].result() for each in plan.scenarios]


def _is_short(scenario: Scenario) -> bool:
    return "waits" not in scenario.expect


def _first(problems: BaseException) -> BaseException:
    while isinstance(problems, BaseExceptionGroup):
        problems = problems.exceptions[0]
    return problems


async def _run_one(plan: TorturePlan, scenario: Scenario, world: World) -> ScenarioResult:
    runs: dict[str, ScenarioRun] = {}
    for label, commands in plan.commands.items():
        runs[label] = await run_scenario(
            scenario, commands, world, plan.run_plan, plan.environ, seed=plan.seed, timeout=plan.timeout
        )
    first, *_, last = [*runs.values(), *runs.values()]
    outcome, reason = compare(first, last) if len(runs) == 2 else (last.outcome, last.reason)
    name = (plan.given or {}).get(scenario.name, scenario.name)
    words = [
        "ticketfeed",
        "torture",
        "--scenario",
        name,
        *plan.options,
        *(["--", *plan.command] if plan.command else []),
    ]
    seconds = sum(each.seconds for each in runs.values())
    return ScenarioResult(scenario, outcome, reason, shlex.join(words), runs, plan.given is not None, seconds)
