"""The costs of the scale model, measured on this machine, and a small deployment that is predicted and measured.

CPU time is counted, not time on the clock: it is nearly the same whatever else the machine does. Each cost is the
difference of two measurements that differ in one thing. Requests come at a fixed rate, as they would in a deployment,
not as fast as they are answered.
"""

import asyncio
import contextlib
import itertools
import json
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from bench.processes import cpu_seconds, resident_bytes
from bench.scale_model import Costs, Cpu, Workload, cpu_ms
from bench.servers import serve_ticketfeed
from bench.world import Credentials
from tests.postgres import PostgresServer
from ticketfeed import Store, open_store, system_clock
from ticketfeed.data.demo import generated_records
from ticketfeed.data.import_files import InputRecord
from ticketfeed.data.load import load_records
from ticketfeed.data.sizes import measure_accounts
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.maintenance import Maintenance
from ticketfeed.settings import Settings
from ticketfeed.storage.account_size import AccountQuota
from ticketfeed.writing.credentials import add_user_credential

__all__ = ["measure_costs", "measure_maintenance"]

EMAIL = "admin@example.com"
ADMIN = Credentials(f"{EMAIL}/token", "scale-model-token-0123456789")
# Rounds take turns, so what else the machine does hits all kinds of requests.
ROUNDS, SECONDS = 3, 6.0
# Of the desk whose costs are measured, and of the one that they are checked with.
ACCOUNTS, ACCOUNT_TICKETS = 20, 400
CHECKED_ACCOUNTS, CHECKED_TICKETS = 6, 1500
SIZES = (3_000, 9_000)
PAGE_TICKETS = 100
EMPTY_ACCOUNTS = 500
# As many as there are in a minute; and rounds that take more than the ticks in which the system counts.
QUOTAS_A_ROUND, MAINTENANCE_ROUNDS = 12, 30
# Writers of one account at once.
WRITERS = 12
OPEN = {"new", "open", "pending", "hold"}
Tell = Callable[[str], None]
_CURSOR = "/api/v2/incremental/tickets/cursor"


@dataclass(slots=True)
class _Desk:
    """A served store: its accounts and, of each, the tickets that can be changed."""

    url: str
    names: list[str]
    database_pid: int
    tickets: dict[str, list[int]] = field(default_factory=dict)
    cursors: dict[tuple[str, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Requests a second. Changes and polls take the accounts in turn; `pages` are of PAGE_TICKETS, of all accounts."""

    accounts: int
    polls: float = 0.0
    changes: float = 0.0
    pages: float = 0.0
    consumers: int = 1


@dataclass(slots=True)
class _Found:
    """What happened in a measurement. CPU in milliseconds a second; the rest a second."""

    server: float = 0.0
    database: float = 0.0
    polls: float = 0.0
    changes: float = 0.0
    pages: float = 0.0
    tickets: float = 0.0
    sent: float = 0.0
    wal: float = 0.0
    growth: float = 0.0


class _Client:
    """One connection, and what it was sent."""

    def __init__(self, address: tuple[str, int], agent: str = "scale") -> None:
        self._connection = HTTPConnection(*address, timeout=60)
        self._agent = agent

    def ask(self, account: str, target: str, body: bytes | None = None) -> bytes:
        headers = {"Host": f"{account}.localhost", "Authorization": ADMIN.header, "User-Agent": self._agent}
        if body is not None:
            headers["Content-Type"] = "application/json"
        method = "GET" if body is None else "PUT"
        try:
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
        except RemoteDisconnected:  # it was idle for too long, on a machine that had no time for us
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{target} answered {answer.status}: {found[:200]!r}")
        return found


class _End(msgspec.Struct):
    after_cursor: str | None
    tickets: list[msgspec.Raw]


class _Ticket(msgspec.Struct):
    id: int
    status: str


def measure_costs(tell: Tell) -> dict[str, Any]:
    """What scale_costs.json holds: the costs, and a small deployment, predicted from them and measured, in turns with
    what they were taken from."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-scale-") as name:
        folder = Path(name)
        with _database(folder / "postgres") as server, _database(folder / "checked") as other:
            costs, check = _measure(server, other, folder, tell)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    kept = {"costs": _rounded(asdict(costs)), "check": check}
    return {"at": time.strftime("%Y-%m-%d", time.gmtime()), **machine, **kept}


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder)
    try:
        yield server
    finally:
        server.stop()


