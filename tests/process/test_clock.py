"""A machine whose clock is wrong: writes are refused while that is known, and what it has done can be repaired."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import EngineName
from tests.postgres import PostgresServer
from tests.process.conftest import Running, Start, run
from tests.process.test_waits import Asked, ask, fill
from tests.waiting import wait_until

HOUR = 3600
EXPORT = "/api/v2/incremental/tickets/cursor"
# Imported by each interpreter when it starts: the wall clock is ahead by the seconds in a file.
WRONG_CLOCK = """
import os, time
real = time.time
def wrong():
    try:
        with open(os.environ["CLOCK_FILE"]) as file:
            return real() + float(file.read() or 0)
    except OSError:
        return real()
time.time = wrong
"""


@pytest.fixture
def url(engine_name: EngineName, new_url: Callable[[str], str]) -> str:
    url = new_url(engine_name)
    asyncio.run(fill(url))
    return url


class Machine:
    """Processes on a machine whose clock is set by `set`, in seconds ahead of the right time."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
        self.env = {"PYTHONPATH": str(folder), "CLOCK_FILE": str(self._file)}
        self.set(0)

    def set(self, seconds: int) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(str(seconds))
        part.rename(self._file)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def write(server: Running) -> Asked:
    return ask(server, "POST", "/api/v2/tickets")


def clock_check(server: Running) -> str:
    found = ask(server, "GET", "/_ticketfeed/ready")
    assert found.status == 200
    return str(json.loads(found.body)["checks"]["clock"])


def test_a_clock_that_is_set_forward(url: str, serve: Start, machine: Machine) -> None:
    """Writes get 503 from then on, and reads go on, until it is set back; a process that replaces another knows, too.
    A few minutes are no fault, nor is a clock that is set back, as long as the database's is not another."""
    server = serve("--store", url, "--workers", "2", env=machine.env)
    back = 0 if url.startswith("postgresql") else -HOUR
    for seconds, status in ((0, 201), (200, 201), (HOUR, 503), (0, 201), (back, 201), (HOUR, 503)):
        machine.set(seconds)
        found = write(server)
        assert found.status == status, (seconds, found)
        if status == 503:
            assert found.headers["retry-after"] == "5"
    replaced = server.children()
    for pid in replaced:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(server.children() - replaced) == 2)
    wait_until(lambda: write(server).status == 503)
    assert ask(server, "GET", f"{EXPORT}?start_time=0").status == 200
    wait_until(lambda: "was set forward by 3,600 s" in clock_check(server))
    assert any("was set forward by 3,600 s" in line["event"] for line in server.logs)
    assert server.end() == 0
    # Who starts now cannot know, unless the database does.
    for options, status in ([], 503 if url.startswith("postgresql") else 201), (["--accept-clock"], 201):
        server = serve("--store", url, *options, env=machine.env)
        assert write(server).status == status, options
        assert server.end() == 0


def test_an_account_that_lies_in_the_future(url: str, serve: Start, machine: Machine, tmp_path: Path) -> None:
    """What was written while the clock was ahead is named by check, doctor and readiness, and `repair clock` makes it a
    change of now, under a server that goes on; a reader whose position lies in the future is sent back."""
    store = ("--store", url)
    server = serve(*store, "--accept-clock", env=machine.env)
    machine.set(HOUR)
    began = time.monotonic()
    assert write(server).status == 201
    wait_until(lambda: json.loads(ask(server, "GET", f"{EXPORT}?start_time=0").body)["tickets"])
    page = json.loads(ask(server, "GET", f"{EXPORT}?start_time=0").body)
    assert len(page["tickets"]) == 1
    wait_until(lambda: b"a@example.com" in run("consumers", *store, cwd=tmp_path).out)  # flushed once a second
    machine.set(0)
    checked, found = (run(command, *store, cwd=tmp_path) for command in ("check", "doctor"))
    (ahead,) = re.findall(r"its newest change is ([\d,]+) s", checked.out.decode())
    since = HOUR - int(ahead.replace(",", ""))
    assert (checked.code, 0 <= since <= time.monotonic() - began + 1) == (1, True), checked
    assert "ticketfeed repair clock --account acme" in found.out.decode(), found
    wait_until(lambda: "s ahead of now; see ticketfeed repair clock" in clock_check(server))
    repaired = run("repair", "clock", "--account", "acme", *store, cwd=tmp_path)
    lines = repaired.out.decode().splitlines()
    assert (repaired.code, len(lines)) == (0, 3), repaired
    assert lines[0].startswith("acme\tbrought back from ")
    assert "receive them again" in lines[1]
    assert "consumer a@example.com" in lines[2]
    assert run("check", *store, cwd=tmp_path).code == 0
    assert (
        run("repair", "clock", "--account", "acme", *store, cwd=tmp_path).out == b"acme\tnothing lies in the future\n"
    )
    assert write(server).status == 201

    def read() -> bool:
        cursor = page["after_cursor"].replace("=", "%3D")
        return len(json.loads(ask(server, "GET", f"{EXPORT}?cursor={cursor}").body)["tickets"]) == 2

    wait_until(read)


def test_a_clock_that_differs_from_the_databases(postgres: PostgresServer, machine: Machine, tmp_path: Path) -> None:
    """A command on PostgreSQL says so in one line, in both directions, and does as told with --accept-clock."""
    url = postgres.new_database()
    asyncio.run(fill(url))
    # An hour, but for what the answer of the database takes.
    for seconds, text in ((HOUR, r" 3,60\d s ahead of PostgreSQL's"), (-HOUR, r" 3,(600|59\d) s behind PostgreSQL's")):
        machine.set(seconds)
        for command in (["account", "create", "third"], ["fence"]):
            assert re.search(text, run(*command, "--store", url, cwd=tmp_path, env=machine.env).problem)
        done = run("account", "create", "third", "--accept-clock", "--store", url, cwd=tmp_path, env=machine.env)
        assert done.code == 0, done.err
    machine.set(200)
    assert run("fence", "--store", url, cwd=tmp_path, env=machine.env).code == 0
