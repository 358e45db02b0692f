"""Servers as processes: started on a core of their own, ended by pid, their CPU time read from /proc.

Without /proc there is no CPU time, and without sched_setaffinity or a second core nobody is pinned; the rest
is measured all the same.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Cores",
    "Unavailable",
    "cpu_seconds",
    "environment",
    "free_port",
    "on_cores",
    "pin_load",
    "resident_bytes",
    "running",
    "wait_for_port",
]

END_SECONDS_MAX = 10
READY_SECONDS_MAX = 60
_PROC = Path("/proc")


class Unavailable(Exception):
    """A server that cannot be measured here; the text is what its rows say."""


class Cores(NamedTuple):
    """Where a server runs, and where the load generator does; nothing in them where nobody can be pinned."""

    server: Set[int]
    load: Set[int]


def pin_load() -> Cores:
    """Take a core for this process, the load generator, and another for servers.

    The first and the last one: neighbours by number may be two halves of one core.
    """
    if not hasattr(os, "sched_setaffinity"):
        return Cores(set(), set())
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return Cores(set(), set())
    chosen = Cores(server={cores[0]}, load={cores[-1]})
    os.sched_setaffinity(0, chosen.load)
    return chosen


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings that would make this another server than the default one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKETFEED_")}
    return {**kept, **more}


@contextlib.contextmanager
def on_cores(cores: Set[int]) -> Iterator[None]:
    """What is started in this block runs on these cores, with all that it starts; anywhere where none are given."""
    before = os.sched_getaffinity(0) if cores else None
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(command: Sequence[str], cores: Set[int], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process on these cores, with all that it starts, until the block ends."""
    with on_cores(cores):
        process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = [pid for pid in _family(process.pid) if pid != process.pid]
    process.terminate()
    try:
        process.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float | None:
    """What a process and its children have used so far, in user and system mode; also those that have ended."""
    if not (_PROC / str(pid) / "stat").exists():
        return None
    ticks = sum(int(tick) for member in _family(pid) for tick in _stat(member)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """What a process and its children hold in memory, pages shared between them counted in each."""
    pages = [(_PROC / str(member) / "statm").read_text().split()[1] for member in _family(pid)]
    return sum(map(int, pages)) * os.sysconf("SC_PAGE_SIZE")


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    if not _PROC.is_dir():
        return [pid]
    parents = {int(entry.name): _stat(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit()}
    family = [pid]
    for member in family:  # grows while it is walked
        family += [child for child, stat in parents.items() if stat and int(stat[1]) == member]
    return family


def _stat(pid: int) -> list[str]:
    """The fields behind the name: state, parent, ...; none when the process has gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text("latin-1").rpartition(")")[2].split()
    except OSError:
        return []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    """Until it listens. Raises Unavailable when the process ends first, or takes too long."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise Unavailable("does not start")