def _compare(costs: Costs, work: Workload, found: _Found, stored: float, sqlite_stored: float) -> dict[str, Any]:
    """In words what was measured; and rows of a name, what was predicted and what was found.

    It is predicted at the rates that there were: a busy machine may not have sent as many requests.
    """
    work = replace(work, changes=found.changes, poll_seconds=work.consumers / found.polls)
    server_ms, database_ms = (cpu_ms(cpu, work, 1, 0.0) for cpu in (costs.server, costs.database))
    requests = work.polls + work.changes
    sqlite = 2 * CHECKED_TICKETS * (costs.sqlite_ticket_bytes + costs.sqlite_history_bytes)
    rows = [
        ("MB stored, PostgreSQL", work.tickets * (costs.ticket_bytes + costs.history_bytes) / 1e6, stored / 1e6),
        ("MB stored, SQLite", sqlite / 1e6, sqlite_stored / 1e6),
        ("CPU of the server, ms a second", server_ms, found.server),
        ("CPU of the database, ms a second", database_ms, found.database),
        ("requests for a second of server CPU", 1000 * requests / server_ms, 1000 * requests / found.server),
        ("KB of log a second", work.changes * costs.wal_bytes / 1e3, found.wal / 1e3),
        ("KB sent a second", work.tickets_sent * costs.sent_bytes / 1e3, found.sent / 1e3),
    ]
    what = (
        f"{work.accounts} accounts with {CHECKED_TICKETS:,} tickets and their histories each, three consumers of each "
        f"that poll every {work.poll_seconds:.1f} seconds, {work.changes:.0f} changes a second, one process"
    )
    return {"what": what, "rows": [(name, round(predicted, 1), round(seen, 1)) for name, predicted, seen in rows]}


def _measure(server: PostgresServer, other: PostgresServer, folder: Path, tell: Tell) -> tuple[Costs, dict[str, Any]]:
    sqlite, postgres = _measure_bytes(server, folder, tell)
    desk = _make_desk(server, ACCOUNTS, ACCOUNT_TICKETS, tell)
    checked = _make_desk(other, CHECKED_ACCOUNTS, CHECKED_TICKETS, tell)
    stored, path = _postgres_bytes(checked.url), folder / "checked.db"
    _generate(f"sqlite:///{path}", checked.names[:2], CHECKED_TICKETS, histories=True)
    consumers = 3 * CHECKED_ACCOUNTS
    work = Workload(CHECKED_ACCOUNTS, CHECKED_ACCOUNTS * CHECKED_TICKETS, 20, consumers, poll_seconds=1.0)
    mixture = _Traffic(work.accounts, work.polls, work.changes, consumers=3)
    options = ("--page-cache-mib", "0")
    with (
        serve_ticketfeed(desk.url, set(), *options) as running,
        serve_ticketfeed(checked.url, set(), *options) as second,
    ):
        _learn(desk, running.address)
        _learn(checked, second.address)
        kinds = (
            _Traffic(1),
            _Traffic(1, polls=40),
            _Traffic(ACCOUNTS, polls=40),
            _Traffic(1, pages=15),
            _Traffic(ACCOUNTS, changes=30),
        )
        rounds: list[list[_Found]] = []
        for number in range(ROUNDS):
            tell(f"requests of each kind and all together, round {number + 1} of {ROUNDS}")
            found = [_run(desk, running.address, running.pid, each, SECONDS) for each in kinds]
            rounds.append([*found, _run(checked, second.address, second.pid, mixture, 2 * SECONDS)])
        idle, one, many, pages, changes, mixed = map(_median, zip(*rounds, strict=True))
        tell("changes of one account, as many as it takes")
        account_changes = _measure_one_account(desk, running.address)
        process_bytes, connection_bytes = resident_bytes(running.pid), _connection_bytes(desk)
    sides = {}
    maintenance = asyncio.run(_measure_maintenance(server, tell))
    for number, side in enumerate(("server", "database")):
        base = getattr(idle, side)
        usage = max(0.0, (getattr(many, side) - getattr(one, side)) / (ACCOUNTS - 1))
        poll = (getattr(one, side) - base - usage) / one.polls
        sides[side] = Cpu(
            poll=poll,
            ticket=((getattr(pages, side) - base - usage) / pages.pages - poll) / PAGE_TICKETS,
            change=(getattr(changes, side) - base - ACCOUNTS * usage) / changes.changes,
            usage=usage,
            maintenance=maintenance[number],
            idle=base,
        )
    costs = Costs(
        **sides,
        ticket_bytes=postgres[0],
        history_bytes=postgres[1],
        change_bytes=changes.growth / changes.changes,
        wal_bytes=changes.wal / changes.changes,
        sqlite_ticket_bytes=sqlite[0],
        sqlite_history_bytes=sqlite[1],
        sent_bytes=pages.sent / pages.tickets,
        process_bytes=process_bytes,
        connection_bytes=connection_bytes,
        maintenance_seconds=maintenance[2],
        account_changes=account_changes,
    )
    return costs, _compare(costs, work, mixed, stored, path.stat().st_size)


