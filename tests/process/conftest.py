"""Real processes: `run` a command to its end, `start` a server on a free port and end it by its pid."""

import contextlib
import http.client
import io
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from tests.process.forks import Forked, the_forks
from tests.waiting import SECONDS_MAX

TICKETS = 1200
PATH = "/api/v2/incremental/tickets/cursor"
TOKEN = "process-token-of-tests"

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


Process = Forked | subprocess.Popen[bytes]


def _start(
    arguments: Sequence[str], cwd: Path, env: dict[str, str] | None, streams: Sequence[int], *, session: bool = False
) -> Process:
    """A fork; where the environment tells something to the interpreter, which a fork does not start, a program."""
    environment, own = {**ENVIRONMENT, **(env or {})}, env or {}
    if not any(name.startswith("PYTHON") for name in own):
        return the_forks().start(arguments, cwd=cwd, env=environment, streams=streams, session=session)
    stdin, stdout, stderr = streams
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=session,
    )


def run(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    input: bytes | None = None,
    stdout: IO[bytes] | None = None,
) -> Done:
    """Run a command to its end, in a folder of the test's own."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _fed(input) as stdin:
        streams = [stdin, (stdout or out).fileno(), err.fileno()]
        command = _start(arguments, cwd, env, streams)
        try:
            code = command.wait(SECONDS_MAX)
        finally:
            command.kill()
        for file in (out, err):
            file.seek(0)
        return Done(code, out.read(), err.read().decode())


@contextlib.contextmanager
def _fed(data: bytes | None) -> Iterator[int]:
    """A descriptor to read these bytes from, of a pipe; without any, the null device."""
    if data is None:
        with open(os.devnull) as null:
            yield null.fileno()
        return
    theirs, ours = os.pipe()
    feeder = threading.Thread(target=_feed, args=(ours, data))
    feeder.start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        feeder.join()


def _feed(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as stream:
        stream.write(data)


def run_program(*arguments: str, cwd: Path, **options: Any) -> Done:
    """Run a command to its end as a program of its own, with options of subprocess.run."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
        **options,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@dataclass
class Running:
    """A server process. `logs` are the JSON lines of its standard error so far."""

    process: Process
    stdout: IO[bytes]
    errors: Path
    output: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.netloc.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def logs(self) -> list[dict[str, Any]]:
        whole, _, _ = self.errors.read_text().rpartition("\n")  # the rest of a line may be on its way
        return [json.loads(line) for line in whole.splitlines() if not line.startswith("ticketfeed:")]

    @property
    def netloc(self) -> str:
        return self.output[0].strip().partition("://")[2]

    def read_line(self) -> str:
        ready, _, _ = select.select([self.stdout], [], [], SECONDS_MAX)
        assert ready, f"nothing on standard output; standard error: {self.errors.read_text()}"
        self.output.append(self.stdout.readline().decode())
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
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {int(child) for child in found if b"spawn_main" in _command_line(child)}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS_MAX)


def _command_line(pid: str) -> bytes:
    """That of a process, which may just have ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


Start = Callable[..., Running]


def start_in(folder: Path, running: list[Running], arguments: Sequence[str], env: dict[str, str] | None) -> Running:
    errors = folder / f"stderr-{len(running)}"
    with errors.open("wb") as stderr, open(os.devnull) as stdin:
        ours, theirs = os.pipe()
        process = _start(arguments, folder, env, [stdin.fileno(), theirs, stderr.fileno()], session=True)
        os.close(theirs)
    # Not buffered, so that what has arrived is seen by select.
    server = Running(process, io.FileIO(ours), errors)
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
        server.stdout.close()


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
