"""`python -m bench.writes`: durable writes a second beside the raw engine, and how soon a change can be read.

Every write goes through the store: the account row is locked, the second chosen, the row written back. The raw engine
is given the same rows of the same bytes into the same tables, and does nothing else. Rounds alternate.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from tests.postgres import PostgresServer
from ticketfeed import Account, Filters, Position, Store, generate_world, open_store, parse_ticket, system_clock
from ticketfeed.feed import read_page
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.params import ExportRequest
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.postgres_write import BATCH
from ticketfeed.storage.queries import load_queries

ACCOUNTS = (1, 16)
GROUPS = (1, 100)
UNTIL = 1_780_272_000
Raw = Callable[[int, Sequence[Sequence[TicketDraft]]], None]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.writes")
    parser.add_argument("--writes", type=int, default=1500, help="transactions in a round [1500]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=60, help="changes timed until they can be read [60]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ticketfeed-bench-") as folder:
        server = PostgresServer(Path(folder) / "postgres")
        try:
            urls = {"SQLite": f"sqlite:///{folder}/ours.db", "PostgreSQL": server.new_database()}
            raws = {"SQLite": _raw_sqlite(Path(folder) / "raw.db"), "PostgreSQL": _raw_postgres(server.new_database())}
            asyncio.run(_run(urls, raws, asked))
        finally:
            server.stop()


async def _run(urls: dict[str, str], raws: dict[str, Raw], asked: argparse.Namespace) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=f"median of {asked.rounds} rounds of {asked.writes} transactions")
    for column in ("engine", "accounts", "tickets each", "transactions/s", "tickets/s", "raw engine/s", "ratio"):
        table.add_column(column, justify="right" if column != "engine" else "left")
    drafts = _drafts()
    for engine, url in urls.items():
        store = await open_store(url)
        accounts = [await store.create_account(f"a{number}") for number in range(max(ACCOUNTS))]
        for count in ACCOUNTS:
            for group in GROUPS:
                writes = max(count, asked.writes // (1 if group == 1 else 10))
                ours, raw = [], []
                for _ in range(asked.rounds):
                    work = [[next(drafts) for _ in range(group)] for _ in range(writes)]
                    ours.append(writes / await _time_ours(store, accounts[:count], work))
                    raw.append(writes / await asyncio.to_thread(_time_raw, raws[engine], count, work))
                rate, beside = statistics.median(ours), statistics.median(raw)
                cells = (rate, rate * group, beside)
                table.add_row(engine, str(count), str(group), *(f"{c:,.0f}" for c in cells), f"{rate / beside:.2f} x")
        await _tell_latency(engine, store, accounts[0], asked.samples, drafts)
        await store.close()
    Console(width=110).print(table)


async def _time_ours(store: Store, accounts: Sequence[Account], work: Sequence[Sequence[TicketDraft]]) -> float:
    async def write(account: Account, groups: Sequence[Sequence[TicketDraft]]) -> None:
        for group in groups:
            await store.write(account, lambda transaction, group=group: transaction.put_tickets(group))  # type: ignore[misc]

    started = time.perf_counter()
    await asyncio.gather(*(write(account, work[at :: len(accounts)]) for at, account in enumerate(accounts)))
    return time.perf_counter() - started


def _time_raw(raw: Raw, accounts: int, work: Sequence[Sequence[TicketDraft]]) -> float:
    started = time.perf_counter()
    raw(accounts, work)
    return time.perf_counter() - started


async def _tell_latency(
    engine: str, store: Store, account: Account, samples: int, drafts: Iterator[TicketDraft]
) -> None:
    """Writes at moments spread over the second, and a reader that polls every 10 ms."""
    newest = Position((await store.read_state(account)).last_generated_timestamp, INT64_MAX)
    waits, asked = [], ExportRequest(newest, 1000, Filters(support_type_scope="all"), (), ())
    for _ in range(samples):
        await asyncio.sleep(random.random())
        draft = next(drafts)
        await store.write(account, lambda transaction, draft=draft: transaction.put_tickets([draft]))  # type: ignore[misc]
        started = time.perf_counter()
        seen = False
        while not seen:
            page = await read_page(store, account, asked, now=system_clock(), settle_seconds=0)
            seen = any(row[1] == draft.id for row in page.rows)
            asked = replace(asked, after=page.after)
            await asyncio.sleep(0 if seen else 0.01)
        waits.append(time.perf_counter() - started)
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[min(len(waits) - 1, round(len(waits) * 0.99))]
    print(f"{engine}: a change can be read after {p50 * 1000:.0f} ms (p50), {p99 * 1000:.0f} ms (p99), n={samples}")


def _drafts() -> Iterator[TicketDraft]:
    """Tickets of a generated world, each with an id of its own."""
    world = [record for kind, record in generate_world(500, seed=1, until=UNTIL, account="a") if kind == "tickets"]
    number = 0
    while True:
        for record in world:
            number += 1
            data = msgspec.json.encode({**record, "id": number})
            yield parse_ticket(data, account="a", now=UNTIL)


def _row(account_id: int, draft: TicketDraft) -> tuple[Any, ...]:
    links = (draft.user_ids, draft.group_id, draft.organization_id)
    plain = (draft.status, draft.support_type, draft.external_id)
    return (account_id, UNTIL, draft.id, *plain, *links, draft.body(UNTIL))


def _raw_sqlite(path: Path) -> Raw:
    asyncio.run(_make_tables(f"sqlite:///{path}"))
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = FULL")
    insert = load_queries("sqlite")["insert_ticket"]

    def run(_accounts: int, work: Sequence[Sequence[TicketDraft]]) -> None:
        for group in work:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, [_row(1, draft) for draft in group])
            connection.execute("COMMIT")

    return run


def _raw_postgres(url: str) -> Raw:
    asyncio.run(_make_tables(url))
    insert = load_queries("postgres")["put_tickets"].partition("ON CONFLICT")[0]
    row = "(%s, %s, %s, %s, %s, %s, %b, %s, %s, %b)"

    def run_one(connection: psycopg.Connection[Any], work: Sequence[Sequence[TicketDraft]]) -> None:
        for group in work:
            for at in range(0, len(group), BATCH):
                values = [value for draft in group[at : at + BATCH] for value in _row(1, draft)]
                sql = insert.replace("/* rows */", ", ".join([row] * len(group[at : at + BATCH])))
                connection.execute(sql.encode(), values)
            connection.commit()

    def run(accounts: int, work: Sequence[Sequence[TicketDraft]]) -> None:
        with _connections(url, accounts) as connections, ThreadPoolExecutor(accounts) as threads:
            parts = [work[at::accounts] for at in range(accounts)]
            list(threads.map(run_one, connections, parts))

    return run


@contextmanager
def _connections(url: str, count: int) -> Iterator[list[psycopg.Connection[Any]]]:
    connections = [psycopg.connect(url, prepare_threshold=None) for _ in range(count)]
    yield connections
    for connection in connections:
        connection.close()


async def _make_tables(url: str) -> None:
    store = await open_store(url)
    await store.create_account("raw")
    await store.close()


if __name__ == "__main__":
    main()