def _measure_bytes(server: PostgresServer, folder: Path, tell: Tell) -> tuple[tuple[float, float], tuple[float, float]]:
    """What a ticket takes, and its history, on SQLite and on PostgreSQL: of two sizes, the difference."""
    found: dict[tuple[str, bool], list[float]] = {}
    for histories, size in itertools.product((False, True), SIZES):
        tell(f"bytes of {size:,} tickets{' with histories' if histories else ''}")
        path = folder / f"{size}-{histories}.db"
        _generate(f"sqlite:///{path}", ["demo"], size, histories=histories)
        found.setdefault(("sqlite", histories), []).append(path.stat().st_size)
        url = server.new_database()
        _generate(url, ["demo"], size, histories=histories)
        found.setdefault(("postgres", histories), []).append(_postgres_bytes(url))
    each = {key: (large - small) / (SIZES[1] - SIZES[0]) for key, (small, large) in found.items()}
    return tuple(  # type: ignore[return-value]
        (each[engine, False], each[engine, True] - each[engine, False]) for engine in ("sqlite", "postgres")
    )


def measure_maintenance(kept: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What scale_costs.json holds, with what maintenance takes measured anew."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-scale-") as name, _database(Path(name) / "postgres") as server:
        here, there, seconds = asyncio.run(_measure_maintenance(server, tell))
    costs = kept["costs"]
    sides = {side: {**costs[side], "maintenance": ms} for side, ms in (("server", here), ("database", there))}
    return {**kept, "costs": _rounded({**costs, **sides, "maintenance_seconds": seconds})}


async def _measure_maintenance(server: PostgresServer, tell: Tell) -> tuple[float, float, float]:
    """Of one account in one round: CPU milliseconds here and in the database, and seconds."""
    tell(f"maintenance of {EMPTY_ACCOUNTS} accounts")
    store, turns = await open_store(server.new_database()), asyncio.Semaphore(WRITERS)

    async def create(number: int) -> None:
        async with turns:
            account = await store.create_account(f"account{number}")
            await store.write(account, lambda write: write.put_quota(AccountQuota(1_000_000, 10_000_000_000)))

    await asyncio.gather(*map(create, range(EMPTY_ACCOUNTS)))
    settings = Settings(close_solved_days=28, scrub_deleted_days=30)
    maintenance = Maintenance(store, settings, lambda _: system_clock(), Jobs(store))

    async def run_round() -> None:
        await maintenance.run_round()
        await measure_accounts(store, lambda _: system_clock())
        for _ in range(QUOTAS_A_ROUND):
            await maintenance.find_full_accounts()

    await run_round()  # which also counts what the accounts hold
    cpu, database, started = time.process_time(), _database_cpu(server.pid), time.perf_counter()
    for _ in range(MAINTENANCE_ROUNDS):
        await run_round()
    seconds = (time.perf_counter() - started) / MAINTENANCE_ROUNDS / EMPTY_ACCOUNTS
    here, there = time.process_time() - cpu, _database_cpu(server.pid) - database
    await store.close()
    return (
        1000 * here / MAINTENANCE_ROUNDS / EMPTY_ACCOUNTS,
        1000 * there / MAINTENANCE_ROUNDS / EMPTY_ACCOUNTS,
        seconds,
    )


