"""The feed: what a reader does at the end, and what it tells."""

import asyncio

import pytest

from tests.storage.contract import NOON, START, ManualClock, putting, ticket, user
from ticketfeed.export.source import read_page
from ticketfeed.protocol.model import Filters
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.storage.memory import MemoryStore

ASKED = ExportRequest(START, 10, Filters(), (), ())


def test_a_reader_at_the_end_has_the_second_closed() -> None:
    """A page that reaches the end closes the newest second once it is over, and holds it."""

    async def main() -> None:
        store = MemoryStore(clock := ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        for step, expected in ((0, []), (1, [1]), (0, [1])):
            clock.now += step
            page = await read_page(store, account, ASKED, now=clock.now, settle_seconds=0)
            assert [row.id for row in page.rows] == expected
            assert page.end_of_stream

    asyncio.run(main())


def test_records_are_read_while_their_newest_second_lasts() -> None:
    """A page of records has every second that is over closed, also while the newest one lasts."""

    async def main() -> None:
        store = MemoryStore(clock := ManualClock())
        account = await store.create_account("acme")
        users = [user(1, updated_at="2023-11-14T21:13:20Z"), user(2, updated_at="2023-11-14T22:13:20Z")]
        await store.write(account, lambda write: write.put_records(users))
        for now, expected in ((NOON, [1]), (NOON + 1, [1, 2])):
            clock.now = now
            page = await read_page(store, account, ASKED, now=now, settle_seconds=0, kind="users")
            assert [row.id for row in page.rows] == expected

    asyncio.run(main())


def test_settle_seconds_hold_a_page_back() -> None:
    """A page ends settle_seconds before now, whatever is closed."""

    async def main() -> None:
        store = MemoryStore(ManualClock())
        account = await store.create_account("acme")
        await store.write(
            account, putting([ticket(1, NOON - 100), ticket(2, NOON - 60), ticket(3, NOON - 59)], keep=True)
        )
        page = await read_page(store, account, ASKED, now=NOON, settle_seconds=60)
        assert [row.id for row in page.rows] == [1, 2]
        assert page.end_of_stream

    asyncio.run(main())


def test_a_clock_that_is_behind_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A clock far behind the newest change is told in the log, once however many pages are read."""

    async def main() -> None:
        store = MemoryStore(ManualClock())
        account = await store.create_account("late")
        await store.write(account, putting([ticket(1)]))
        for now in (NOON - 3, NOON - 3600, NOON - 3599, NOON - 3598):
            await read_page(store, account, ASKED, now=now, settle_seconds=0)

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "the newest change of account late is 3600 seconds ahead of the clock, which was set back, or it was fenced"
    ]
