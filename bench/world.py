"""What is served: a store filled by the command itself, the cursors of its pages, and pages saved as files.

The files hold the very bytes of the answers, so every server sends the same.
"""

import contextlib
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

from bench.processes import environment

__all__ = [
    "HOST",
    "Credentials",
    "Request",
    "fetch",
    "make_store",
    "page_requests",
    "read_cursors",
    "save_pages",
    "saved_tickets",
    "ticketfeed",
]

COMMAND_SECONDS_MAX = 3600
FETCH_SECONDS_MAX = 60
PATH = "/api/v2/incremental/tickets/cursor"
# One Host header for all of them: it stands in `after_url`, and the bytes are to be the same.
HOST = "demo.localhost"


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str

    @property
    def header(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Request:
    """One GET."""

    target: str
    headers: tuple[tuple[str, str], ...]

    def encode(self) -> bytes:
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"GET {self.target} HTTP/1.1\r\n{lines}\r\n".encode()


class _End(msgspec.Struct):
    after_cursor: str | None


def ticketfeed(*arguments: str) -> None:
    """Run the command, which must do well."""
    command = [sys.executable, "-m", "ticketfeed", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=True, env=environment(), timeout=COMMAND_SECONDS_MAX, **quiet)


def make_store(url: str, tickets: int, credentials: Credentials) -> None:
    """A store with a generated world and one admin."""
    email = credentials.username.removesuffix("/token")
    ticketfeed("generate", str(tickets), "--no-histories", "--account", "demo", "--store", url)
    ticketfeed("token", "create", "--email", email, "--token", credentials.password, "--store", url)


def page_requests(
    cursors: Sequence[str | None], credentials: Credentials, *, gzip: bool = False, query: str = ""
) -> list[Request]:
    """One for each page; the first page has no cursor. Tickets of people and of AI agents alike, so that N thousand
    tickets are N full pages."""
    starts = [f"cursor={cursor}" if cursor else "start_time=0" for cursor in cursors]
    coding = "gzip" if gzip else "identity"
    headers = (("Host", HOST), ("Authorization", credentials.header), ("Accept-Encoding", coding))
    return [Request(f"{PATH}?{start}&support_type_scope=all{query}", headers) for start in starts]


def fetch(address: tuple[str, int], request: Request) -> bytes:
    """The body of one answer, as it came."""
    with contextlib.closing(HTTPConnection(*address, timeout=FETCH_SECONDS_MAX)) as connection:
        connection.putrequest("GET", request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{request.target} answered {answer.status}: {body[:200]!r}")
    return body


def read_cursors(address: tuple[str, int], pages: int, credentials: Credentials, query: str = "") -> list[str | None]:
    """Walk the endpoint; where each page begins. Fewer than `pages` where it ends before."""
    cursors: list[str | None] = [None]
    while len(cursors) < pages:
        body = fetch(address, page_requests(cursors[-1:], credentials, query=query)[0])
        end = msgspec.json.decode(body, type=_End).after_cursor
        if end is None or end == cursors[-1]:
            break
        cursors.append(end)
    return cursors


def save_pages(folder: Path, address: tuple[str, int], requests: Sequence[Request], suffix: str = "") -> int:
    """Write every page into `folder`, below a web server's root; returns the mean size of a page."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for number, request in enumerate(requests):
        total += (folder / f"{number:05}.json{suffix}").write_bytes(fetch(address, request))
    return round(total / len(requests))


def saved_tickets(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The tickets of every saved page, parsed."""
    for path in sorted(folder.glob("*.json")):
        yield msgspec.json.decode(path.read_bytes())["tickets"]
