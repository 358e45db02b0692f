"""While a write is in flight nobody waits for it: not the closer, not a reader, not a process that opens the store."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest

from tests.storage.contract import NOON, ManualClock, putting, ticket
from ticketfeed.export.source import read_page
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.protocol.query import parse_export_request
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction

# The write stands still until it is told to go on, so whoever waits for it waits for ever.
SECONDS_MAX = 30.0

Scenario = Callable[[Store, Account, ManualClock], Awaitable[None]]


def _in_flight(url: str, give_up: bool, scenario: Scenario) -> FeedState:
    """Run the scenario while a write stands in its transaction; the account row when all is over."""
    release, has_put = threading.Event(), threading.Event()

    def work(transaction: WriteTransaction) -> None:
        transaction.put_tickets([ticket(2)])
        has_put.set()
        release.wait(SECONDS_MAX * 4)

    async def main() -> FeedState:
        clock = ManualClock()
        store = await open_store(url, clock)
        try:
            account = await store.create_account("acme")
            await store.write(account, putting([ticket(1)]))
            clock.now += 1
            writing = asyncio.create_task(store.write(account, work))
            assert await asyncio.to_thread(has_put.wait, SECONDS_MAX)
            if give_up:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            try:
                await asyncio.wait_for(scenario(store, account, clock), SECONDS_MAX)
            finally:
                release.set()
            await asyncio.gather(writing, return_exceptions=True)
            await store.write(account, putting([ticket(3)]))
            return await store.read_state(account)
        finally:
            release.set()
            await store.close()

    return asyncio.run(main())


@pytest.mark.parametrize("give_up", [False, True], ids=["awaited", "given-up"])
def test_nobody_waits(url: str, give_up: bool) -> None:
    """The closer says False and a page ends at the watermark, also when the writer's caller has given up waiting."""

    async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
        before = await store.read_state(account)
        assert before == FeedState(NOON, NOON - 1, 1)
        assert not await store.close_newest(account)
        request = parse_export_request({"start_time": "0"}, now=clock.now, start_time_margin_seconds=0)
        page = await read_page(store, account, request, now=clock.now, settle_seconds=0)
        assert (list(page.rows), page.end_of_stream) == ([], True)
        assert await store.read_state(account) == before

    state = _in_flight(url, give_up, scenario)
    assert state.ticket_count in ((2, 3) if give_up else (3,))


def test_a_store_is_opened(url: str) -> None:
    """Another process opens the store, reads it and is refused to close, all while the write goes on."""

    async def scenario(_store: Store, account: Account, clock: ManualClock) -> None:
        other = await open_store(url, clock, create=False)
        assert await other.list_accounts() == [account]
        assert not await other.close_newest(account)
        await other.close()

    assert _in_flight(url, False, scenario).ticket_count == 3


def test_many_writes_wait(url: str) -> None:
    """However many writes wait in one process, its readers and its closer do not."""

    async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
        waiting = [asyncio.create_task(store.write(account, _nothing)) for _ in range(30)]
        await asyncio.sleep(0.2)
        assert not await store.close_newest(account)
        request = parse_export_request({"start_time": "0"}, now=clock.now, start_time_margin_seconds=0)
        assert (await read_page(store, account, request, now=clock.now, settle_seconds=0)).end_of_stream
        for task in waiting:
            task.cancel()

    assert _in_flight(url, False, scenario).ticket_count == 3


def _nothing(_transaction: WriteTransaction) -> None:
    return None


def test_a_file_that_another_process_makes(tmp_path: Path) -> None:
    """A store that another process is just making is waited for, and then opened."""
    path = tmp_path / "t.db"
    maker = apsw.Connection(str(path))
    maker.execute("BEGIN IMMEDIATE; CREATE TABLE made (x)")
    giving_up = threading.Timer(0.3, maker.execute, ("ROLLBACK",))
    giving_up.start()
    store = SqliteStore.open(path, ManualClock(), busy_seconds=SECONDS_MAX)
    giving_up.join()
    maker.close()
    assert asyncio.run(store.list_accounts()) == []
    asyncio.run(store.close())
