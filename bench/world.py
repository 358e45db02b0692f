"""What is served: a store filled by the command itself, and every page of it saved as a file.

The files hold the very bytes of the answers, so every server sends the same.
"""

import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

from bench.cases import CASES, RAW, Case
from bench.servers import HOST, Credentials, environment

__all__ = ["fetch", "make_store", "read_cursors", "save_pages", "saved_tickets"]

COMMAND_SECONDS_MAX = 900
FETCH_SECONDS_MAX = 30


class _End(msgspec.Struct):
    after_cursor: str | None


def make_store(path: Path, tickets: int, credentials: Credentials) -> str:
    """A store with a generated world and one admin; returns its URL."""
    url = f"sqlite:///{path}"
    email = credentials.username.removesuffix("/token")
    for arguments in (
        ["generate", str(tickets), "--no-histories", "--account", "demo", "--store", url],
        ["token", "create", "--email", email, "--token", credentials.password, "--store", url],
    ):
        subprocess.run(
            [sys.executable, "-m", "ticketfeed", *arguments],
            check=True,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS_MAX,
        )
    return url


def fetch(address: tuple[str, int], target: str, case: Case, credentials: Credentials) -> bytes:
    """The body of one answer, as it came."""
    connection = HTTPConnection(*address, timeout=FETCH_SECONDS_MAX)
    try:
        headers = {"Host": HOST, "Authorization": credentials.header, "Accept-Encoding": "identity", **case.headers}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{target} answered {answer.status}: {body[:200]!r}")
    return body


def read_cursors(address: tuple[str, int], pages: int, credentials: Credentials) -> list[str | None]:
    """Walk the endpoint; where each page begins."""
    cursors: list[str | None] = [None]
    while len(cursors) < pages:
        body = fetch(address, RAW.api_targets(cursors[-1:])[0], RAW, credentials)
        cursors.append(msgspec.json.decode(body, type=_End).after_cursor)
    return cursors


def save_pages(
    root: Path, address: tuple[str, int], cursors: list[str | None], credentials: Credentials
) -> dict[str, int]:
    """Write every page of every case below `root`; returns the mean size of a page by case name."""
    sizes = {}
    for case in CASES:
        (root / case.name).mkdir(parents=True)
        total = 0
        for target, file in zip(case.api_targets(cursors), case.file_targets(len(cursors)), strict=True):
            body = fetch(address, target, case, credentials)
            total += len(body)
            (root / f"{file[1:]}{case.file_suffix}").write_bytes(body)
        sizes[case.name] = round(total / len(cursors))
    return sizes


def saved_tickets(root: Path, pages: int) -> Iterator[list[dict[str, Any]]]:
    """The tickets of every saved page, parsed."""
    for file in RAW.file_targets(pages):
        yield msgspec.json.decode((root / file[1:]).read_bytes())["tickets"]
