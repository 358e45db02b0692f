"""A cached page is the page that the store would return: under any writes, boundaries, filters and evictions."""

import asyncio
import copy
import gzip
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.postgres import PostgresServer
from tests.storage.contract import NOON, START, ManualClock, putting, ticket
from tests.waiting import SECONDS_MAX
from ticketfeed.export.assembly import assemble_page
from ticketfeed.export.fragment_file import SplicedBody
from ticketfeed.export.fragments import FragmentCache
from ticketfeed.export.source import FeedReader, read_page
from ticketfeed.protocol.envelope import encode_etag, encode_page, encode_segments_etag, page_frame
from ticketfeed.protocol.gzip_splice import GZIP, PLAIN, Coding
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.storage.contract import FeedRows, Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.sqlite.store import SqliteStore

URL = "http://acme.localhost/x"
IDS = st.integers(1, 30)
FILTERS = [Filters(support_type_scope="all"), Filters(True, "all"), Filters(support_type_scope="ai_agent")]
writes = st.tuples(st.just("write"), st.lists(IDS, min_size=1, max_size=4), st.sampled_from([0, 1, 3]))
reads = st.tuples(
    st.just("read"), st.integers(-1, 30), st.integers(1, 12), st.sampled_from(FILTERS), st.sampled_from([PLAIN, GZIP])
)
others = st.sampled_from([("fence",), ("close",)])
stories = st.lists(writes | reads | reads | others, max_size=40)


class Replicated(MemoryStore):
    """A store whose feed is read from a replica that stands still while `behind`."""

    behind = False

    def change_counter(self) -> int | None:
        return None

    def copy_now(self) -> None:
        self._copy = {key: held.snapshot() for key, held in copy.copy(self._data).items()}

    async def read_changes(self, account: Account, *asked: Any, **how: Any) -> tuple[FeedState, FeedRows]:
        if not self.behind:
            return await super().read_changes(account, *asked, **how)
        now, self._data = self._data, self._copy
        try:
            return await super().read_changes(account, *asked, **how)
        finally:
            self._data = now


def first_load() -> list[Any]:
    return [
        ticket(
            id,
            NOON - 500 + id // 2,
            status="deleted" if id % 5 == 0 else "open",
            support_type="ai_agent" if id % 3 == 0 else None,
        )
        for id in range(1, 31)
    ]


async def ask(
    cache: FragmentCache, store: Store, account: Account, request: ExportRequest, coding: Coding, now: int
) -> Any:
    reader = FeedReader(store, account, "tickets", request.filters, (), now, now)
    await cache.refresh(account)
    page = await assemble_page(cache, reader, request.after, request.page_limit, coding)
    head, tail = page_frame(page.after if page.segments else None, page.end_of_stream, URL, ())
    body = cache.file.read(SplicedBody(coding, head, page.segments, tail))
    if body is None:  # a part has been overwritten meanwhile: the server then reads the page from the store
        return page, None
    return page, gzip.decompress(body) if coding is GZIP else bytes(body)


@pytest.mark.parametrize("capacity", [1 << 20, 3000, 0], ids=["roomy", "tight", "none"])
@settings(max_examples=60, deadline=None)
@given(story=stories)
def test_the_same_page(capacity: int, story: list[tuple[Any, ...]]) -> None:
    """Body and tag equal those of the page read from the store at that moment, byte by byte."""

    async def main() -> None:
        clock = ManualClock()
        store = MemoryStore(clock)
        account, cache = await store.create_account("acme"), FragmentCache(store, capacity)
        await store.write(account, putting(first_load(), keep=True))
        for event, *how in story:
            if event == "write":
                clock.now += how[1]
                await store.write(account, putting([ticket(id, subject=str(clock.now)) for id in how[0]]))
            elif event == "fence":
                await store.fence(account, 0)
                clock.now += 1
            elif event == "close":
                clock.now += 2
                await store.close_newest(account)
            else:
                place, limit, filters, coding = how
                rows = (await store.read_changes(account, Position(0, -1), NOON * 2, 50, FILTERS[0], links=False))[1]
                after = position_of(rows[place]) if 0 <= place < len(rows) else Position(0, -1)
                request = ExportRequest(after, limit, filters, (), ())
                plain = await read_page(store, account, request, now=clock.now, settle_seconds=0)
                page, body = await ask(cache, store, account, request, coding, clock.now)
                assert body == encode_page(plain, URL, ()) or (body is None and capacity == 3000)
                assert page.after == plain.after
                tag = encode_segments_etag(page.segments, page.end_of_stream, "acme")
                assert tag == encode_etag(plain, "acme")

    with patch.object(FragmentCache, "fragment_tickets", 4):
        asyncio.run(main())


