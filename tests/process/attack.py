"""An attack from one address, beside an admin whose requests must be neither refused nor late.

`python -m tests.process.attack --seconds 60 --store sqlite|postgres [--source ADDRESS]` serves a store of its
own, attacks it (see `attackers.py`), and prints the figures as JSON. Exit code 1 if a limit below is missed.
"""

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.engines import ENGINES, Engine, engine
from tests.process.attackers import EXPORT

TOKEN, EMAIL = "attacked-token-0123456789", "admin@example.com"
TICKETS = 20_000
# The admin's requests: the 99th percentile, and what a request may take at all before it counts as refused.
WAIT_SECONDS_MAX, TIMEOUT_SECONDS = 2.0, 30.0
MEMORY_MIB_MAX = 400.0
REST_SECONDS_MAX = 30.0
# Of the server's time; beyond, neither waiting is judged nor the refusals after it.
STARVED_MAX = 0.4
# Connections to a database that are kept for later: pools grow under load.
POOLED = 12
# Between two requests of one admin. Each has a connection of its own; the newcomer has a new one for each request.
PAUSE_SECONDS = 0.05
ROOT = Path(__file__).parents[2]
_HEADERS = {
    "Host": "localhost",
    "Authorization": f"Basic {b64encode(f'{EMAIL}/token:{TOKEN}'.encode()).decode()}",
    "Content-Type": "application/json",
}


@dataclass
class Answers:
    """How the requests of one admin were answered."""

    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        ordered = sorted(self.seconds) or [0.0]
        return {
            "requests": len(self.seconds),
            "refused": len(self.refused),
            "reasons": sorted(set(self.refused))[:5],
            "p50": round(ordered[len(ordered) // 2], 3),
            "p99": round(ordered[len(ordered) * 99 // 100], 3),
            "max": round(ordered[-1], 3),
        }


@dataclass
class Report:
    """The figures of one attack. `problems`: the limits that were missed.

    `starved`: the part of the time for which the server was ready to run, and other processes ran. What it says of
    waiting, and of requests that are refused after they waited, means little if that is much.
    """

    admin: dict[str, Any]
    attackers: dict[str, int]
    memory_mib: dict[str, float]
    kernel_mib: float
    descriptors: dict[str, int]
    starved: float
    problems: list[str]


def run_attack(made: Engine, seconds: float, source: str, server_errors: Path) -> Report:
    """Attack a server of a new store for `seconds`."""
    url = made.new_url()
    _ticketfeed("generate", str(TICKETS), "--no-histories", "--account", "acme", "--store", url)
    _ticketfeed("token", "create", "--email", EMAIL, "--token", TOKEN, "--store", url)
    with serving(url, server_errors) as (process, port):
        admins = {
            "walk": lambda: _walk(port),
            "write": lambda: _write(port, keeps_connection=True),
            "newcomer": lambda: _write(port, keeps_connection=False),
        }
        with _working(admins):  # caches are filled, so that memory at rest is comparable
            time.sleep(3)
        resting = Usage(process.pid)
        with _working(admins) as answers, _attacking(port, source) as counts:
            waited = _waited(process.pid)
            most = _watch(process.pid, seconds)
            starved = round((_waited(process.pid) - waited) / seconds, 2)
        rest = _await_rest(process.pid, resting)
    return _report(answers, counts, resting, most, rest, starved)


def _report(
    answers: dict[str, Answers], counts: dict[str, int], resting: "Usage", most: "Usage", rest: "Usage", starved: float
) -> Report:
    problems = []
    for name, each in answers.items():
        figures = each.figures()
        if figures["refused"] and starved < STARVED_MAX:
            problems.append(f"{name}: {figures['refused']} requests refused: {figures['reasons']}")
        if not each.seconds or (figures["p99"] > WAIT_SECONDS_MAX and starved < STARVED_MAX):
            problems.append(f"{name}: the 99th percentile is {figures['p99']} s")
    if most.memory_mib > MEMORY_MIB_MAX:
        problems.append(f"{most.memory_mib:.0f} MiB of memory")
    if not rest.is_like(resting):
        problems.append(f"not at rest again: {rest}, before {resting}")
    return Report(
        {name: each.figures() for name, each in answers.items()},
        counts,
        {"before": resting.memory_mib, "most": most.memory_mib, "after": rest.memory_mib},
        most.kernel_mib,
        {"before": resting.descriptors, "most": most.descriptors, "after": rest.descriptors},
        starved,
        problems,
    )


@dataclass(init=False)
class Usage:
    """What a process uses now; `kernel_mib` is what the system holds for all TCP connections."""

    memory_mib: float
    kernel_mib: float
    descriptors: int

    def __init__(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        self.memory_mib = round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1)
        words = Path("/proc/net/sockstat").read_text().partition("TCP:")[2].split("\n")[0].split()
        self.kernel_mib = round(int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))

    def raise_to(self, other: "Usage") -> None:
        for name in vars(self):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))

    def is_like(self, resting: "Usage") -> bool:
        """Whether every connection is gone. Memory may be kept by the allocator, but no more than a few times over."""
        return self.descriptors <= resting.descriptors + POOLED and self.memory_mib <= resting.memory_mib + 150


def _waited(pid: int) -> float:
    """Seconds for which the main thread of a process has waited for a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _watch(pid: int, seconds: float) -> Usage:
    most, deadline = Usage(pid), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.25)
        most.raise_to(Usage(pid))
    return most


def _await_rest(pid: int, resting: Usage) -> Usage:
    deadline = time.monotonic() + REST_SECONDS_MAX
    while not (usage := Usage(pid)).is_like(resting) and time.monotonic() < deadline:
        time.sleep(0.5)
    return usage


@contextlib.contextmanager
def _working(admins: dict[str, Callable[[], Iterator[int]]]) -> Iterator[dict[str, Answers]]:
    """Run the admins, each in a thread of its own, until the block ends."""
    answers: dict[str, Answers] = {name: Answers() for name in admins}
    ended = threading.Event()

    def work(name: str) -> None:
        while not ended.is_set():  # a connection that fails is opened anew
            try:
                for status in _timed(admins[name](), answers[name].seconds):
                    if status not in (200, 201):
                        answers[name].refused.append(str(status))
                    if ended.wait(PAUSE_SECONDS):
                        break
            except (OSError, http.client.HTTPException) as error:
                answers[name].refused.append(repr(error)[:80])
                ended.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=work, args=[name]) for name in admins]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _timed(statuses: Iterator[int], seconds: list[float]) -> Iterator[int]:
    while True:
        started = time.perf_counter()
        status = next(statuses)
        seconds.append(time.perf_counter() - started)
        yield status


def _walk(port: int) -> Iterator[int]:
    """Walk the export of all tickets again and again."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)) as connection:
        target = EXPORT
        while True:
            connection.request("GET", target, headers={**_HEADERS, "Accept-Encoding": "identity"})
            response = connection.getresponse()
            body = response.read()
            yield response.status
            page = json.loads(body)
            is_end = page.get("end_of_stream", True)
            target = EXPORT if is_end else f"{EXPORT}&cursor={page['after_cursor']}".replace("start_time=0&", "")


def _write(port: int, *, keeps_connection: bool) -> Iterator[int]:
    """Create tickets."""
    body = json.dumps({"ticket": {"subject": "attacked", "comment": {"body": "a ticket in between"}}})
    while True:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)) as connection:
            while True:
                connection.request("POST", "/api/v2/tickets", body, _HEADERS)
                response = connection.getresponse()
                response.read()
                yield response.status
                if not keeps_connection:
                    break


