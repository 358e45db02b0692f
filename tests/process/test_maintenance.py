"""Maintenance of many accounts by many processes: one does it, and only where something is due."""

import asyncio
import contextlib
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from tests.process.maintainer import LEASE_SECONDS
from tests.storage.contract import NOON, ManualClock, putting, ticket
from tests.waiting import SECONDS_MAX, until
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server.ops import maintenance as module
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.maintenance import Maintenance
from ticketfeed.settings import Settings
from ticketfeed.storage import account_batches, open_store
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.account_size import AccountQuota
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.writing.jobs import start_job

ENGINES = ["sqlite", "postgres"]
DAY = 86400


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/t.db"
    return str(request.getfixturevalue("postgres").new_database())


@contextlib.contextmanager
def maintainers(url: str, count: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    command = [sys.executable, "-m", "tests.process.maintainer", url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def rounds(
    processes: Sequence["subprocess.Popen[bytes]"],
    *,
    seconds: float = SECONDS_MAX,
    until: Callable[[list[bytes]], bool] = lambda _written: False,
) -> list[int]:
    """How many rounds each of them does in these seconds, or until this holds of what they have written."""
    written, deadline = [b""] * len(processes), time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for number, process in enumerate(processes):
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ, number)
        while (left := deadline - time.monotonic()) > 0 and not until(written):
            for key, _ in selector.select(left):
                written[key.data] += key.fileobj.read(4096)  # type: ignore[union-attr]
    return [text.count(b"round") for text in written]


def three_rounds(written: list[bytes]) -> bool:
    return max(text.count(b"round") for text in written) >= 3


def all_started(written: list[bytes]) -> bool:
    return all(b"started" in text for text in written) and three_rounds(written)


def move_leases(url: str, seconds: float) -> None:
    """Have all leases end so many seconds later."""
    sql = f"UPDATE {{}}lease SET ends_at = ends_at + {seconds}"
    if url.startswith("sqlite"):
        with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:///") + "-sidecar")) as connection:
            connection.set_busy_timeout(round(1000 * SECONDS_MAX))
            connection.execute(sql.format(""))
    else:
        with psycopg.connect(url) as postgres:
            postgres.execute(sql.format("ticketfeed.").encode())


@pytest.mark.parametrize("url", ENGINES, indirect=True)
def test_one_process_of_all(url: str) -> None:
    """Of three processes one does all rounds, whatever they ask of the store; when it is killed another goes on, once
    the lease is over, and no sooner."""
    asyncio.run(make_accounts(url, 3))
    with maintainers(url, 3) as processes:
        counts = rounds(processes, until=all_started)
        assert sum(map(bool, counts)) == 1
        again = rounds(processes, until=three_rounds)
        assert (sum(map(bool, again)), again.index(max(again))) == (1, counts.index(max(counts)))
        holder = processes.pop(counts.index(max(counts)))
        holder.kill()
        holder.wait()
        assert sum(rounds(processes, seconds=0.5)) == 0
        move_leases(url, -LEASE_SECONDS)
        for _ in range(2):
            assert sum(map(bool, rounds(processes, until=three_rounds))) == 1
        assert holder.stdout is not None
        holder.stdout.close()


async def make_accounts(url: str, count: int) -> None:
    store = await open_store(url)
    for number in range(count):
        await store.create_account(f"account{number}")
    await store.close()


@pytest.mark.parametrize("url", ENGINES, indirect=True)
def test_a_lease_of_a_clock_that_was_ahead(url: str) -> None:
    """One that ends later than any lease can is nobody's, so that a clock that was put back ends no maintenance."""

    async def main() -> None:
        store = await open_store(url)
        assert await store.take_lease("a", "ahead", 30)
        move_leases(url, 3600)
        assert await store.take_lease("a", "other", 30)
        assert not await store.take_lease("a", "ahead", 30)
        await store.close()

    asyncio.run(main())


def made(store: Store, settings: Settings, now: int) -> tuple[Maintenance, Jobs]:
    jobs = Jobs(store)
    return Maintenance(store, settings, lambda _account: now, jobs), jobs


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_only_what_is_due_is_written(engine: str, tmp_path: Path) -> None:
    """Of many accounts a round writes those in which something is due, and asks for all of them at once; the next one
    writes none. Deleted tickets are scrubbed once, and jobs that nobody does are picked up."""

    async def main() -> None:
        clock = ManualClock()
        store = await open_store("memory:" if engine == "memory" else f"sqlite:///{tmp_path}/t.db", clock)
        accounts = [await store.create_account(f"account{number}") for number in range(30)]
        solved, deleted, working, *_ = accounts
        await store.write(solved, putting([ticket(1, status="solved")]))
        await store.write(deleted, putting([ticket(1, status="deleted"), ticket(2, status="deleted")]))
        items = [b'{"values":{"comment":"one"}}']
        await store.write(working, lambda write: start_job(write, "V3-1", 1, "create tickets", items))
        settings = Settings(close_solved_days=4, scrub_deleted_days=30)
        written, asked = count_calls(store)

        async def after(days: int) -> set[str]:
            written.clear()
            asked.clear()
            clock.now += days * DAY
            maintenance, jobs = made(store, settings, clock.now)
            await maintenance.run_round()
            await jobs.wait()
            assert len(asked) <= 5
            return {account.subdomain for account in written}

        assert await after(0) == set()
        assert await after(1) == {working.subdomain}  # its job
        assert await after(3) == {solved.subdomain, working.subdomain}  # the finished job is forgotten
        assert await after(0) == set()
        assert await after(26) == {deleted.subdomain}
        assert await after(0) == set()
        assert await after(30) == {deleted.subdomain}  # tickets that were scrubbed then are seen once more
        assert await after(1) == set()
        bodies = [row.body for row in await store.read_tickets(deleted, [1, 2])]
        assert all(b"SCRUBBED" in body for body in bodies)
        await store.close()

    asyncio.run(main())


def count_calls(store: Any) -> tuple[list[Account], list[str]]:
    """The accounts that are written from now on, and the names of what is asked of many."""
    written, asked = list[Account](), list[str]()
    write = store.write

    async def counted(account: Account, work: Any, **options: Any) -> Any:
        written.append(account)
        return await write(account, work, **options)

    store.write = counted
    for name in ("list_shards", "find_expired", "find_aged", "find_open_jobs"):
        setattr(store, name, partial(_ask, asked, name, getattr(store, name)))
    return written, asked


async def _ask(asked: list[str], name: str, call: Any, *arguments: Any) -> Any:
    asked.append(name)
    return await call(*arguments)


def test_what_fails_for_one_account(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with one, the others are maintained, in this round and in the next."""

    async def main() -> None:
        store, settings = MemoryStore(ManualClock()), Settings(close_solved_days=4)
        accounts = [await store.create_account(name) for name in ("bad", "worse", "good")]
        for account in accounts:
            await store.write(account, putting([ticket(1, status="solved")]))
        write = store.write

        async def broken(account: Account, work: Any, **options: Any) -> Any:
            if account == accounts[0]:
                raise StoreUnavailable("away")
            return await write(account, (lambda _write: 1 // 0) if account == accounts[1] else work, **options)

        store.write = broken  # type: ignore[method-assign]
        maintenance, _ = made(store, settings, NOON + 5 * DAY)
        for _ in range(2):
            await maintenance.run_round()
            assert await store.find_aged(accounts, "solved", NOON + DAY) == {1, 2}
            assert maintenance._unreachable == {*accounts[:2]}
        store.write = write  # type: ignore[method-assign]
        await maintenance.run_round()
        assert await store.find_aged(accounts, "solved", NOON + DAY) == set()
        assert maintenance._unreachable == set()

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records if "bad" in record.getMessage()] == [
        "maintenance of bad failed, retrying: away"
    ]


@pytest.mark.parametrize(
    ("bad", "reached", "calls"),
    [
        (set(), 60, 3),
        ({3}, 59, 3 + 20),
        ({3, 25, 26, 27}, 56, 3 + 40),
        (set(range(20, 60)), 20, 3 + 2 * 4),
    ],
)
def test_accounts_out_of_reach(monkeypatch: pytest.MonkeyPatch, bad: set[int], reached: int, calls: int) -> None:
    """All others are read; of a shard that is away only a few are tried."""
    monkeypatch.setattr(account_batches, "BATCH", 20)
    accounts, asked = [Account(number, f"account{number}") for number in range(60)], list[int]()

    async def read(some: Sequence[Account]) -> list[int]:
        asked.append(len(some))
        if any(account.account_id in bad for account in some):
            raise StoreError("damaged") if len(bad) == 1 else StoreUnavailable("away")
        return [account.account_id for account in some]

    shards = [accounts[start : start + 20] for start in (0, 20, 40)]
    found, away = asyncio.run(read_in_batches(shards, read))
    assert (len(found), {account.account_id for account in away}) == (reached, bad)
    assert len(asked) == calls
    assert {*found}.isdisjoint(bad)


def test_all_processes_know_which_accounts_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the one with the lease finds, the others read; if an account cannot be reached, it stays as it was. A server
    that ends gives the lease to the next at once."""
    for name in ("QUOTA_SECONDS", "RENEW_SECONDS", "MAINTENANCE_SECONDS"):
        monkeypatch.setattr(module, name, 0.02)

    async def main() -> None:
        store = MemoryStore(ManualClock())
        full, other = await store.create_account("full"), await store.create_account("other")
        both = [made(store, Settings(), NOON)[0] for _ in range(2)]

        async def until_both(expected: set[int]) -> None:
            await until(lambda: all(each.full_accounts == expected for each in both))

        async def put(account: Account, tickets_max: int | None) -> None:
            await store.write(account, lambda write: write.put_quota(AccountQuota(tickets_max)))

        for each in both:
            each.start()
        await until_both(set())
        await put(full, 0)
        await until_both({full.account_id})
        find_full = store.find_full

        async def away(accounts: Sequence[Account] | None = None) -> set[int]:
            if accounts is None or full in accounts:
                raise StoreUnavailable("away")
            return await find_full(accounts)

        store.find_full = away  # type: ignore[method-assign]
        await put(other, 0)
        await until_both({full.account_id, other.account_id})
        store.find_full = find_full  # type: ignore[method-assign]
        await put(full, None)
        await until_both({other.account_id})
        holder, heir = sorted(both, key=lambda each: not each._lease.is_held)
        assert (holder._lease.is_held, heir._lease.is_held) == (True, False)
        await holder.stop()
        await until(lambda: heir._lease.is_held)
        await heir.stop()

    asyncio.run(main())
