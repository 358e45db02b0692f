"""Slots are shared by accounts so that those which wait take nothing from those which do not."""

import asyncio
import time

import pytest

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage import shares
from ticketfeed.storage.shares import AccountSlots, Slot

HOUR = 3600.0


@pytest.fixture(autouse=True)
def _slow_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is slow because the machine is: only once the test lets an hour pass."""
    monkeypatch.setattr(shares, "SLOW_SECONDS", HOUR)


async def let_an_hour_pass() -> None:
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + HOUR  # type: ignore[method-assign]
    for _ in range(2):
        await asyncio.sleep(0)


async def take(slots: AccountSlots, account_id: int, seconds: float = 0.0) -> Slot | None:
    try:
        return await slots.take(account_id, time.monotonic() + seconds)
    except StoreUnavailable:
        return None


async def taken(slots: AccountSlots, account_id: int, count: int) -> list[Slot]:
    """As many of so many slots as can be had at once."""
    return [slot for _ in range(count) if (slot := await take(slots, account_id))]


def test_shares() -> None:
    """An account gets its share, all together the count; what is given back is there for those who wait, in turn."""

    async def main() -> None:
        slots = AccountSlots(3, 2, 0)
        first = await taken(slots, 1, 5)
        second = await taken(slots, 2, 5)
        assert (len(first), len(second)) == (2, 1)
        waiting = [asyncio.create_task(take(slots, account_id, 5.0)) for account_id in (1, 1, 2, 3)]
        await asyncio.sleep(0)
        for slot in (*first, *second):
            slot.release()
            await asyncio.sleep(0)
        done = [task.done() for task in waiting]
        assert done == [True, False, True, True]
        waiting[1].cancel()

    asyncio.run(main())


def test_slow_accounts() -> None:
    """However many accounts hold their slots for long, another one gets some; and those that failed get few."""

    async def main() -> None:
        slots = AccountSlots(4, 2, 4)
        held = [slot for account_id in range(1, 5) for slot in await taken(slots, account_id, 5)]
        assert len(held) == 4
        assert await take(slots, 9) is None
        await let_an_hour_pass()
        healthy = await taken(slots, 9, 5)
        assert len(healthy) == 2
        for slot in held:
            slot.has_failed = True
            slot.release()
        again = [slot for account_id in (1, 2) for slot in await taken(slots, account_id, 5)]
        more = [slot for account_id in (3, 4) for slot in await taken(slots, account_id, 5)]
        assert (len(again), len(more)) == (2, 2), "half of the four, and what is left to accounts that did not fail"
        again[0].release()
        healthy[0].release()
        assert await taken(slots, 1, 5) != []

    asyncio.run(main())


def test_an_account_that_failed() -> None:
    """An account that failed gets a slot again, however few there are for slow ones."""

    async def main() -> None:
        slots = AccountSlots(1, 1, 1)
        slot = await slots.take(1, time.monotonic())
        slot.has_failed = True
        slot.release()
        assert await take(slots, 1) is not None

    asyncio.run(main())


def test_a_slot_of_several() -> None:
    """A slot is free when the last of its holders has released it; one who gives up waiting takes none."""

    async def main() -> None:
        slots = AccountSlots(1, 1, 0)
        slot = await slots.take(1, time.monotonic())
        slot.hold()
        slot.release()
        with pytest.raises(StoreUnavailable, match="others of the same account"):
            await slots.take(1, time.monotonic() + 0.01)
        waiting = asyncio.create_task(slots.take(1, time.monotonic() + 5))
        await asyncio.sleep(0)
        waiting.cancel()
        slot.release()
        await asyncio.sleep(0)
        (await slots.take(1, time.monotonic())).release()
        assert slots._lines == {}

    asyncio.run(main())


def test_accounts_of_a_server_that_hangs() -> None:
    """However many accounts it has, they hold half of the slots for what takes long, also of those that never failed;
    and once these were given up in vain, nobody waits for it. Others that failed get theirs all the same."""

    async def main() -> None:
        slots = AccountSlots(4, 2, 4, lambda account_id: account_id // 100 or None)
        held = [slot for account_id in (101, 102) for slot in await taken(slots, account_id, 1)]
        await let_an_hour_pass()
        assert [await take(slots, account_id) for account_id in (101, 103, 104)] == [None, None, None]
        assert len([slot for account_id in (201, 202, 1, 2) for slot in await taken(slots, account_id, 1)]) == 4
        for slot in held:
            slot.abandon()
            slot.abandon()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="the server that has the account does not answer"):
            await slots.take(105, started + 5)
        assert time.monotonic() - started < 1
        for slot in held:
            slot.release()
            slot.abandon()
        again = [slot for account_id in (103, 104) for slot in await taken(slots, account_id, 1)]
        assert not again, "others use what is free"
        assert slots._hanging.total() == 0

    asyncio.run(main())


def test_accounts_that_failed_beside_a_server_that_hangs() -> None:
    """They get a slot again."""

    async def main() -> None:
        slots = AccountSlots(4, 2, 4, lambda account_id: account_id // 100 or None)
        (failed,) = await taken(slots, 201, 1)
        failed.has_failed = True
        failed.release()
        held = [slot for account_id in (101, 102) for slot in await taken(slots, account_id, 1)]
        await let_an_hour_pass()
        assert await take(slots, 201) is None, "half are in use for long, of accounts that may be answered"
        for slot in held:
            slot.abandon()
        assert await take(slots, 201) is not None

    asyncio.run(main())


def test_an_account_whose_share_hangs() -> None:
    """Nobody waits for it until one of its slots is free."""

    async def main() -> None:
        slots = AccountSlots(4, 2, 0)
        held = await taken(slots, 1, 2)
        for slot in held:
            slot.abandon()
        started = time.monotonic()
        assert await take(slots, 1, 5.0) is None
        assert time.monotonic() - started < 1
        held[0].release()
        assert await take(slots, 1) is not None

    asyncio.run(main())
