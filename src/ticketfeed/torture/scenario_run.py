"""One scenario with one command: its runs as a process for which the account is https://{subdomain}.zendesk.com."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from ticketfeed.clock import system_instant
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.torture.placeholders import fill, find_output, source_environment
from ticketfeed.torture.processes import MARK, CapturedOutput, CommandProcess, new_mark
from ticketfeed.torture.results import Attempt, ScenarioRun
from ticketfeed.torture.trial import Trial, opened_trial
from ticketfeed.torture.world import World
from ticketfeed.wrap.run import start_command
from ticketfeed.wrap.services import RunPlan, wrapped_services

__all__ = ["Commands", "Running", "run_commands", "run_scenario"]

# How long a command is watched that was told to wait for an hour. Retries without regard to Retry-After begin within
# seconds; a backoff that doubles from one second has come at least three times.
WATCH_SECONDS = 12.0
_TICK_SECONDS = 0.25
_CONDUCT_SECONDS = 1.0

TIME_IS_OVER = "ended: its time was over"
KILLED = "killed, as the scenario says"
WAITED = "ended: it waited"
MISBEHAVED = "ended: it misbehaved"


class Commands(NamedTuple):
    """COMMAND, and what is run where the scenario needs a second run."""

    first: Sequence[str]
    again: Sequence[str]


class Running(Protocol):
    """A command that runs. `exited` is done once it has ended. `exit_code`: None while it runs."""

    @property
    def exited(self) -> asyncio.Future[int]: ...
    @property
    def exit_code(self) -> int | None: ...
    async def end(self) -> None:
        """End it with all that it started."""


Start = Callable[[Sequence[str], CapturedOutput], Awaitable[Running]]


async def run_scenario(
    scenario: Scenario,
    commands: Commands,
    world: World,
    plan: RunPlan,
    environ: Mapping[str, str],
    *,
    seed: int,
    timeout: float,
) -> ScenarioRun:
    """Run it to its end. Raises BadInput if COMMAND cannot be started."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-torture-", ignore_cleanup_errors=True) as folder:
        opened = opened_trial(scenario, world, Path(folder), plan.settings, seed=seed, timeout=timeout)
        async with opened as trial:
            mark, plan = new_mark(), replace(plan, report=trial.notes.append)
            environ = {**source_environment(environ, scenario, trial.facts), MARK: mark}
            async with wrapped_services(trial.activity, plan, environ) as services:

                async def start(command: Sequence[str], captured: CapturedOutput) -> CommandProcess:
                    async def isolated(**options: object) -> asyncio.subprocess.Process:
                        return await start_command(command, plan, services, [world.account.subdomain], **options)

                    return await CommandProcess.start(isolated, mark, captured)

                await run_commands(trial, commands, start)
                if services.why_not_isolated and not services.proxy.is_used:
                    trial.notes.append(f"COMMAND used no proxy, and was not isolated: {services.why_not_isolated}")
            return await trial.judge(find_output(commands, trial.facts))


async def run_commands(trial: Trial, commands: Commands, start: Start) -> None:
    """Run COMMAND; again where the scenario says so, and whenever it was killed as the scenario says."""
    await _run_once(trial, commands.first, start)
    if trial.scenario.again and trial.attempts[-1].exit_code is not None:
        await _run_once(trial, commands.again, start)
    while trial.attempts[-1].ended == KILLED and asyncio.get_running_loop().time() < trial.deadline:
        await _run_once(trial, commands.again, start)


async def _run_once(trial: Trial, command: Sequence[str], start: Start) -> None:
    """One run of COMMAND, from its start to the end of all its children."""
    command, captured = fill(command, trial.facts), CapturedOutput()
    trial.must_have = trial.last_second
    trial.killed.clear()
    began_at, started = system_instant(), asyncio.get_running_loop().time()
    running = await start(command, captured)
    try:
        ended = await _follow(trial, running)
        code = None if ended else running.exit_code
    finally:
        await running.end()
    seconds = asyncio.get_running_loop().time() - started
    trial.attempts.append(Attempt(command, code, ended, captured.text(), began_at, seconds))


async def _follow(trial: Trial, running: Running) -> str:
    """Wait for the end of COMMAND, or for a reason to end it, which is returned."""
    clock = asyncio.get_running_loop().time
    checked_at = clock()
    while True:
        await asyncio.wait([running.exited], timeout=_TICK_SECONDS)
        now = clock()
        if running.exited.done():
            return ""
        if trial.killed.is_set():
            return KILLED
        if now >= trial.deadline:
            return TIME_IS_OVER
        if _has_waited(trial, now):
            return WAITED
        if now >= checked_at + _CONDUCT_SECONDS:
            checked_at = now
            if await trial.misbehaves():
                return MISBEHAVED


def _has_waited(trial: Trial, now: float) -> bool:
    """Whether it sent no request for the whole time that it is watched."""
    last = trial.activity.last_at
    return "waits" in trial.scenario.expect and trial.fired > 0 and last is not None and now > last + WATCH_SECONDS
