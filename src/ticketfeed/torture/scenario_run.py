"""One scenario with one command: a server and an account of its own, COMMAND's runs, the verdict."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette

from ticketfeed.clock import system_clock, system_instant
from ticketfeed.data.verdict import VerdictOptions, read_verdict
from ticketfeed.protocol.consumers import RequestRecord
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.oauth import OAUTH_ID_MIN
from ticketfeed.protocol.output_check import Output
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.protocol.verdict import CommandRun
from ticketfeed.protocol.verdict_conduct import check_conduct
from ticketfeed.server.app import create_app
from ticketfeed.server.faults.engine import Faults, Firing
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.torture.activity import Activity
from ticketfeed.torture.placeholders import CommandFacts, fill, find_output, source_environment
from ticketfeed.torture.processes import MARK, CapturedOutput, CommandProcess, new_mark
from ticketfeed.torture.results import Attempt, Behaviour, ScenarioRun, decide
from ticketfeed.torture.world import World
from ticketfeed.wrap.run import start_command
from ticketfeed.wrap.services import RunPlan, Services, wrapped_services

__all__ = ["Commands", "run_scenario"]

# How long a command is watched that was told to wait for an hour. Retries without regard to Retry-After begin within
# seconds; a backoff that doubles from one second has come at least three times.
WATCH_SECONDS = 12.0
_TICK_SECONDS = 0.25
_CONDUCT_SECONDS = 1.0
_PER_PAGE_DEFAULT = 1000

TIME_IS_OVER = "its time was over"
KILLED = "it was killed, as the scenario says"
WAITED = "it waited"
MISBEHAVED = "it misbehaved"


class Commands(NamedTuple):
    """COMMAND, and what is run where the scenario needs a second run."""

    first: Sequence[str]
    again: Sequence[str]


@dataclass(slots=True)
class _Trial:
    """The parts of a scenario under way."""

    scenario: Scenario
    account: Account
    store: MemoryStore
    app: Starlette
    activity: Activity
    services: Services
    plan: RunPlan
    facts: CommandFacts
    deadline: float
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def faults(self) -> Faults:
        faults: Faults = self.app.state.faults
        return faults

    @property
    def firings(self) -> list[Firing]:
        return self.faults.firings(self.account)

    def note_firing(self, _account: Account, firing: Firing) -> None:
        """Called at each firing."""
        if self.scenario.what.kill and firing.scenario == self.scenario.name:
            self.killed.set()


async def run_scenario(
    scenario: Scenario, commands: Commands, world: World, plan: RunPlan, environ: Mapping[str, str], *,
    seed: int, timeout: float,
) -> ScenarioRun:
    """Run it to its end. Raises BadInput if COMMAND cannot be started."""
    started = asyncio.get_running_loop().time()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ticketfeed-torture-", ignore_cleanup_errors=True) as folder:
        facts = CommandFacts(world.account.subdomain, *world.credentials, Path(folder))
        output = find_output(commands, facts)
        mark = new_mark()
        environ = {**source_environment(environ, scenario, facts), MARK: mark}
        async with _opened(scenario, world, facts, plan, environ, notes, started + timeout) as trial:
            trial.faults.add(trial.account, scenario, seed=seed)
            must_have = await _run_commands(trial, commands, mark)
            if trial.services.why_not_isolated and not trial.services.proxy.is_used:
                notes.append(f"COMMAND used no proxy and could not be isolated: {trial.services.why_not_isolated}")
            return await _judge(trial, output, must_have, notes, asyncio.get_running_loop().time() - started, timeout)


@contextlib.asynccontextmanager
async def _opened(
    scenario: Scenario, world: World, facts: CommandFacts, plan: RunPlan, environ: Mapping[str, str],
    notes: list[str], deadline: float,
) -> AsyncIterator[_Trial]:
    store = await world.fork(facts)
    app = create_app(plan.settings, store)
    activity, service = Activity(app), app.state.service
    plan = RunPlan(plan.settings, plan.authority, plan.allowed, notes.append, plan.host_ports)
    service.usage_tracker.start()
    try:
        async with wrapped_services(activity, plan, environ) as services:
            trial = _Trial(scenario, world.account, store, app, activity, services, plan, facts, deadline)
            trial.faults.listeners.append(trial.note_firing)
            yield trial
    finally:
        await service.jobs.stop()
        await service.usage_tracker.stop()


async def _run_commands(trial: _Trial, commands: Commands, mark: str) -> int:
    """Run COMMAND, and again where the scenario says so; returns the second before the last run."""
    must_have = trial.store.clocks.at(trial.account, system_clock()) - 1
    await _run_once(trial, commands.first, mark)
    if trial.scenario.again and (trial.attempts[-1].exit_code is not None or trial.killed.is_set()):
        must_have = trial.store.clocks.at(trial.account, system_clock()) - 1
        await _run_once(trial, commands.again, mark)
    return must_have


async def _run_once(trial: _Trial, command: Sequence[str], mark: str) -> None:
    """One run of COMMAND, from its start to the end of all its children."""
    command, captured = fill(command, trial.facts), CapturedOutput()
    began_at, started = system_instant(), asyncio.get_running_loop().time()

    async def start(**options: object) -> asyncio.subprocess.Process:
        return await start_command(command, trial.plan, trial.services, [trial.account.subdomain], **options)

    process = await CommandProcess.start(start, mark, captured)
    ended = ""
    try:
        ended = await _follow(trial, process)
    finally:
        code = process.exit_code
        await process.end()
    seconds = asyncio.get_running_loop().time() - started
    trial.attempts.append(Attempt(command, None if ended else code, ended, captured.text(), began_at, seconds))


async def _follow(trial: _Trial, process: CommandProcess) -> str:
    """Wait for the end of COMMAND, or for a reason to end it, which is returned."""
    loop = asyncio.get_running_loop()
    was_killed = trial.killed.is_set()
    checked_at = loop.time()
    while True:
        await asyncio.wait([process.exited], timeout=_TICK_SECONDS)
        now = loop.time()
        if process.exited.done():
            return ""
        if trial.killed.is_set() and not was_killed:
            return KILLED
        if now >= trial.deadline:
            return TIME_IS_OVER
        if _has_waited(trial, now):
            return WAITED
        if now >= checked_at + _CONDUCT_SECONDS:
            checked_at = now
            if await _misbehaves(trial):
                return MISBEHAVED


def _has_waited(trial: _Trial, now: float) -> bool:
    """Whether it sent no request for the whole time that it is watched."""
    last = trial.activity.last_at
    return "waits" in trial.scenario.expect and bool(trial.firings) and last is not None and now > last + WATCH_SECONDS


async def _misbehaves(trial: _Trial) -> bool:
    """Whether it has done already what no scenario allows, so that there is no use in waiting for its end."""
    consumers, requests = await trial.store.read_consumers(trial.account), await _requests(trial)
    conduct = check_conduct(consumers, requests, _made_up(trial))
    return bool(conduct.loops or conduct.flood or conduct.ignored_retry_after)


async def _judge(
    trial: _Trial, output_file: Path | None, must_have: int, notes: list[str], seconds: float, timeout: float
) -> ScenarioRun:
    requests, firings, last = await _requests(trial), trial.firings, trial.attempts[-1]
    output, problem = _read(output_file)
    run = CommandRun(
        expected=trial.scenario.expect,
        fired=len(firings),
        fired_at=firings[0].at if firings else 0.0,
        made_up=_made_up(trial),
        exit_code=last.exit_code,
        seconds=timeout,
        must_have=must_have,
    )
    options = VerdictOptions(run=run, output=output, since=Position(0, 0))
    verdict = await read_verdict(trial.store, trial.account, now=system_clock(), options=options)
    behaviour = Behaviour(
        uses_oauth=trial.activity.uses_token_endpoint or any(each.credential_id >= OAUTH_ID_MIN for each in requests),
        accepts_gzip=trial.activity.accepts_gzip,
        per_page_max=max((_per_page(each) for each in requests if "/incremental/" in each.path), default=0),
        exit_code=last.exit_code,
        output_problem=problem,
    )
    outcome, reason = decide(trial.scenario, verdict, behaviour, len(firings))
    return ScenarioRun(outcome, reason, verdict, seconds, trial.attempts, requests, firings, notes)


async def _requests(trial: _Trial) -> list[RequestRecord]:
    """Those that were answered so far, oldest first."""
    await trial.app.state.service.usage_tracker.flush()
    return sorted(await trial.store.read_requests(trial.account), key=lambda each: each.started_at)


def _made_up(trial: _Trial) -> frozenset[str]:
    return frozenset(firing.request_id for firing in trial.firings)


def _per_page(request: RequestRecord) -> int:
    text = request.query.get("per_page", "")
    return int(text) if text.isdecimal() and len(text) < 10 else _PER_PAGE_DEFAULT


def _read(file: Path | None) -> tuple[Output | None, str]:
    """The output that COMMAND has left, or why it cannot be compared."""
    if file is None:
        return None, ""
    if not file.exists():
        return None, f"COMMAND left no {{output}}{file.name.removeprefix('output')}"
    from ticketfeed.client.outputs import read_output

    try:
        return read_output(file), ""
    except BadInput as problem:
        return None, f"its output cannot be compared: {problem}".replace(str(file.parent), "")
