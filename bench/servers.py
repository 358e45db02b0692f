"""The servers that are measured, each a process on a free port of the loopback address."""

import contextlib
import importlib
import importlib.util
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.peers.nginx import find_nginx, write_configuration
from bench.peers.prism import find_prism, write_document
from bench.processes import READY_SECONDS_MAX, Unavailable, environment, free_port, running, wait_for_port
from bench.world import Credentials

__all__ = [
    "APPLICATIONS",
    "Application",
    "Running",
    "serve_application",
    "serve_files",
    "serve_prism",
    "serve_ticketfeed",
]

_ROOT = Path(__file__).parent.parent
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    pid: int
    address: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Application:
    """The same endpoint, written with something else, under uvicorn with one worker: a module of `peers`."""

    name: str
    module: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()

    def fill(self, database: str, pages: Iterator[list[dict[str, Any]]]) -> None:
        """Make its database. Raises Unavailable where what it is written with is not installed."""
        absent = [package for package in self.packages if not importlib.util.find_spec(package)]
        if absent:
            raise Unavailable(f"{', '.join(absent)} not installed")
        importlib.import_module(f"bench.peers.{self.module.partition(':')[0]}").fill(database, pages)


APPLICATIONS = {
    "fastapi": Application(
        "FastAPI + SQLAlchemy + Pydantic",
        "fastapi_sqlalchemy:create_app",
        ("fastapi", "pydantic", "sqlalchemy"),
        ("--factory",),
    ),
    "django": Application(
        "Django REST framework", "django_rest:application", ("django", "rest_framework"), ("--lifespan", "off")
    ),
    "fastapi-raw": Application(
        "FastAPI + raw SQL + orjson", "fastapi_raw:create_app", ("fastapi", "orjson"), ("--factory",)
    ),
}


@contextlib.contextmanager
def serve_ticketfeed(store_url: str, cores: Set[int], *options: str, python: str = sys.executable) -> Iterator[Running]:
    """The command as anyone runs it, access log on."""
    command = [python, "-m", "ticketfeed", "serve", "--store", store_url, "--port", "0", *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with running(command, cores, env=environment(), **streams) as process:
        yield Running(process.pid, _read_address(process))


@contextlib.contextmanager
def serve_files(folder: Path, root: Path, cores: Set[int]) -> Iterator[Running]:
    """nginx over saved pages. Raises Unavailable."""
    nginx = find_nginx()

    def command(port: int) -> list[str]:
        return [nginx, "-p", str(folder), "-c", str(write_configuration(folder, root, port))]

    with _serving(command, cores) as it:
        yield it


@contextlib.contextmanager
def serve_application(
    application: Application, database: str, credentials: Credentials, cores: Set[int]
) -> Iterator[Running]:
    """An application over the database that it was filled with."""
    variables = environment(
        BENCH_DATABASE=database, BENCH_USERNAME=credentials.username, BENCH_PASSWORD=credentials.password
    )
    uvicorn = [sys.executable, "-m", "uvicorn", f"bench.peers.{application.module}", *application.options]
    uvicorn += ["--host", "127.0.0.1", "--workers", "1", "--no-access-log"]
    with _serving(lambda port: [*uvicorn, "--port", str(port)], cores, env=variables, cwd=_ROOT) as it:
        yield it


@contextlib.contextmanager
def serve_prism(folder: Path, page: bytes, cores: Set[int]) -> Iterator[Running]:
    """Prism with one page as its example. Raises Unavailable."""
    command, document = find_prism(), write_document(folder, page)
    with _serving(lambda port: [command, "mock", "-h", "127.0.0.1", "-p", str(port), str(document)], cores) as it:
        yield it


@contextlib.contextmanager
def _serving(command: Callable[[int], Sequence[str]], cores: Set[int], **options: Any) -> Iterator[Running]:
    port = free_port()
    with running(command(port), cores, **_QUIET, **options) as process:
        wait_for_port(process, port)
        yield Running(process.pid, ("127.0.0.1", port))


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
