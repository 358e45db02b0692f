"""A mirror whose process, source and network are ended again and again while the source changes."""

import asyncio
import contextlib
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from bench.mirror_world import Network, SourceServer, compare_stores
from bench.processes import environment
from bench.world import Credentials
from ticketfeed.storage import open_store

__all__ = ["MirrorProcess", "measure_faults", "start"]

Process: TypeAlias = "subprocess.Popen[bytes]"


def measure_faults(
    folder: Path,
    *,
    tickets: int,
    changes: float,
    kills: int,
    source_kills: int,
    cuts: int,
    seconds: tuple[float, float] = (1.0, 5.0),
    seed: int = 1,
    tell: Callable[[str], None] = print,
) -> dict[str, int]:
    """What differs at the end, once the last minute is over. `seconds`: between two faults, by chance."""
    chance, credentials = random.Random(seed), Credentials("admin@example.com/token", secrets.token_urlsafe(24))
    source = SourceServer(folder, tickets, credentials, "--rule", "incremental_exports=0")
    faults = ["mirror"] * kills + ["source"] * source_kills + ["network"] * cuts
    chance.shuffle(faults)
    with source.running(), contextlib.closing(Network(source.port)) as network:
        mirror = MirrorProcess(folder, network.port, credentials)
        changing = start("simulate", "--store", source.url, "--rate", str(changes))
        try:
            mirror.start()
            for number, fault in enumerate(faults, 1):
                time.sleep(chance.uniform(*seconds))
                if fault == "mirror":
                    mirror.kill()
                    mirror.start()
                elif fault == "source":
                    source.kill()
                    time.sleep(chance.uniform(0.0, 1.0))
                    source.start()
                else:
                    network.cut()
                    time.sleep(chance.uniform(0.2, 2.0))
                    network.mend()
                tell(f"{number} of {len(faults)}: {fault}")
            time.sleep(seconds[1])
        finally:
            changing.send_signal(signal.SIGTERM)
            changing.wait()
            mirror.kill()
        source.call("POST", "/_ticketfeed/clock", {"advance": 180})
        mirror.catch_up()
        return asyncio.run(_compare(source.url, mirror.url))


async def _compare(source_url: str, target_url: str) -> dict[str, int]:
    async with contextlib.AsyncExitStack() as stack:
        source = await open_store(source_url, create=False)
        stack.push_async_callback(source.close)
        target = await open_store(target_url, create=False)
        stack.push_async_callback(target.close)
        (theirs,) = await source.list_accounts()
        (ours,) = await target.list_accounts()
        return await compare_stores(source, theirs, target, ours)


class MirrorProcess:
    """`ticketfeed mirror` as anyone runs it, without a limit of requests unless it is given one."""

    requests_per_minute = 0

    def __init__(self, folder: Path, port: int, credentials: Credentials) -> None:
        self.url = f"sqlite:///{folder / 'mirror.db'}"
        self._address = f"http://127.0.0.1:{port}"
        user = credentials.username.removesuffix("/token")
        self._environment = environment(TICKETFEED_SOURCE_EMAIL=user, TICKETFEED_SOURCE_TOKEN=credentials.password)
        self._log = folder / "mirror.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = start(*self._arguments, env=self._environment, stderr=log)

    @property
    def _arguments(self) -> tuple[str, ...]:
        return ("mirror", self._address, "--store", self.url, "--requests-per-minute", str(self.requests_per_minute))

    def kill(self) -> None:
        assert self._process
        if self._process.poll() is not None:
            last = self._log.read_text().splitlines()[-1:]
            raise RuntimeError(f"the mirror ended by itself, with {self._process.returncode}: {last}")
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """From its start until it is ended as anyone ends it."""
        self.start()
        try:
            yield
        finally:
            assert self._process
            self._process.terminate()
            self._process.wait()

    def catch_up(self) -> None:
        command = [sys.executable, "-m", "ticketfeed", *self._arguments, "--once"]
        subprocess.run(command, check=True, env=self._environment, stdout=subprocess.DEVNULL)


def start(*arguments: str, env: dict[str, str] | None = None, stderr: Any = subprocess.DEVNULL) -> Process:
    """Start the command."""
    command = [sys.executable, "-m", "ticketfeed", *arguments]
    return subprocess.Popen(command, env=env or environment(), stdout=subprocess.DEVNULL, stderr=stderr)