@contextlib.contextmanager
def _attacking(port: int, source: str) -> Iterator[dict[str, int]]:
    """The attackers, a process of their own until the block ends. The counts are there when it has ended."""
    command = [sys.executable, "-m", "tests.process.attackers", str(port), TOKEN, EMAIL, source]
    counts: dict[str, int] = {}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    def note() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            counts.update(json.loads(line))

    reading = threading.Thread(target=note)
    reading.start()
    try:
        yield counts
    finally:
        process.kill()
        process.wait()
        reading.join()


@contextlib.contextmanager
def serving(url: str, errors: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`ticketfeed serve` on a free port, its log in `errors`."""
    command = [sys.executable, "-m", "ticketfeed", "serve", "--store", url, "--port", "0"]
    with errors.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            yield process, int(line.rstrip().rpartition(":")[2])
        finally:
            process.terminate()
            process.wait()


def _ticketfeed(*arguments: str) -> None:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "ticketfeed", *arguments], check=True, timeout=600, **quiet)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.process.attack")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--store", choices=ENGINES, default="sqlite")
    parser.add_argument("--source", default="127.0.0.2", help="address of the attackers; the admin's is 127.0.0.1")
    parser.add_argument("--log", type=Path, help="file for the server's log")
    asked = parser.parse_args()
    with engine(asked.store) as made, tempfile.TemporaryDirectory() as folder:
        report = run_attack(made, asked.seconds, asked.source, asked.log or Path(folder) / "log")
    print(json.dumps(asdict(report), indent=2))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
