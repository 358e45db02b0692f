"""First every server is shown to send the same; then they are measured, in rounds that take turns.

A round measures every case on every server once, so that whatever else the machine does hits all of them; the
server that begins changes from round to round. Medians of the rounds are compared, never the best ones.
"""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.cases import CASES, Case
from bench.load import run_load
from bench.processes import cpu_seconds
from bench.servers import HOST, Credentials, Server
from bench.world import fetch

__all__ = ["Row", "Sample", "measure", "verify"]

WARM_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one case on one server. `load_busy`: the load generator's share of its core."""

    pages_per_second: float
    bytes_per_second: float
    cpu_ms_per_page: float | None
    load_busy: float


@dataclass(slots=True)
class Row:
    """One case on one server, over all rounds."""

    case: Case
    server: Server
    requests: Iterator[bytes]
    samples: list[Sample] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        values = [value for sample in self.samples if (value := getattr(sample, name)) is not None]
        return median(values) if values else None


def verify(ours: Server, peers: Sequence[Server], credentials: Credentials) -> None:
    """Raises AssertionError unless every peer sends what we send, for one page of each case that it has.

    Static files must be equal byte by byte; of another application, the tickets and the cursor, parsed.
    """
    for case in CASES:
        for peer in (peer for peer in peers if case in peer.cases):
            number = len(peer.targets(case)) // 2
            mine, other = (
                _unpacked(fetch(server.address, server.targets(case)[number], case, credentials), case)
                for server in (ours, peer)
            )
            if mine == other:
                continue
            mine, other = json.loads(mine), json.loads(other)
            assert [t["id"] for t in mine["tickets"]] == [t["id"] for t in other["tickets"]], (case.name, peer.name)
            assert mine["tickets"] == other["tickets"], (case.name, peer.name)
            assert mine["after_cursor"] == other["after_cursor"], (case.name, peer.name)


def measure(
    servers: Sequence[Server], credentials: Credentials, rounds: int, seconds: float, tell: Callable[[str], None]
) -> list[Row]:
    """Every case on every server that has it, `rounds` times."""
    rows = [
        Row(case, server, itertools.cycle(_requests(server, case, credentials)))
        for case in CASES
        for server in servers
        if case in server.cases
    ]
    for row in rows:
        run_load(row.server.address, row.requests, WARM_SECONDS)
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for row in rows[number % len(servers) :] + rows[: number % len(servers)]:
            row.samples.append(_sample(row, seconds))
    return rows


def _sample(row: Row, seconds: float) -> Sample:
    before = cpu_seconds(row.server.pid)
    load = run_load(row.server.address, row.requests, seconds)
    after = cpu_seconds(row.server.pid)
    cpu = None if before is None or after is None else (after - before) * 1000 / load.pages
    return Sample(load.pages / load.seconds, load.size / load.seconds, cpu, load.busy)


def _requests(server: Server, case: Case, credentials: Credentials) -> list[bytes]:
    headers = {"Host": HOST, "Authorization": credentials.header, "Accept": "application/json", **case.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return [f"GET {target} HTTP/1.1\r\n{lines}\r\n".encode() for target in server.targets(case)]


def _unpacked(body: bytes, case: Case) -> bytes:
    return gzip.decompress(body) if case.gzip else body
