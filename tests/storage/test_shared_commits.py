"""Writes that share a transaction on PostgreSQL: each by itself to whoever called, in few round trips."""

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ManualClock, putting, ticket
from ticketfeed.protocol.errors import BadInput, StoreUnavailable
from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.protocol.ticket_input import NEW_TICKET
from ticketfeed.storage.connection_limits import ConnectionLimits, Prepared
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

Work = Callable[[WriteTransaction], object]
Scenario = Callable[[PostgresStore, Account], Awaitable[None]]


def run(postgres: PostgresServer, scenario: Scenario, *, prepared: Prepared = "auto") -> None:
    async def main() -> None:
        limits = ConnectionLimits(prepared=prepared)
        store = await PostgresStore.open(postgres.new_database(), ManualClock(), connections=limits)
        await scenario(store, await store.create_account("acme"))
        await store.close()

    asyncio.run(main())


async def write_together(store: PostgresStore, account: Account, works: Sequence[Work]) -> list["asyncio.Task[object]"]:
    """Tasks of writes that are queued, in this order, while another one runs."""
    is_running, is_queued = threading.Event(), threading.Event()

    def wait(_write: WriteTransaction) -> None:
        is_running.set()
        assert is_queued.wait(30)

    first = asyncio.create_task(store.write(account, wait))
    assert await asyncio.to_thread(is_running.wait, 30)
    tasks = [asyncio.create_task(store.write(account, work)) for work in works]
    await asyncio.sleep(0)
    is_queued.set()
    await first
    return tasks


def failing(sql: str) -> Work:
    """A work with a statement of its own, whose error comes later, as nobody asks for a result."""

    def work(write: WriteTransaction) -> None:
        write.put_tickets([ticket(99)])
        write._session.run(sql, {})  # type: ignore[attr-defined]

    return work


def refused(_write: WriteTransaction) -> None:
    raise BadInput("refused")


def make_ticket(write: WriteTransaction) -> int:
    """As POST /tickets does."""
    new = NEW_TICKET.parse_body(b'{"ticket":{"subject":"x","comment":{"body":"words of it"}}}')
    return TicketWriter(write, "acme", Identity(1, "", "admin")).create(new).draft.id


@pytest.mark.parametrize("prepared", ["never", "auto"])
def test_which_write_gets_which_error(postgres: PostgresServer, prepared: Prepared) -> None:
    """A statement that fails is the error of the write that sent it alone, and that write leaves nothing."""

    async def scenario(store: PostgresStore, account: Account) -> None:
        for _ in range(8 if prepared == "auto" else 1):  # until statements are prepared
            works = [putting([ticket(1)]), refused, failing("SELECT 1/0"), putting([ticket(2)])]
            ended = await asyncio.gather(*await write_together(store, account, works), return_exceptions=True)
            assert [type(each) for each in ended] == [int, BadInput, StoreUnavailable, int]
            assert "division by zero" in str(ended[2])
        assert [row.id for row in await store.read_tickets(account, [1, 2, 99])] == [1, 2]
        assert (await store.read_state(account)).ticket_count == 2

    run(postgres, scenario, prepared=prepared)


def test_an_error_that_a_work_hides(postgres: PostgresServer) -> None:
    """A write whose transaction was rolled back is never told that it was stored, alone or in a group."""

    def fail_unseen(write: WriteTransaction) -> None:
        with contextlib.suppress(psycopg.Error):
            write._session.fetch("SELECT 1/0", {})  # type: ignore[attr-defined]
        with contextlib.suppress(psycopg.Error):
            write._session.sync()  # type: ignore[attr-defined]

    def hides(write: WriteTransaction) -> None:
        write.put_tickets([ticket(99)])
        fail_unseen(write)

    def hides_what_counts_nothing(write: WriteTransaction) -> None:
        write.put_idempotent_answer("key", IdempotentAnswer("print", 1, 201, None, b"{}"))
        fail_unseen(write)

    async def scenario(store: PostgresStore, account: Account) -> None:
        works = [hides, putting([ticket(1)])]
        ended = await asyncio.gather(*await write_together(store, account, works), return_exceptions=True)
        assert [type(each) for each in ended] == [StoreUnavailable, int]
        for work in (hides, hides_what_counts_nothing):
            with pytest.raises(StoreUnavailable):
                await store.write(account, work)
        assert (await store.read_state(account)).ticket_count == 1
        assert await store.write(account, lambda write: write.find_idempotent_answer("key")) is None

    run(postgres, scenario)


def test_a_connection_that_is_lost(postgres: PostgresServer) -> None:
    """All writes of the group fail, and nothing of them is stored; later ones have another connection."""

    async def scenario(store: PostgresStore, account: Account) -> None:
        works = [putting([ticket(1)]), failing("SELECT pg_terminate_backend(pg_backend_pid())"), refused]
        ended = await asyncio.gather(*await write_together(store, account, works), return_exceptions=True)
        assert [type(each) for each in ended] == [StoreUnavailable, StoreUnavailable, BadInput]
        assert (await store.read_state(account)).ticket_count == 0
        await store.write(account, putting([ticket(1)]))

    run(postgres, scenario)


