"""The servers that are measured, each started on a free port of the loopback address."""

import contextlib
import importlib.util
import os
import selectors
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.cases import CASES, Case
from bench.peers.nginx import find_nginx, write_configuration
from bench.processes import READY_SECONDS_MAX, Cores, Unavailable, free_port, running, wait_for_port

__all__ = [
    "FASTAPI",
    "HOST",
    "NGINX",
    "OURS",
    "Credentials",
    "Server",
    "check_fastapi",
    "environment",
    "serve_fastapi",
    "serve_files",
    "serve_ticketfeed",
]

OURS, NGINX, FASTAPI = "ticketfeed", "nginx, static files", "FastAPI + SQLAlchemy"

# One Host header for all of them: it stands in `after_url`, and the bytes are to be the same.
HOST = "demo.localhost"
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str

    @property
    def header(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Server:
    """One to ask for `cases`. `targets` gives where the pages of a case are, in the same order on every server."""

    name: str
    pid: int
    address: tuple[str, int]
    targets: Callable[[Case], list[str]]
    cases: Sequence[Case] = CASES


def environment(**more: str) -> dict[str, str]:
    """Ours, without settings that would make this another server than the default one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TICKETFEED_")}
    return {**kept, **more}


@contextlib.contextmanager
def serve_ticketfeed(store_url: str, cores: Cores | None) -> Iterator[tuple[int, tuple[str, int]]]:
    """The command as anyone runs it, one worker, access log on; gives its pid and address."""
    command = [sys.executable, "-m", "ticketfeed", "serve", "--store", store_url, "--port", "0"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with running(command, cores, env=environment(), **streams) as process:
        yield process.pid, _read_address(process)


def _read_address(process: subprocess.Popen[bytes]) -> tuple[str, int]:
    assert process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline().decode() if selector.select(READY_SECONDS_MAX) else ""
    ready, _, url = line.strip().partition(" ")
    parts = urlsplit(url)
    if ready != "ready:" or not parts.hostname or not parts.port:
        raise Unavailable("does not start")
    return parts.hostname, parts.port


@contextlib.contextmanager
def serve_files(folder: Path, root: Path, pages: int, cores: Cores | None) -> Iterator[Server]:
    """nginx over the saved pages. Raises Unavailable."""
    nginx, port = find_nginx(), free_port()
    command = [nginx, "-p", str(folder), "-c", str(write_configuration(folder, root, port))]
    with running(command, cores, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for_port(process, port)
        yield Server(NGINX, process.pid, ("127.0.0.1", port), lambda case: case.file_targets(pages))


def check_fastapi() -> None:
    """Raises Unavailable where the plain application cannot run."""
    if not all(importlib.util.find_spec(package) for package in ("fastapi", "pydantic", "sqlalchemy")):
        raise Unavailable("not installed")


@contextlib.contextmanager
def serve_fastapi(
    database: str, credentials: Credentials, cursors: Sequence[str | None], cores: Cores | None
) -> Iterator[Server]:
    """The plain application under uvicorn, one worker. Raises Unavailable."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "bench.peers.fastapi_sqlalchemy:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log"]
    variables = environment(
        BENCH_DATABASE=database, BENCH_USERNAME=credentials.username, BENCH_PASSWORD=credentials.password
    )
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(command, cores, env=variables, cwd=_ROOT, **streams) as process:
        wait_for_port(process, port)
        address, plain = ("127.0.0.1", port), [case for case in CASES if case.peer]
        yield Server(FASTAPI, process.pid, address, lambda case: case.api_targets(cursors), plain)
