"""Readers of a mirror: who come with a cursor of its source, and go back; and how fast they read while it runs."""

import contextlib
import itertools
import random
import secrets
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.load import run_load
from bench.mirror_faults import MirrorProcess, start
from bench.mirror_world import SourceServer, call
from bench.processes import free_port, wait_for_port
from bench.world import Credentials, page_requests, read_cursors, ticketfeed

__all__ = ["Readers", "measure_readers"]

# What a mirror takes to start, which is no part of what it costs while it runs.
START_SECONDS = 5.0
_EXPORT = "/api/v2/incremental/tickets/cursor.json?support_type_scope=all"


@dataclass
class Readers:
    """`missed`: changes that a reader with a cursor of one side was not given by the other, of `cursors` each way.
    `alone`, `beside`: pages a second without and with a mirror that runs, of each round."""

    cursors: int
    missed: int
    alone: list[float]
    beside: list[float]

    def figures(self) -> dict[str, str]:
        """What was found, a name and a text each."""
        alone, beside = statistics.median(self.alone or [0.0]), statistics.median(self.beside or [0.0])
        ratio = f"{beside / alone:.2f}" if alone else "-"
        return {
            f"changes missed behind {self.cursors:,} cursors, each way": str(self.missed),
            "pages a second without a mirror running, and with": f"{alone:,.0f}, {beside:,.0f}: {ratio}",
        }


def measure_readers(
    folder: Path, *, tickets: int, cursors: int, changes: float, rounds: int, seconds: float, seed: int = 1
) -> Readers:
    """`changes`: a second at the source, all the time. `seconds`: of each round."""
    chance, credentials = random.Random(seed), Credentials("admin@example.com/token", secrets.token_urlsafe(24))
    source = SourceServer(folder, tickets, credentials, "--rule", "incremental_exports=0")
    with source.running():
        mirror = MirrorProcess(folder, source.port, credentials)
        source.call("POST", "/_ticketfeed/clock", {"advance": 180})
        mirror.catch_up()
        email = credentials.username.removesuffix("/token")
        ticketfeed("token", "create", "--email", email, "--token", credentials.password, "--store", mirror.url)
        with _served(mirror.url) as port:
            missed = _continue(source.port, port, credentials, cursors, chance)
            found = Readers(cursors, missed, [], [])
            if rounds:
                pages = read_cursors(("127.0.0.1", port), 50, credentials)
                requests = [request.encode() for request in page_requests(pages, credentials)]
                mirror.requests_per_minute = 10
                with _changing(source.url, changes):
                    for _ in range(rounds):
                        found.alone.append(_rate(port, requests, seconds))
                        with mirror.running():
                            time.sleep(START_SECONDS)
                            found.beside.append(_rate(port, requests, seconds))
    return found


@contextlib.contextmanager
def _served(url: str) -> Iterator[int]:
    port = free_port()
    process = start("serve", "--store", url, "--port", str(port))
    try:
        wait_for_port(process, port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _changing(url: str, changes: float) -> Iterator[None]:
    process = start("simulate", "--store", url, "--rate", str(changes))
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _rate(port: int, requests: list[bytes], seconds: float) -> float:
    sample = run_load(("127.0.0.1", port), itertools.cycle(requests), seconds)
    return sample.pages / sample.seconds


def _continue(source: int, mirror: int, credentials: Credentials, count: int, chance: random.Random) -> int:
    """Changes that are behind a cursor where it is from, and not in the next page of the other side."""
    missed = 0
    for here, there in ((source, mirror), (mirror, source)):
        ask = _asker(here, credentials)
        known = _walk(ask, chance)
        other = _asker(there, credentials)
        for cursor in chance.choices(known, k=count):
            place = f"{_EXPORT}&cursor={quote(cursor)}&per_page=100"
            missed += len(_positions(ask(place)) - _positions(other(place)))
    return missed


def _asker(port: int, credentials: Credentials) -> Callable[[str], Any]:
    return lambda path: call(port, credentials, "GET", path)


def _walk(ask: Callable[[str], Any], chance: random.Random) -> list[str]:
    """The cursors of a walk whose pages have any size."""
    cursors: list[str] = []
    place = "&start_time=0"
    while True:
        page = ask(f"{_EXPORT}{place}&per_page={chance.randint(1, 40)}")
        if page["after_cursor"]:
            cursors.append(page["after_cursor"])
        if page["end_of_stream"]:
            return cursors
        place = f"&cursor={quote(cursors[-1])}"


def _positions(page: Any) -> set[tuple[int, int]]:
    return {(ticket["generated_timestamp"], ticket["id"]) for ticket in page["tickets"]}
