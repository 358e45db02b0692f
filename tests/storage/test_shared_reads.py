"""Reads of the same thing that wait at the same moment share one."""

import asyncio

import pytest

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.storage.shared_reads import SharedReads
from ticketfeed.storage.wait_budget import begin_waits, wait_deadline

ACME, OTHER = Account(1, "acme"), Account(2, "other")


class Source:
    """What is read: each read takes what is stored when it begins, and returns it when it may."""

    def __init__(self) -> None:
        self.stored, self.began = "old", list[tuple[Account, str]]()
        self.gate = asyncio.Event()
        self.reads = SharedReads(self._read)

    async def _read(self, account: Account, text: str) -> str:
        self.began.append((account, text))
        found = self.stored
        await self.gate.wait()
        if found == "away":
            raise StoreUnavailable(found)
        return found

    def ask(self, account: Account = ACME, text: str = "x") -> "asyncio.Task[str]":
        return asyncio.create_task(self.reads.read(account, text))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_shares_a_read() -> None:
    """Those who ask at once have one; who asks while it is under way has the next, which finds what changed before."""

    async def main() -> None:
        source = Source()
        first = [source.ask() for _ in range(3)]
        others = [source.ask(OTHER), source.ask(ACME, "y")]
        await turns()
        assert source.began == [(ACME, "x"), (OTHER, "x"), (ACME, "y")]
        source.stored = "new"
        later = [source.ask() for _ in range(3)]
        await turns()
        assert len(source.began) == 3
        source.gate.set()
        assert await asyncio.gather(*first, *others) == ["old"] * 5
        assert await asyncio.gather(*later) == ["new"] * 3
        assert len(source.began) == 4
        assert await source.ask() == "new"

    asyncio.run(main())


def test_a_caller_that_is_cancelled() -> None:
    """The others who share the read have its answer."""

    async def main() -> None:
        source = Source()
        callers = [source.ask() for _ in range(3)]
        await turns()
        callers[0].cancel()
        waiting = [source.ask() for _ in range(2)]
        await turns()
        waiting[0].cancel()
        source.gate.set()
        assert await asyncio.gather(*callers[1:], waiting[1]) == ["old"] * 3

    asyncio.run(main())


def test_reads_that_fail() -> None:
    """All who share one have its error; who waited for it in vain waits for the next one so much less."""

    async def main() -> None:
        source = Source()
        source.stored = "away"
        callers = [source.ask() for _ in range(2)]
        await turns()
        begin_waits()
        before = wait_deadline(5.0) - asyncio.get_running_loop().time()
        callers.append(source.ask())
        await turns()
        await asyncio.sleep(0.05)
        source.gate.set()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(each) for each in ended] == [StoreUnavailable] * 3
        assert wait_deadline(5.0) - asyncio.get_running_loop().time() < before - 0.04
        with pytest.raises(StoreUnavailable):
            await source.ask()
        source.stored = "back"
        assert await source.ask() == "back"

    asyncio.run(main())
