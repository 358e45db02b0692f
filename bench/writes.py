"""Durable writes a second through the store, beside the raw engine; and how soon a change can be read.

Every write goes through the store: the account row is locked, the second chosen, the row written back. The raw engine
is given the same rows of the same bytes into the same tables, and does nothing else. Rounds take turns. Beside a load
with histories it is given tickets and records, 250 in a statement.
"""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from bench.filling import drafts
from tests.postgres import PostgresServer
from ticketfeed import Account, Filters, Position, Store, generate_world, open_store, parse_ticket, system_clock
from ticketfeed.export.source import read_page
from ticketfeed.protocol.model import INT64_MAX, Identity
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.ticket_input import NEW_TICKET
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.queries import POSTGRES, SQLITE, insert_rows
from ticketfeed.storage.sql_transaction import BATCH
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["compare_writes"]

WRITES = 6400
LOADED = 1_000_000
HISTORY_TICKETS = 3000
HISTORIES, LOAD = "load with histories", "bulk load"
SAMPLES = 30
UNTIL = 1_780_272_000
Works = Sequence[Sequence[TicketDraft]]
Work = Callable[[WriteTransaction], object]


@dataclass(slots=True)
class _Row:
    """Tickets a second of both. `writers` at once, over `accounts`, each transaction with `group` tickets; the raw
    engine commits `raw_group` at a time."""

    name: str
    engine: str
    writers: int
    group: int
    raw_group: int
    writes: int
    at_least: float | None = None
    aim: float | None = None
    ours: float = 0.0
    raw: float = 0.0
    accounts: int = 1

    @property
    def title(self) -> str:
        """What it is chosen by."""
        return f"{self.name}, {self.engine}"


