"""The fragment cache: which fragment holds a position, what invalidates it, and where a page has to end."""

import asyncio
from unittest.mock import patch

import pytest

from tests.export.test_pages import Replicated
from tests.storage.contract import NOON, START, ManualClock, putting, ticket
from ticketfeed.export.assembly import AssembledPage, assemble_page
from ticketfeed.export.fragments import Fragment, FragmentCache, FragmentIndex
from ticketfeed.export.source import FeedReader
from ticketfeed.protocol.gzip_splice import PLAIN, Segment
from ticketfeed.protocol.model import Account, Filters, Position

SECOND = NOON - 500


def at(place: int) -> Position:
    return Position(place, 0)


def fragment(after: int, end: int) -> Fragment:
    return Fragment(at(after), at(end), Segment(1, 1, at(end), 1, 0, 1, b"x"))


def index_of(*ranges: tuple[int, int]) -> tuple[FragmentIndex, list[Fragment]]:
    index, fragments = FragmentIndex(PLAIN), [fragment(*each) for each in ranges]
    assert all(index.add(each) for each in fragments)
    return index, fragments


@pytest.mark.parametrize(
    ("place", "found", "next_after"),
    [(-1, None, 0), (0, 0, 5), (4, 0, 5), (5, 1, 12), (8, 1, 12), (9, None, 12), (12, 2, None), (15, None, None)],
)
def test_what_holds_a_position(place: int, found: int | None, next_after: int | None) -> None:
    """A fragment begins right after its `after` and holds its `end`, so that the page goes on behind it."""
    index, fragments = index_of((5, 9), (0, 5), (12, 15))
    fragments.sort(key=lambda each: each.after)
    assert index.find(at(place)) is (None if found is None else fragments[found])
    assert index.next_after(at(place)) == (None if next_after is None else at(next_after))


@pytest.mark.parametrize(
    ("after", "end", "fits"),
    [
        *((0, 5, True), (9, 12, True), (15, 20, True), (0, 6, False), (5, 9, False), (6, 8, False)),
        *((8, 12, False), (9, 13, False), (14, 20, False), (0, 20, False)),
    ],
)
def test_fragments_never_overlap(after: int, end: int, fits: bool) -> None:
    """One that would is not added: another request has cached that range meanwhile."""
    index, _ = index_of((5, 9), (12, 15))
    assert index.add(fragment(after, end)) is fits


@pytest.mark.parametrize(
    ("place", "valid"),
    [
        *((0, [True, True]), (1, [False, True]), (5, [False, True])),
        *((6, [True, False]), (9, [True, False]), (10, [True, True])),
    ],
)
def test_what_a_change_invalidates(place: int, valid: list[bool]) -> None:
    """The fragment that held the ticket, which may have been its last one."""
    index, fragments = index_of((0, 5), (5, 9))
    index.invalidate(at(place))
    assert [each.is_valid for each in fragments] == valid


class Reader:
    """Ten tickets, one a second, that are read through a cache of fragments of four."""

    def __init__(self) -> None:
        self.store = Replicated(ManualClock())
        self.cache = FragmentCache(self.store, 1 << 20)

    async def open(self) -> Account:
        self.account = await self.store.create_account("acme")
        drafts = [ticket(number, SECOND + number) for number in range(1, 11)]
        await self.store.write(self.account, putting(drafts, keep=True))
        return self.account

    async def read(self, limit: int, until: int = NOON) -> AssembledPage:
        await self.cache.refresh(self.account)
        reader = FeedReader(self.store, self.account, "tickets", Filters(), (), NOON, until)
        return await assemble_page(self.cache, reader, START, limit, PLAIN)


@pytest.mark.parametrize(
    ("limit", "until", "taken", "end_of_stream"),
    [
        (8, NOON, 8, False),
        (8, SECOND + 8, 8, True),
        (8, SECOND + 6, 6, True),
        (8, SECOND + 4, 4, True),
        (4, SECOND + 4, 4, True),
        (4, SECOND + 6, 4, False),
        (4, SECOND + 5, 4, False),
        (3, SECOND + 3, 3, True),
        (3, SECOND + 4, 3, False),
        (8, SECOND, 0, True),
    ],
)
def test_a_page_ends_at_until(limit: int, until: int, taken: int, end_of_stream: bool) -> None:
    """Also where a fragment, cached before the clock was set back, goes on behind it."""

    async def main() -> None:
        reader = Reader()
        await reader.open()
        await reader.read(8)
        page = await reader.read(limit, until)
        assert sum(segment.count for segment in page.segments) == taken
        assert (page.after, page.end_of_stream) == (Position(SECOND + taken, taken) if taken else START, end_of_stream)

    with patch.object(FragmentCache, "fragment_tickets", 4):
        asyncio.run(main())


def test_a_fence_invalidates_everything() -> None:
    """Its count of invalidations is more than the store has entries of, so nothing is known of what has changed."""

    async def main() -> None:
        reader = Reader()
        account = await reader.open()
        before = (await reader.read(8)).fragments
        assert [each is not None and each.is_valid for each in before] == [True, True]
        await reader.store.fence(account, 0)
        await reader.cache.refresh(account)
        assert [each is not None and each.is_valid for each in before] == [False, False]

    with patch.object(FragmentCache, "fragment_tickets", 4):
        asyncio.run(main())


def test_rows_of_a_replica_that_lags_are_not_cached() -> None:
    """They are served, but the invalidation of what has changed since has been applied, and will not come again."""

    async def main() -> None:
        reader = Reader()
        account = await reader.open()
        reader.store.copy_now()
        await reader.store.write(account, putting([ticket(3, subject="changed")]))
        for behind, end in ((True, 8), (False, 9)):
            reader.store.behind = behind
            page = await reader.read(8)
            assert page.after == Position(SECOND + end, end)
        assert sum(segment.count for segment in page.segments) == 8

    with patch.object(FragmentCache, "fragment_tickets", 4):
        asyncio.run(main())
