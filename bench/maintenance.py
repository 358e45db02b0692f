"""`python -m bench.maintenance`: the processor time of servers that nobody asks anything, and of their database.

    python -m bench.maintenance --accounts 2000 --processes 4 --seconds 120

What they take is maintenance: a round after the other. Time is counted from when the servers answer, first rounds
included; the machine may do other things meanwhile.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from bench.processes import cpu_seconds
from bench.servers import serve_ticketfeed
from tests.postgres import PostgresServer
from ticketfeed import open_store

__all__ = ["measure"]

RULES = ("--rule", "close_solved_days=28", "--rule", "scrub_deleted_days=30")
# Of accounts that are made at the same time.
TOGETHER = 8


def measure(accounts: int, processes: int, seconds: float) -> dict[str, float]:
    """Milliseconds of a core a second: of all servers, and of the database; and transactions of it a second."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-maintenance-") as folder, contextlib.ExitStack() as stack:
        server = PostgresServer(Path(folder) / "postgres")
        stack.callback(server.stop)
        url = server.new_database()
        asyncio.run(_fill(url, accounts))
        running = [stack.enter_context(serve_ticketfeed(url, set(), *RULES)) for _ in range(processes)]
        before = _cpu([each.pid for each in running]), _cpu([server.pid]), _transactions(url), time.monotonic()
        time.sleep(seconds)
        after = _cpu([each.pid for each in running]), _cpu([server.pid]), _transactions(url), time.monotonic()
        servers, database, transactions, passed = (late - early for early, late in zip(before, after, strict=True))
    return {
        "servers, ms of a core a second": 1000 * servers / passed,
        "database, ms of a core a second": 1000 * database / passed,
        "transactions a second": transactions / passed,
    }


async def _fill(url: str, accounts: int) -> None:
    store, turns = await open_store(url), asyncio.Semaphore(TOGETHER)

    async def create(number: int) -> None:
        async with turns:
            await store.create_account(f"account{number}")

    await asyncio.gather(*map(create, range(accounts)))
    await store.close()


def _cpu(pids: Sequence[int]) -> float:
    return sum(cpu_seconds(pid) or 0.0 for pid in pids)


def _transactions(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        row = connection.execute(sql).fetchone()
        assert row is not None
        return float(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.maintenance", description="What idle servers take.")
    parser.add_argument("--accounts", type=int, default=2000, help="[2000]")
    parser.add_argument("--processes", type=int, default=4, help="servers of one process each [4]")
    parser.add_argument("--seconds", type=float, default=120.0, help="[120]")
    asked = parser.parse_args()
    for name, value in measure(asked.accounts, asked.processes, asked.seconds).items():
        print(f"{name}: {value:,.1f}")


if __name__ == "__main__":
    main()