def _measure_one_account(desk: _Desk, address: tuple[str, int]) -> float:
    """Changes a second of the first account, from WRITERS clients that wait for nothing."""
    counts, deadline = [0] * WRITERS, time.monotonic() + SECONDS

    def write(number: int) -> None:
        client = _Client(address)
        tickets = itertools.cycle(desk.tickets[desk.names[0]][number::WRITERS])
        while time.monotonic() < deadline:
            _change(client, desk.names[0], next(tickets), counts[number])
            counts[number] += 1

    _run_all([lambda number=number: write(number) for number in range(WRITERS)])  # type: ignore[misc]
    return sum(counts) / SECONDS


def _make_desk(server: PostgresServer, accounts: int, tickets: int, tell: Tell) -> _Desk:
    tell(f"{accounts} accounts with {tickets:,} tickets each")
    # How often pages are written to the log as a whole depends on when a checkpoint was, not on what is done.
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    desk = _Desk(server.new_database(), [f"desk{number}" for number in range(accounts)], server.pid)
    _generate(desk.url, desk.names, tickets, histories=True)
    with psycopg.connect(desk.url, autocommit=True) as connection:  # what a load leaves to be done is not ours
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
    return desk


def _generate(url: str, accounts: Sequence[str], tickets: int, *, histories: bool) -> None:
    """Accounts with the same tickets, and an admin of each."""
    asyncio.run(_load(url, accounts, list(_records(tickets, histories=histories))))


def _records(tickets: int, *, histories: bool) -> Iterator[InputRecord]:
    return generated_records(tickets, 1, system_clock(), "demo", lambda _: None, histories)


async def _load(url: str, accounts: Sequence[str], records: Sequence[InputRecord]) -> None:
    store: Store = await open_store(url)
    for name in accounts:
        account = await store.create_account(name)
        await load_records(store, account, iter(records), now=system_clock(), derives_metrics=False)
        await add_user_credential(store, account, EMAIL, "admin", "api_token", ADMIN.password)
    await store.close()


def _learn(desk: _Desk, address: tuple[str, int]) -> None:
    """Walk every account once: where its feed ends, and which of its tickets can be changed."""
    client = _Client(address)
    for name in desk.names:
        cursor, found = "start_time=0", list[int]()
        while True:
            end = msgspec.json.decode(client.ask(name, f"{_CURSOR}?{cursor}&support_type_scope=all"), type=_End)
            tickets = [msgspec.json.decode(each, type=_Ticket) for each in end.tickets]
            found += [ticket.id for ticket in tickets if ticket.status in OPEN]
            if end.after_cursor is None:
                break
            newest = end.after_cursor
            cursor = f"cursor={newest}"
            if len(end.tickets) < 1000:
                break
        desk.tickets[name] = found
        for consumer in range(3):
            desk.cursors[name, consumer] = newest


def _run(desk: _Desk, address: tuple[str, int], pid: int, traffic: _Traffic, seconds: float) -> _Found:
    """Send requests at their rates, and count what they cost. Whatever a change has left to be read is read before."""
    found = _Found()
    names = desk.names[: traffic.accounts]
    places = [(name, consumer) for consumer in range(traffic.consumers) for name in names]
    rates = (traffic.polls, traffic.changes, traffic.pages)
    makers = (_polls(desk, address, places, found), _changes(desk, address, names, found), _pages(desk, address, found))
    senders = [(rate, maker) for rate, maker in zip(rates, makers, strict=True) if rate]
    for _, maker in senders:
        for _ in range(2 * len(places)):
            next(maker)
    time.sleep(2)
    found.polls = found.changes = found.pages = found.tickets = found.sent = 0
    server, database, wal, size = cpu_seconds(pid), _database_cpu(desk.database_pid), *_database_counts(desk.url)
    started = time.monotonic()
    _run_all([lambda rate=rate, maker=maker: _send(rate, maker, started + seconds) for rate, maker in senders])  # type: ignore[misc]
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    passed = time.monotonic() - started
    assert server is not None
    found.server = 1000 * ((cpu_seconds(pid) or 0.0) - server)
    found.database = 1000 * (_database_cpu(desk.database_pid) - database)
    wal_after, size_after = _database_counts(desk.url)
    found.wal, found.growth = wal_after - wal, size_after - size
    return _Found(**{name: value / passed for name, value in asdict(found).items()})


