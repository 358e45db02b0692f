"""`python -m bench.posts`: tickets made by `POST /tickets` on PostgreSQL, a second and by the CPU time of each.

With `--base FOLDER`, a checkout of another commit with its own `.venv`, its server stands beside ours: on the same
PostgreSQL with a database of its own, and rounds take turns. A connection asks always for the same account, one request
after the other.
"""

import argparse
import itertools
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from bench.filling import drafts
from bench.load import run_connections
from bench.processes import cpu_seconds, environment
from bench.servers import Running, serve_ticketfeed
from tests.postgres import PostgresServer

ROOT = Path(__file__).parent.parent
TOKEN = "bench-token-0123456789"
# How many different tickets are sent.
TICKETS = 200
# Before anything is measured: connections are made, statements prepared, tables no longer empty.
WARM_UP_SECONDS = 3.0


@dataclass(slots=True)
class _Side:
    """A checkout, its server, and what was found: tickets a second, CPU ms of a ticket of the server and of
    PostgreSQL."""

    name: str
    running: Running
    rates: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)

    def medians(self) -> list[float]:
        return [statistics.median(found) for found in (self.rates, self.server, self.postgres)]


def compare(
    folder: Path, checkouts: Sequence[Path], accounts: int, workers: int, connections: int, rounds: int, seconds: float
) -> Table:
    """Measure the servers of these checkouts in turns; the first is ours."""
    postgres = PostgresServer(folder / "postgres")
    try:
        with ExitStack() as stack:
            sides = [
                _Side(name, stack.enter_context(_serve(checkout, postgres.new_database(), accounts, workers)))
                for name, checkout in zip(("ours", "base"), checkouts, strict=False)
            ]
            for side in sides:
                _measure(side, postgres.pid, accounts, connections, WARM_UP_SECONDS)
                for found in (side.rates, side.server, side.postgres):
                    found.clear()
            for number in range(rounds):
                for side in sides if number % 2 else reversed(sides):
                    _measure(side, postgres.pid, accounts, connections, seconds)
    finally:
        postgres.stop()
    title = f"accounts {accounts}, connections {connections}, workers {workers}, median of {rounds} rounds"
    table = Table(box=box.SIMPLE_HEAD, title=title)
    for column in ("server", "POST/s", "CPU ms of the server", "of PostgreSQL", "of both"):
        table.add_column(column, justify="left" if column == "server" else "right")
    rows = [(side.name, (rate, *cpu, sum(cpu))) for side in sides for rate, *cpu in (side.medians(),)]
    for name, figures in rows:
        table.add_row(name, f"{figures[0]:,.0f}", *(f"{each:.2f}" for each in figures[1:]))
    if len(rows) > 1:
        (_, ours), (_, base) = rows
        ratios = [ours[0] / base[0], *(theirs / own for own, theirs in zip(ours[1:], base[1:], strict=True))]
        table.add_row("base to ours", *(f"{each:.2f} x" for each in ratios))
    return table


def _serve(checkout: Path, url: str, accounts: int, workers: int) -> AbstractContextManager[Running]:
    command = [str(checkout / ".venv/bin/python"), "-m", "ticketfeed"]
    of_store, quiet = ("--store", url), {"check": True, "env": environment(), "stdout": subprocess.DEVNULL}
    token = ("--email", "admin@example.com", "--token", TOKEN)
    for name in _names(accounts):
        subprocess.run([*command, "account", "create", name, *of_store], **quiet)
        subprocess.run([*command, "token", "create", *token, "--account", name, *of_store], **quiet)
    return serve_ticketfeed(url, set(), "--workers", str(workers), python=command[0])


def _names(accounts: int) -> list[str]:
    return [f"account{number}" for number in range(accounts)]


def _measure(side: _Side, postgres: int, accounts: int, connections: int, seconds: float) -> None:
    names, pids = itertools.islice(itertools.cycle(_names(accounts)), connections), (side.running.pid, postgres)
    sources = [itertools.cycle(_requests(name)) for name in names]
    before = [cpu_seconds(pid) or 0.0 for pid in pids]
    sample = run_connections(side.running.address, sources, seconds)
    server, database = (
        ((cpu_seconds(pid) or 0.0) - used) * 1000 / sample.pages for pid, used in zip(pids, before, strict=True)
    )
    side.rates.append(sample.pages / sample.seconds)
    side.server.append(server)
    side.postgres.append(database)


def _requests(account: str) -> Iterator[bytes]:
    for body in _bodies():
        head = f"POST /api/v2/tickets HTTP/1.1\r\nHost: {account}.localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        yield head.encode() + body


@cache
def _bodies() -> list[bytes]:
    """The texts of generated tickets."""
    tickets = [msgspec.json.decode(draft.row.body) for draft in drafts(TICKETS)]
    return [
        msgspec.json.encode(
            {
                "ticket": {key: ticket[key] for key in ("subject", "priority", "tags")}
                | {"comment": {"body": ticket["description"]}}
            }
        )
        for ticket in tickets
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.posts")
    parser.add_argument("--base", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--connections", type=int, default=48, help="over all accounts [48]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    checkouts = [ROOT, *([asked.base.resolve()] if asked.base else [])]
    for accounts in asked.accounts:
        for workers in asked.workers:
            with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-", ignore_cleanup_errors=True) as folder:
                found = compare(
                    Path(folder), checkouts, accounts, workers, asked.connections, asked.rounds, asked.seconds
                )
            Console(width=120).print(found)


if __name__ == "__main__":
    main()
