"""One scenario under way: a server and an account of its own, and in the end the verdict on who used it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette

from ticketfeed.clock import system_clock
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
from ticketfeed.settings import Settings
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.torture.activity import Activity
from ticketfeed.torture.placeholders import CommandFacts
from ticketfeed.torture.results import Attempt, Behaviour, ScenarioRun, decide
from ticketfeed.torture.world import World

__all__ = ["Trial", "opened_trial"]

_PER_PAGE_DEFAULT = 1000
_LINE_CHARS_MAX = 200


@dataclass(slots=True)
class Trial:
    """`activity`: the application to serve. `killed`: set when the scenario says that COMMAND is to be killed.

    `timeout`: seconds for all runs of COMMAND; `deadline`: when they are over, by the event loop's clock.
    """

    scenario: Scenario
    account: Account
    store: MemoryStore
    app: Starlette
    activity: Activity
    facts: CommandFacts
    timeout: float
    started: float
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: list[Attempt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # The account's second before the last run of COMMAND, whose changes it must have.
    must_have: int = 0

    @property
    def deadline(self) -> float:
        return self.started + self.timeout

    @property
    def firings(self) -> list[Firing]:
        """What the scenario did, oldest first."""
        faults: Faults = self.app.state.faults
        return faults.firings(self.account)

    @property
    def fired(self) -> int:
        """At how many requests. One that is delayed still is among the firings when its delay is over."""
        faults: Faults = self.app.state.faults
        return sum(each.fired for each in faults.active(self.account))

    @property
    def last_second(self) -> int:
        """The last second of the account that is over."""
        return self.store.clocks.at(self.account, system_clock()) - 1

    async def misbehaves(self) -> bool:
        """Whether COMMAND has done already what no scenario allows, so that there is no use in waiting for its end."""
        requests, consumers = await self._requests(), await self.store.read_consumers(self.account)
        conduct = check_conduct(consumers, requests, self._made_up)
        return bool(conduct.loops or conduct.flood or conduct.ignored_retry_after)

    async def judge(self, output_file: Path | None) -> ScenarioRun:
        """The verdict, once COMMAND has ended. `output_file`: what it should have written."""
        requests, firings, last = await self._requests(), self.firings, self.attempts[-1]
        output, problem = await asyncio.to_thread(_read, output_file)  # other scenarios go on meanwhile
        run = CommandRun(
            expected=self.scenario.expect,
            fired=self.fired,
            fired_at=firings[0].at if firings else 0.0,
            made_up=self._made_up,
            exit_code=last.exit_code,
            seconds=self.timeout,
            must_have=self.must_have,
        )
        options = VerdictOptions(run=run, output=output, since=Position(0, 0))
        verdict = await read_verdict(self.store, self.account, now=system_clock(), options=options)
        outcome, reason = decide(self.scenario, verdict, self._behaviour(requests, problem), self.fired)
        seconds = asyncio.get_running_loop().time() - self.started
        return ScenarioRun(outcome, reason, verdict, self.fired, seconds, self.attempts, requests, firings, self.notes)

    def _behaviour(self, requests: list[RequestRecord], output_problem: str) -> Behaviour:
        has_access_token = any(each.credential_id >= OAUTH_ID_MIN for each in requests)
        return Behaviour(
            uses_oauth=self.activity.uses_token_endpoint or has_access_token,
            accepts_gzip=self.activity.accepts_gzip,
            per_page_max=max((_per_page(each) for each in requests if "/incremental/" in each.path), default=0),
            exit_code=self.attempts[-1].exit_code,
            output_problem=output_problem,
            last_line=_last_line(self.attempts[-1].printed) or "; ".join(self.notes[:1]),
        )

    async def _requests(self) -> list[RequestRecord]:
        """Those that were answered so far, oldest first."""
        await self.app.state.service.usage_tracker.flush()
        return sorted(await self.store.read_requests(self.account), key=lambda each: each.started_at)

    @property
    def _made_up(self) -> frozenset[str]:
        return frozenset(firing.request_id for firing in self.firings)


@contextlib.asynccontextmanager
async def opened_trial(
    scenario: Scenario, world: World, folder: Path, settings: Settings, *, seed: int, timeout: float
) -> AsyncIterator[Trial]:
    """Fork the world, and switch the scenario on."""
    started = asyncio.get_running_loop().time()
    facts = CommandFacts(world.account.subdomain, *world.credentials, folder)
    store = await world.fork(facts)
    app = create_app(settings, store)
    trial = Trial(scenario, world.account, store, app, Activity(app), facts, timeout, started)

    def note(_account: Account, _firing: Firing) -> None:
        if scenario.what.kill:
            trial.killed.set()

    app.state.faults.listeners.append(note)
    app.state.faults.add(world.account, scenario, seed=seed)
    app.state.service.usage_tracker.start()
    try:
        yield trial
    finally:
        await app.state.service.jobs.stop()
        await app.state.service.usage_tracker.stop()


def _per_page(request: RequestRecord) -> int:
    text = request.query.get("per_page", "")
    return int(text) if text.isdecimal() and len(text) < 10 else _PER_PAGE_DEFAULT


def _last_line(printed: str) -> str:
    lines = printed.split("\n")
    return next((line.strip()[:_LINE_CHARS_MAX] for line in reversed(lines) if line.strip()), "")


def _read(file: Path | None) -> tuple[Output | None, str]:
    """The output that COMMAND has left, or why it cannot be compared."""
    if file is None:
        return None, ""
    name = f"{{output}}{file.name.removeprefix('output')}"
    if not file.exists():
        return None, f"COMMAND left no {name}"
    from ticketfeed.client.outputs import read_output

    try:
        return read_output(str(file)), ""
    except BadInput as problem:
        return None, f"its output cannot be compared: {str(problem).replace(str(file), name)}"
