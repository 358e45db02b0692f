"""Reads that several watchers share: one at a time, kept for a moment, never waited for longer than a second."""

import asyncio

import pytest

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.server import recent_reads
from ticketfeed.server.recent_reads import RecentReads


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """No store is read here."""


class Counted:
    """A read whose result is how often it ran. It takes until `may_end` is set, where that is cleared."""

    def __init__(self) -> None:
        self.count, self.may_end = 0, asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> int:
        self.count += 1
        count = self.count
        await asyncio.sleep(0)
        await self.may_end.wait()
        return count


class Clock:
    """In place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_reads_are_shared_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks meanwhile, and a moment later, gets the same result; other keys, and later askers, another one."""
    clock = Clock()
    monkeypatch.setattr(recent_reads, "time", clock)
    monkeypatch.setattr(recent_reads, "KEEP_SECONDS", 0.2)

    async def main() -> None:
        reads, read, other = RecentReads(), Counted(), Counted()
        assert await asyncio.gather(*(reads.get("a", read) for _ in range(5))) == [1] * 5
        clock.now += 0.15
        assert await reads.get("a", read) == 1
        assert await reads.get("b", other) == 1
        clock.now += 0.1
        assert await reads.get("a", read) == 2

    asyncio.run(main())


def test_a_read_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older result serves, if it is not too old; else there is none. The read goes on, and serves those who ask
    later. What it raises is raised, and the next asker tries again."""
    monkeypatch.setattr(recent_reads, "WAIT_SECONDS", 0.1)

    async def main() -> None:
        reads, read = RecentReads(), Counted()
        read.may_end.clear()
        with pytest.raises(StoreUnavailable, match="not answered within"):
            await reads.get("a", read)
        read.may_end.set()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        read.may_end.clear()
        assert await reads.get("a", read, keep=lambda _seconds: 0.0) == 1
        with pytest.raises(StoreUnavailable, match="not answered within"):
            await reads.get("a", read, stale_seconds=0.0)
        assert read.count == 2

        async def failing() -> int:
            raise StoreUnavailable("away")

        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="away"):
                await reads.get("b", failing)
        assert await reads.get("b", Counted()) == 1

    asyncio.run(main())
