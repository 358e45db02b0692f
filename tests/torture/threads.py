"""Scenarios with a connector that runs in a thread of this process: quick, and many at once."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture.wrong_connectors import Connector
from ticketfeed.protocol.scenarios import Scenario
from ticketfeed.server.run import QuietServer, bind, server_config
from ticketfeed.settings import Settings
from ticketfeed.torture.placeholders import source_environment
from ticketfeed.torture.processes import CapturedOutput
from ticketfeed.torture.results import ScenarioRun
from ticketfeed.torture.scenario_run import Commands, run_commands
from ticketfeed.torture.trial import Trial, opened_trial
from ticketfeed.torture.world import World

__all__ = ["SETTINGS", "run_in_thread"]

SETTINGS = Settings.of_profile("open", page_cache_mib=0, test_clock=True, faults=True, dashboard=False)
PER_PAGE = 100


@dataclass
class ThreadCommand:
    """A connector as the runner sees a command."""

    connector: Connector
    exited: asyncio.Future[int]

    @property
    def exit_code(self) -> int | None:
        return self.exited.result() if self.exited.done() else None

    async def end(self) -> None:
        """Let its next step be its last; one that waits for an answer gets none."""
        self.connector.ended.set()
        connection = self.connector.connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        await self.exited


async def run_in_thread(
    scenario: Scenario, bug: str, world: World, folder: Path, *, seed: int = 1, timeout: float = 300
) -> ScenarioRun:
    """What `torture` says of the connector with this bug; of the right one without a bug."""
    folder.mkdir()
    async with opened_trial(scenario, world, folder, SETTINGS, seed=seed, timeout=timeout) as trial:
        with bind("127.0.0.1", 0) as bound:
            server = QuietServer(server_config(trial.activity, None, lifespan="off", timeout_graceful_shutdown=1))
            serving = asyncio.create_task(server.serve([bound]))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"

            async def start(_command: Sequence[str], _captured: CapturedOutput) -> ThreadCommand:
                return _start(trial, url, bug)

            try:
                await run_commands(trial, Commands((), ()), start)
            finally:
                server.should_exit = True
                await serving
        return await trial.judge(folder / "output.ndjson")


def _start(trial: Trial, url: str, bug: str) -> ThreadCommand:
    environ = {**source_environment({}, trial.scenario, trial.facts), "PER_PAGE": str(_per_page(trial.scenario))}
    folder = trial.facts.folder
    connector = Connector(
        url, environ, folder / "output.ndjson", folder / "state", bug, threading.Event(), backoff=0.05
    )
    exited = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def run() -> None:
        code = connector.run()
        loop.call_soon_threadsafe(exited.set_result, code)

    threading.Thread(target=run, daemon=True).start()
    return ThreadCommand(connector, exited)


def _per_page(scenario: Scenario) -> int:
    """Small, so that a small desk has several pages; larger where there are many tickets, or it has to be."""
    is_large = scenario.what.world is not None and scenario.what.world.create
    return 2 * (scenario.when.above_per_page or (PER_PAGE if is_large else PER_PAGE // 2))
