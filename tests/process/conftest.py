"""Real processes: `run` a command to its end, `start` a server on a free port and end it by its pid."""

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TICKETS = 1200
PATH = "/api/v2/incremental/tickets/cursor"
TOKEN = "process-token-of-tests"
SECONDS_MAX = 30.0

# Nothing of the caller's own environment decides what a command does here.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TICKETFEED_")}


@dataclass
class Done:
    code: int
    out: bytes
    err: str

    @property
    def problem(self) -> str:
        """The one line that a refused command leaves on standard error."""
        assert (self.code, self.err.count("\n")) == (2, 1), (self.code, self.err)
        assert self.err.startswith("ticketfeed: "), self.err
        return self.err.removeprefix("ticketfeed: ")


COMMAND = [sys.executable, "-m", "ticketfeed"]


def run(*arguments: str, cwd: Path, env: dict[str, str] | None = None, **options: Any) -> Done:
    """Run a command to its end, in a folder of the test's own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
    if "input" in options:
        del options["stdin"]
    environment = {**ENVIRONMENT, **(env or {})}
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, env=environment, timeout=SECONDS_MAX, check=False, **options)
    return Done(done.returncode, done.stdout or b"", (done.stderr or b"").decode())


class Forks:
    """Runs commands as forks of one process that has imported them: importing takes most of a command's time."""

    PROGRAM = """
import json, os, sys
from ticketfeed.cli import main, make_app
make_app()
for line in sys.stdin:
    folder, *arguments = json.loads(line)
    if os.fork() == 0:
        os.chdir(folder)
        for number, name in enumerate((os.devnull, sys.argv[1], sys.argv[2])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        main(arguments)
    _, status = os.wait()
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

    def __init__(self, folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, str(self._out), str(self._err)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, *arguments: str, cwd: Path) -> Done:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(cwd), *arguments]).encode() + b"\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Done(code, self._out.read_bytes(), self._err.read_text())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()


@dataclass
class Running:
    """A server process. `logs` are the JSON lines of its standard error so far."""

    process: subprocess.Popen[bytes]
    errors: Path
    output: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.netloc.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines() if not line.startswith("ticketfeed:")]

    @property
    def netloc(self) -> str:
        return self.output[0].strip().partition("://")[2]

    def read_line(self) -> str:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS_MAX)
        assert ready, f"nothing on standard output; standard error: {self.errors.read_text()}"
        self.output.append(self.process.stdout.readline().decode())
        return self.output[-1]

    def ask(
        self, target: str = f"{PATH}?start_time=0&per_page=1", token: str = TOKEN, **headers: str
    ) -> http.client.HTTPResponse:
        """The answer, its body read and kept as `body`."""
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=SECONDS_MAX)) as connection:
            connection.request("GET", target, headers={"Authorization": f"Bearer {token}", **headers})
            answer = connection.getresponse()
            answer.body = answer.read()  # type: ignore[attr-defined]
            return answer

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=SECONDS_MAX)

    def children(self) -> set[int]:
        """The pids of its serving processes."""
        pid = self.process.pid
        found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return {child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)


Start = Callable[..., Running]


def start_in(folder: Path, running: list[Running], arguments: Sequence[str], env: dict[str, str] | None) -> Running:
    errors = folder / f"stderr-{len(running)}"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env={**ENVIRONMENT, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,  # so that what has arrived is seen by select
            start_new_session=True,
        )
    server = Running(process, errors)
    running.append(server)
    assert server.read_line().startswith(("ready: http://", "ready: https://")), errors.read_text()
    return server


def end_all(running: list[Running]) -> None:
    for server in running:
        if server.process.poll() is None:
            server.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(5)
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
        if server.process.stdout:
            server.process.stdout.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a generated world and the token TOKEN, never changed by a test."""
    folder = tmp_path_factory.mktemp("filled")
    for arguments in (["generate", str(TICKETS)], ["token", "create", "--email", "a@example.com", "--token", TOKEN]):
        done = run(*arguments, "--store", "sqlite:///filled.db", cwd=folder)
        assert done.code == 0, done.err
    return folder / "filled.db"


@pytest.fixture
def folder(tmp_path: Path, filled: Path) -> Path:
    """A folder of its own with a copy of `filled` under the default name."""
    shutil.copy(filled, tmp_path / "ticketfeed.db")
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command that serves; ended with the test."""
    running: list[Running] = []
    try:
        yield lambda *arguments, env=None: start_in(tmp_path, running, arguments, env)
    finally:
        end_all(running)


@pytest.fixture
def serve(start: Start) -> Start:
    """Start `ticketfeed serve` with these options on a free port."""
    return lambda *options, env=None: start("serve", "--port", "0", *options, env=env)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, filled: Path) -> Iterator[Running]:
    """One server for tests that only ask."""
    folder, running = tmp_path_factory.mktemp("served"), list[Running]()
    shutil.copy(filled, folder / "ticketfeed.db")
    try:
        yield start_in(folder, running, ("serve", "--port", "0"), None)
    finally:
        end_all(running)


def wait_until(condition: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