@settings(max_examples=80, deadline=None)
@given(st.lists(writes | st.sampled_from([("copy",), ("behind",), ("level",)]) | reads, max_size=60))
def test_nothing_is_missed_beside_a_replica_that_is_behind(story: list[tuple[Any, ...]]) -> None:
    """A reader that is served now from fresh, now from old rows, and from fragments made of both, ends with the latest
    state of every ticket."""

    async def main() -> None:
        clock = ManualClock()
        store = Replicated(clock)
        account, cache = await store.create_account("acme"), FragmentCache(store, 1 << 20)
        await store.write(account, putting(first_load(), keep=True))
        store.copy_now()
        seen: dict[int, int] = {}
        after = Position(0, -1)

        async def read(limit: int) -> bool:
            nonlocal after
            request = ExportRequest(after, limit, FILTERS[0], (), ())
            page, body = await ask(cache, store, account, request, PLAIN, clock.now)
            assert body is not None
            for part in body.split(b'"url"')[1:]:
                id = int(part.partition(b'"id":')[2].partition(b",")[0])
                seen[id] = int(part.partition(b'"generated_timestamp":')[2].partition(b",")[0])
            after = page.after
            return bool(page.end_of_stream)

        for event, *how in story:
            if event == "write":
                clock.now += how[1]
                await store.write(account, putting([ticket(id, subject=str(clock.now)) for id in how[0]]))
            elif event == "copy":
                store.copy_now()
            elif event == "read":
                await read(how[1])
            else:
                store.behind = event == "behind"
        store.behind = False
        clock.now += 5
        while not await read(7):
            pass
        rows = (await store.read_changes(account, Position(0, -1), NOON * 2, 50, FILTERS[0], links=False))[1]
        assert seen == {row.id: row.generated_timestamp for row in rows}

    with patch.object(FragmentCache, "fragment_tickets", 4):
        asyncio.run(main())


async def open_memory(_folder: Path, clock: ManualClock) -> Store:
    return MemoryStore(clock)


async def open_sqlite(folder: Path, clock: ManualClock) -> Store:
    return SqliteStore.open(folder / "t.db", clock)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest) -> Callable[[Path, ManualClock], Awaitable[Store]]:
    if request.param != "postgres":
        return open_memory if request.param == "memory" else open_sqlite
    server: PostgresServer = request.getfixturevalue("postgres")

    async def open_postgres(_folder: Path, clock: ManualClock) -> Store:
        return await PostgresStore.open(server.new_database(), clock)

    return open_postgres


async def read_both(
    cache: FragmentCache, store: Store, account: Account, asked: tuple[Any, ...], clock: ManualClock
) -> Position:
    """Read a page both ways, in bounded time, and compare them."""
    after, limit, filters, coding = asked
    request = ExportRequest(after, limit, filters, (), ())
    plain = await read_page(store, account, request, now=clock.now, settle_seconds=0)
    page, body = await asyncio.wait_for(ask(cache, store, account, request, coding, clock.now), SECONDS_MAX)
    assert body == encode_page(plain, URL, ())
    assert (page.after, page.end_of_stream) == (plain.after, plain.end_of_stream)
    return plain.after


clock_steps = st.tuples(st.just("clock"), st.sampled_from([-60, -3, -2, -1, 1, 2, 5]))
bursts = st.tuples(st.just("burst"), st.integers(1, 40))
starts = st.tuples(
    st.just("read"), st.integers(-5, 5), st.integers(1, 200), st.sampled_from(FILTERS), st.sampled_from([PLAIN, GZIP])
)
walks = st.tuples(st.just("walk"), st.integers(1, 200), st.sampled_from(FILTERS), st.sampled_from([PLAIN, GZIP]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(clock_steps | bursts | writes | starts | walks, min_size=5, max_size=20))
@example(
    story=[
        *[("burst", 40), ("clock", 1)] * 5,
        ("walk", 100, FILTERS[0], PLAIN),
        ("walk", 150, FILTERS[0], PLAIN),
        ("clock", -2),
        ("walk", 200, FILTERS[0], PLAIN),
    ]
)
def test_a_clock_that_goes_back(
    open_store: Callable[[Path, ManualClock], Awaitable[Store]], story: list[tuple[Any, ...]]
) -> None:
    """While pages are cached, the clock goes forwards and back: each page ends in bounded time, and is the page that
    the store gives at that moment."""

    async def main(folder: str) -> None:
        clock = ManualClock()
        store = await open_store(Path(folder), clock)
        try:
            account, cache = await store.create_account("acme"), FragmentCache(store, 1 << 20)
            ids = itertools.count(100)
            for event, *how in story:
                if event == "clock":
                    clock.now += how[0]
                elif event in ("burst", "write"):
                    numbers = itertools.islice(ids, how[0]) if event == "burst" else how[0]
                    drafts = [ticket(id, subject=str(clock.now)) for id in numbers]
                    await store.write(account, putting(drafts))
                elif event == "read":
                    await read_both(cache, store, account, (Position(clock.now + how[0], -1), *how[1:]), clock)
                else:
                    at, after = Position(-1, 0), START
                    while at != after:
                        at, after = after, await read_both(cache, store, account, (after, *how), clock)
        finally:
            await store.close()

    with tempfile.TemporaryDirectory(prefix="ticketfeed-") as folder:
        asyncio.run(main(folder))