def _median(found: Sequence[_Found]) -> _Found:
    return _Found(**{each.name: statistics.median(getattr(one, each.name) for one in found) for each in fields(_Found)})


def _send(rate: float, maker: Iterator[None], until: float) -> None:
    due = time.monotonic()
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        next(maker)
        due += 1 / rate


def _polls(desk: _Desk, address: tuple[str, int], places: Sequence[tuple[str, int]], found: _Found) -> Iterator[None]:
    clients = [_Client(address, f"consumer {consumer}") for consumer in range(3)]
    for name, consumer in itertools.cycle(places):
        cursor = desk.cursors[name, consumer]
        body = clients[consumer].ask(name, f"{_CURSOR}?cursor={cursor}&support_type_scope=all")
        end = msgspec.json.decode(body, type=_End)
        desk.cursors[name, consumer] = end.after_cursor or cursor
        found.polls, found.tickets = found.polls + 1, found.tickets + len(end.tickets)
        found.sent += sum(map(len, end.tickets))
        yield


def _changes(desk: _Desk, address: tuple[str, int], names: Sequence[str], found: _Found) -> Iterator[None]:
    client = _Client(address)
    for number in itertools.count():
        name = names[number % len(names)]
        tickets = desk.tickets[name]
        _change(client, name, tickets[number * 7919 % len(tickets)], number)
        found.changes += 1
        yield


def _change(client: _Client, name: str, ticket: int, number: int) -> None:
    comment = {"body": f"A comment of some length, as people write them: number {number}. " * 3}
    body = {"ticket": {"comment": comment, "priority": ("low", "high")[number % 2], "tags": [f"tag{number % 7}"]}}
    client.ask(name, f"/api/v2/tickets/{ticket}.json", json.dumps(body).encode())


def _pages(desk: _Desk, address: tuple[str, int], found: _Found) -> Iterator[None]:
    client, name = _Client(address), desk.names[0]
    while True:
        cursor = "start_time=0"
        for _ in range(ACCOUNT_TICKETS // PAGE_TICKETS - 1):
            target = f"{_CURSOR}?{cursor}&support_type_scope=all&per_page={PAGE_TICKETS}"
            end = msgspec.json.decode(client.ask(name, target), type=_End)
            cursor = f"cursor={end.after_cursor}"
            found.pages, found.tickets = found.pages + 1, found.tickets + len(end.tickets)
            found.sent += sum(map(len, end.tickets))
            yield


def _run_all(works: Sequence[Callable[[], None]]) -> None:
    """Each in a thread; raises what any of them raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _database_cpu(pid: int) -> float:
    return cpu_seconds(pid) or 0.0


def _database_counts(url: str) -> tuple[float, float]:
    """Bytes of the log so far, and of what changes add to for good: the tables of records, but for their free space."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_current_wal_lsn() - '0/0', sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE oid IN ('ticketfeed.record'::regclass, 'ticketfeed.search_entry'::regclass)"
        ).fetchone()
        assert row is not None
        return float(row[0]), float(row[1])


def _postgres_bytes(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relnamespace = 'ticketfeed'::regnamespace AND relkind = 'r'"
        ).fetchone()
        assert row is not None
        return float(row[0])


def _connection_bytes(desk: _Desk) -> float:
    """The memory that a connection's process shares with no other, on average; 0 where that cannot be read."""
    sizes = []
    with psycopg.connect(desk.url, autocommit=True) as connection:
        sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        for (pid,) in connection.execute(sql).fetchall():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                sizes.append(sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_")))
    return sum(sizes) / len(sizes) if sizes else 0.0


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Four digits are more than was measured."""
    return {
        name: _rounded(value) if isinstance(value, dict) else float(f"{value:.4g}") for name, value in values.items()
    }