ROWS = (
    _Row("group commit", "SQLite", 64, 1, 100, WRITES, 0.40, 0.70),
    _Row("group commit", "PostgreSQL", 64, 1, 100, WRITES // 4, 0.25, 0.40),
    _Row("group commit, 8 accounts", "PostgreSQL", 64, 1, 100, WRITES // 4, accounts=8),
    _Row("tickets made, API", "SQLite", 64, 1, 100, WRITES // 4),
    _Row("tickets made, API", "PostgreSQL", 64, 1, 100, WRITES // 16),
    _Row("tickets made, API, 8 accounts", "PostgreSQL", 64, 1, 100, WRITES // 16, accounts=8),
    _Row("one by one", "SQLite", 1, 1, 1, WRITES // 4),
    _Row("one by one", "PostgreSQL", 1, 1, 1, WRITES // 4),
    _Row("hundreds", "SQLite", 1, 100, 100, 200),
    _Row("hundreds", "PostgreSQL", 1, 100, 100, 100),
    _Row(HISTORIES, "PostgreSQL", 1, HISTORY_TICKETS, HISTORY_TICKETS, 1),
    _Row(LOAD, "SQLite", 1, LOADED, LOADED, 1, 0.50, 0.80),
)
NAMES = [row.title for row in ROWS]


def compare_writes(
    folder: Path, rounds: int, results: Path, tell: Callable[[str], None], names: Sequence[str] = ()
) -> None:
    """Measure, print and write what was found: of these rows alone, or of all, and how soon a change can be read."""
    rows = [row for row in ROWS if not names or row.title in names]
    server = PostgresServer(folder / "postgres")
    try:
        latencies = asyncio.run(_run(folder, server, rows, rounds, tell, has_latencies=not names))
    finally:
        server.stop()
    for row in rows:
        if row.name == LOAD:
            _measure_load(row, folder, rounds, tell)
    table = Table(box=box.SIMPLE_HEAD, title=f"tickets a second, median of {rounds} rounds")
    for column in ("row", "engine", "writers", "tickets each", "ours", "raw engine", "ratio", "at least", "aim"):
        table.add_column(column, justify="left" if column in ("row", "engine") else "right")
    for row in rows:
        ratios = [f"{value:.2f} x" if value else "-" for value in (row.ours / row.raw, row.at_least, row.aim)]
        table.add_row(
            row.name, row.engine, str(row.writers), f"{row.group:,}", f"{row.ours:,.0f}", f"{row.raw:,.0f}", *ratios
        )
    Console(width=120).print(table)
    print("\n".join(latencies))
    results.parent.mkdir(exist_ok=True)
    found = {"rows": [asdict(row) for row in rows], "latencies": latencies}
    results.write_text(json.dumps(found, indent=1) + "\n")


async def _run(
    folder: Path,
    server: PostgresServer,
    rows: Sequence[_Row],
    rounds: int,
    tell: Callable[[str], None],
    *,
    has_latencies: bool,
) -> list[str]:
    urls = {"SQLite": f"sqlite:///{folder}/ours.db", "PostgreSQL": server.new_database()}
    stores = {engine: await open_store(url) for engine, url in urls.items()}
    accounts = {
        engine: [await store.create_account(name) for name in ("demo", *(f"demo{number}" for number in range(2, 9)))]
        for engine, store in stores.items()
    }
    raws: dict[str, Callable[[Works], None]] = {
        "SQLite": await _raw_sqlite(folder / "raw.db"),
        "PostgreSQL": await _raw_postgres(server.new_database()),
    }
    endless = _endless()
    for row in rows:
        if row.name == LOAD:
            continue
        tell(row.title)
        ours, raw = [], []
        for number in range(rounds):
            if row.name == HISTORIES:
                ours.append(row.group / await _load_histories(stores[row.engine], f"{number}-{len(ours)}"))
                raw.append(row.group / await asyncio.to_thread(_load_raw_histories, server.new_database()))
                continue
            count = row.writes * row.group
            work = [[next(endless) for _ in range(row.group)] for _ in range(row.writes)]
            put = _make_ticket if "API" in row.name else _put
            own = accounts[row.engine][: row.accounts]
            ours.append(count / await _time_ours(stores[row.engine], own, row.writers, work, put))
            flat = [draft for group in work for draft in group]
            groups = [flat[at : at + row.raw_group] for at in range(0, count, row.raw_group)]
            raw.append(count / await asyncio.to_thread(_time, raws[row.engine], groups))
        row.ours, row.raw = statistics.median(ours), statistics.median(raw)
    latencies = []
    for engine, store in stores.items():
        if has_latencies:
            tell(f"latency, {engine}")
            latencies.append(await _latency(engine, store, accounts[engine][0], endless))
        await store.close()
    return latencies


def _put(group: Sequence[TicketDraft]) -> Work:
    return lambda write: write.put_tickets(group)


def _make_ticket(group: Sequence[TicketDraft]) -> Work:
    """As `POST /tickets` does it: parsed before the write; with an audit, a metric set, metric events and lookups."""
    tickets = []
    for draft in group:
        text = draft.body(UNTIL).decode()[:1500]
        body = msgspec.json.encode({"ticket": {"subject": "Benchmark", "comment": {"body": text}, "priority": "high"}})
        tickets.append(NEW_TICKET.parse_body(body))

    def work(write: WriteTransaction) -> None:
        for ticket in tickets:
            TicketWriter(write, "demo", Identity(1, "", "admin")).create(ticket)

    return work


async def _time_ours(
    store: Store,
    accounts: Sequence[Account],
    writers: int,
    work: Works,
    put: Callable[[Sequence[TicketDraft]], Work],
) -> float:
    async def write(account: Account, groups: Works) -> None:
        for group in groups:
            await store.write(account, put(group))

    started = time.perf_counter()
    await asyncio.gather(*(write(accounts[at % len(accounts)], work[at::writers]) for at in range(writers)))
    return time.perf_counter() - started


def _time(run: Callable[[Works], None], work: Works) -> float:
    started = time.perf_counter()
    run(work)
    return time.perf_counter() - started


def _measure_load(row: _Row, folder: Path, rounds: int, tell: Callable[[str], None]) -> None:
    """A million tickets into an empty store, in one transaction; their drafts are made beforehand, a part at a time,
    for both, and that time is not counted."""
    ours, raw = [], []
    for number in range(min(rounds, 3)):
        tell(f"bulk load, round {number + 1}")
        ours.append(LOADED / asyncio.run(_load_ours(folder / f"load-{number}.db")))
        raw.append(LOADED / asyncio.run(_load_raw(folder / f"load-raw-{number}.db")))
        for path in folder.glob("load-*"):
            path.unlink()
    row.ours, row.raw = statistics.median(ours), statistics.median(raw)


@cache
def _histories() -> list[TicketDraft | RecordDraft]:
    """What `ticketfeed generate` stores: tickets with audits, metric sets and metric events, and the people."""
    world = generate_world(HISTORY_TICKETS, seed=1, until=UNTIL, account="demo")
    return [
        parse_ticket(data, account="demo", now=UNTIL)
        if kind == "tickets"
        else parse_record(kind, data, account="demo", now=UNTIL)
        for kind, data in ((kind, msgspec.json.encode(record)) for kind, record in world)
    ]


async def _load_histories(store: Store, name: str) -> float:
    """In one transaction, which makes the account too."""
    given = _histories()
    started = time.perf_counter()
    await store.create_account(f"load-{name}", lambda write: write.load(given, keep_generated_timestamp=True))
    return time.perf_counter() - started


def _load_raw_histories(url: str) -> float:
    asyncio.run(_make_tables(url))
    rows: dict[str, list[Any]] = {"ticket": [], "record": []}
    for draft in _histories():
        rows["ticket" if isinstance(draft, TicketDraft) else "record"].append(draft)
    started = time.perf_counter()
    with _connection(url) as connection:
        for table, row_type in (("ticket", TicketRow), ("record", RecordRow)):
            for at in range(0, len(rows[table]), BATCH):
                part = rows[table][at : at + BATCH]
                values = [value for each in part for value in (1, *getattr(each, "row", each))]
                sql = insert_rows(POSTGRES, table, row_type, count=len(part))
                connection.execute(sql.encode(), values)
        connection.commit()
    return time.perf_counter() - started


class _Timed:
    """Drafts, and how long it took to make them."""

    def __init__(self, count: int) -> None:
        self._drafts, self.seconds = drafts(count), 0.0

    def __iter__(self) -> Iterator[TicketDraft]:
        while True:
            started = time.perf_counter()
            part = [draft for _, draft in zip(range(1000), self._drafts, strict=False)]
            self.seconds += time.perf_counter() - started
            if not part:
                return
            yield from part


async def _load_ours(path: Path) -> float:
    store = await open_store(f"sqlite:///{path}")
    account, given = await store.create_account("demo"), _Timed(LOADED)
    started = time.perf_counter()
    await store.write(account, lambda write: write.put_tickets(given, keep_generated_timestamp=True), exclusive=True)
    seconds = time.perf_counter() - started - given.seconds
    await store.close()
    return seconds


async def _load_raw(path: Path) -> float:
    """As one would write it by hand: one transaction, executemany, the rows in the order of the key."""
    await _make_tables(f"sqlite:///{path}")
    connection, insert, given = apsw.Connection(str(path)), insert_rows(SQLITE, "ticket", TicketRow), _Timed(LOADED)
    connection.execute("PRAGMA synchronous = FULL")
    started = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(insert, ((1, *draft.row) for draft in given))
    connection.execute("COMMIT")
    seconds = time.perf_counter() - started - given.seconds
    connection.close()
    return seconds


async def _latency(engine: str, store: Store, account: Account, endless: Iterator[TicketDraft]) -> str:
    """Writes at moments spread over the second, and a reader that polls every 10 ms."""
    newest = Position((await store.read_state(account)).last_generated_timestamp, INT64_MAX)
    waits, asked = [], ExportRequest(newest, 1000, Filters(support_type_scope="all"), (), ())
    for _ in range(SAMPLES):
        await asyncio.sleep(random.random())
        draft = next(endless)
        await store.write(account, lambda transaction, draft=draft: transaction.put_tickets([draft]))  # type: ignore[misc]
        started = time.perf_counter()
        seen = False
        while not seen:
            page = await read_page(store, account, asked, now=system_clock(), settle_seconds=0)
            seen = any(row.id == draft.id for row in page.rows)
            asked = replace(asked, after=page.after)
            await asyncio.sleep(0 if seen else 0.01)
        waits.append(time.perf_counter() - started)
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[min(len(waits) - 1, round(len(waits) * 0.99))]
    return f"{engine}: a change can be read after {p50 * 1000:.0f} ms (p50), {p99 * 1000:.0f} ms (p99), n={SAMPLES}"


def _endless() -> Iterator[TicketDraft]:
    number = 1
    while True:
        yield from drafts(10_000, first_id=number)
        number += 10_000


async def _raw_sqlite(path: Path) -> Callable[[Works], None]:
    await _make_tables(f"sqlite:///{path}")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = FULL")
    insert = insert_rows(SQLITE, "ticket", TicketRow)

    def run(work: Works) -> None:
        for group in work:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, [(1, *draft.row_at(UNTIL)) for draft in group])
            connection.execute("COMMIT")

    return run


async def _raw_postgres(url: str) -> Callable[[Works], None]:
    await _make_tables(url)

    def run(work: Works) -> None:
        with _connection(url) as connection:
            for group in work:
                for at in range(0, len(group), BATCH):
                    values = [value for draft in group[at : at + BATCH] for value in (1, *draft.row_at(UNTIL))]
                    sql = insert_rows(POSTGRES, "ticket", TicketRow, count=len(group[at : at + BATCH]))
                    connection.execute(sql.encode(), values)
                connection.commit()

    return run


@contextmanager
def _connection(url: str) -> Iterator[psycopg.Connection[Any]]:
    connection = psycopg.connect(url, prepare_threshold=None)
    yield connection
    connection.close()


async def _make_tables(url: str) -> None:
    store = await open_store(url)
    await store.create_account("raw")
    await store.close()
