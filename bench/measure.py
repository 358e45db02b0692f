"""Two sides of a comparison are measured in rounds that take turns; medians of the rounds are compared.

So whatever else the machine does hits both. The side that begins changes from round to round. Never the best round.
"""

import contextlib
import gzip
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from statistics import median

from bench.load import run_load
from bench.processes import cpu_seconds
from bench.world import Request, fetch

__all__ = ["Comparison", "Sample", "Side", "measure", "verify"]

# What a server keeps of its pages it has after two rounds; a slow one is warm before that.
WARM_ROUNDS, WARM_SECONDS_MAX = 2, 6.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side. `cpu_ms`: of the server's processes, for one page. `load_busy`: the load generator's
    share of its core."""

    pages_per_second: float
    cpu_ms: float | None
    load_busy: float


@dataclass(slots=True)
class Side:
    """One server asked for some pages, again and again. `pids`: all of its processes without a common parent.

    `during` is entered while it is measured, and not counted.
    """

    name: str
    address: tuple[str, int]
    pids: Sequence[int]
    requests: Sequence[Request]
    during: Callable[[], AbstractContextManager[object]] = nullcontext
    samples: list[Sample] = field(default_factory=list)

    def median(self, name: str) -> float | None:
        values = [value for sample in self.samples if (value := getattr(sample, name)) is not None]
        return median(values) if values else None


@dataclass(slots=True)
class Comparison:
    """One row of the table: ours against a peer. `at_least` and `aim` are ratios of pages a second.

    `missing`: why there is no peer here.
    """

    name: str
    title: str
    ours: Side
    peer: Side | None
    at_least: float | None = None
    aim: float | None = None
    missing: str = ""

    @property
    def ratio(self) -> float | None:
        return self._ratio("pages_per_second")

    @property
    def cpu_ratio(self) -> float | None:
        return self._ratio("cpu_ms")

    def _ratio(self, name: str) -> float | None:
        ours, peers = self.ours.median(name), self.peer.median(name) if self.peer else None
        return ours / peers if ours and peers else None


def verify(ours: Side, peer: Side) -> None:
    """Raises AssertionError unless the peer sends what we send, for a page in the middle.

    Static files must be equal byte by byte; of another application, the tickets and the cursor, parsed.
    """
    number = len(ours.requests) // 2
    mine, other = (_plain(fetch(side.address, side.requests[number])) for side in (ours, peer))
    if mine != other:
        mine_parsed, other_parsed = json.loads(mine), json.loads(other)
        assert mine_parsed["tickets"] == other_parsed["tickets"], peer.name
        assert mine_parsed["after_cursor"] == other_parsed["after_cursor"], peer.name


def measure(comparisons: Sequence[Comparison], rounds: int, seconds: float, tell: Callable[[str], None]) -> None:
    """Every comparison, `rounds` times."""
    for comparison in comparisons:
        tell(comparison.title)
        sides = [side for side in (comparison.ours, comparison.peer) if side is not None]
        endless = [itertools.cycle([request.encode() for request in side.requests]) for side in sides]
        for side, requests in zip(sides, endless, strict=True):
            run_load(side.address, itertools.islice(requests, WARM_ROUNDS * len(side.requests)), WARM_SECONDS_MAX)
        for number in range(rounds):
            pairs = list(zip(sides, endless, strict=True))
            for side, requests in pairs[:: -1 if number % 2 else 1]:
                side.samples.append(_sample(side, requests, seconds))


def _sample(side: Side, requests: Iterator[bytes], seconds: float) -> Sample:
    with side.during():
        before = _cpu(side)
        load = run_load(side.address, requests, seconds)
        after = _cpu(side)
    cpu = None if before is None or after is None else (after - before) * 1000 / load.pages
    return Sample(load.pages / load.seconds, cpu, load.busy)


def _cpu(side: Side) -> float | None:
    used = [cpu_seconds(pid) for pid in side.pids]
    return None if None in used else sum(seconds for seconds in used if seconds is not None)


def _plain(body: bytes) -> bytes:
    with contextlib.suppress(gzip.BadGzipFile):
        return gzip.decompress(body)
    return body