def test_a_lock_that_is_met_after_the_row(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that meet a lock of somebody else behind the row wait as long as for the row, once, and are stored once
    if it ends in time; a long work, which cannot be run again, is refused after as long."""
    for module in ("store", "writer"):
        monkeypatch.setattr(f"ticketfeed.storage.postgres.{module}.WAIT_SECONDS", 2.0)

    async def scenario(store: PostgresStore, account: Account) -> None:
        async def write(ids: Sequence[int], *, exclusive: bool = False) -> tuple[type, float]:
            began = time.monotonic()
            try:
                value: object = await store.write(account, putting([ticket(id) for id in ids]), exclusive=exclusive)
            except StoreUnavailable as error:
                value = error
            return type(value), time.monotonic() - began

        for expected in (int, StoreUnavailable):
            for exclusive in (False, True):
                with psycopg.connect(store._writers.pool.conninfo) as stranger:
                    stranger.execute("LOCK TABLE ticketfeed.ticket IN SHARE MODE")
                    tasks = [asyncio.create_task(write([id], exclusive=exclusive)) for id in (1, 2, 2)]
                    await asyncio.sleep(0.9)
                    tasks.append(asyncio.create_task(write([1, 2], exclusive=exclusive)))
                    if expected is int:
                        await asyncio.sleep(0.5)
                    elif exclusive:  # these run one after the other
                        await asyncio.wait(tasks[:3], return_when=asyncio.FIRST_COMPLETED)
                    else:
                        await asyncio.wait(tasks[:3])
                ended = await asyncio.gather(*tasks)
                if exclusive and expected is StoreUnavailable:
                    assert StoreUnavailable in {kind for kind, _ in ended[:3]}, ended
                else:
                    assert {kind for kind, _ in ended[:3]} == {expected}, ended
                assert ended[3][0] is int, ended
                assert all(seconds < 2.9 for _, seconds in ended), ended
                assert (await store.read_state(account)).ticket_count == 2
        assert store._writer._queues == {}

    run(postgres, scenario)


def test_statistics_that_others_make(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write of many entries does not wait for another account's, which makes statistics until its commit."""
    monkeypatch.setattr("ticketfeed.storage.postgres.transaction._ANALYZED_ENTRIES", 1)

    async def scenario(store: PostgresStore, account: Account) -> None:
        with psycopg.connect(store._writers.pool.conninfo) as other:
            other.execute("ANALYZE ticketfeed.search_entry")
            began = time.monotonic()
            assert await store.write(account, make_ticket)
            assert time.monotonic() - began < 0.9
            other.rollback()
        await store.write(account, make_ticket)
        with psycopg.connect(store._writers.pool.conninfo) as other:
            counted = other.execute("SELECT reltuples FROM pg_class WHERE relname = 'search_entry'").fetchone()
            assert counted
            assert counted[0] > 0

    run(postgres, scenario)


def test_callers_that_are_cancelled(postgres: PostgresServer) -> None:
    """One that waits writes nothing; the others are not disturbed, and are told in time when the row is locked."""

    async def scenario(store: PostgresStore, account: Account) -> None:
        with psycopg.connect(store._writers.pool.conninfo) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state FOR UPDATE")
            tasks = [asyncio.create_task(store.write(account, putting([ticket(id)]))) for id in range(1, 6)]
            await asyncio.sleep(0.2)
            tasks[0].cancel()
            tasks[2].cancel()
            await asyncio.sleep(0)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError, int, asyncio.CancelledError, int, int]
        assert [row.id for row in await store.read_tickets(account, [1, 2, 3, 4, 5])] == [2, 4, 5]

    run(postgres, scenario)


def test_round_trips(postgres: PostgresServer, tmp_path: Path) -> None:
    """To make one ticket takes five, and to make fifty at once hardly more, as the server's own protocol shows."""

    async def scenario(store: PostgresStore, account: Account) -> None:
        assert await store.write(account, make_ticket) == 1
        trips = {}
        for count in (1, 50):
            file = tmp_path / f"{count}.txt"
            with file.open("w") as trace:
                with store._writers.pool.connection() as connection:  # the only one there is
                    connection.pgconn.trace(trace.fileno())
                ids = await asyncio.gather(*(store.write(account, make_ticket) for _ in range(count)))
                with store._writers.pool.connection() as connection:
                    connection.pgconn.untrace()
            assert ids == list(range(ids[0], ids[0] + count))
            sent = re.findall(r"\tF\t\d+\t(\w+)", file.read_text("utf-8"))
            trips[count] = sent.count("Sync") + sent.count("Flush") - 1  # the end of a pipeline is both
            assert "Query" not in sent
        assert trips[1] <= 5, trips
        assert trips[50] <= 12, trips  # the first ticket may have a transaction of its own

    run(postgres, scenario)
