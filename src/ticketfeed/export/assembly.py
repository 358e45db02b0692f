"""Assembles a page from fragments: cached ones where there are any, and rows of the store, encoded, where not.

The tickets are those that `read_page` would have returned, but not all as of one instant: each fragment has the content
of its range at the time of the request or later. All ranges are closed, so no ticket can be missing.
"""

from dataclasses import dataclass

from ticketfeed.export.fragments import Fragment, FragmentCache, FragmentIndex
from ticketfeed.export.source import FeedReader
from ticketfeed.protocol import paging
from ticketfeed.protocol.gzip_splice import Coding, Segment
from ticketfeed.protocol.model import FeedState, Position
from ticketfeed.protocol.paging import count_page_rows, position_of, rows_after, rows_until
from ticketfeed.protocol.rows import column
from ticketfeed.storage.contract import FeedRows

__all__ = ["AssembledPage", "LargePage", "assemble_page", "encode_rows"]


class LargePage(Exception):
    """The tickets of a page take more bytes than a page may have."""


@dataclass(frozen=True, slots=True)
class AssembledPage:
    """Segments in feed order, each with at least one ticket.

    `fragments` are those that the page depends on, with None in place of every part that could not be cached.
    """

    segments: list[Segment]
    after: Position
    end_of_stream: bool
    fragments: list[Fragment | None]


async def assemble_page(
    cache: FragmentCache, reader: FeedReader, after: Position, limit: int, coding: Coding
) -> AssembledPage:
    """The next page after `after`. The cache must have been refreshed.

    Raises LargePage for a page that ends at PAGE_BYTES_MAX: such pages are read from the store, row by row.

    The loop terminates, whatever the clock does. Each step either sets `more`, which ends it, or takes a segment up to
    an end that lies strictly after the position (`_Assembly.take` insists on that): the end of a fragment found there,
    which `find` returns only when it lies after; the start of the next fragment, after by `next_after`; or a row, and
    rows are read from after the position. Positions only grow, and none lies after `until` but the end of a last
    fragment or gap; so after finitely many steps nothing is left to read, and that step sets `more`.
    """
    index = cache.index(reader.account, reader.filters, coding)
    page = _Assembly(cache, index, reader, after, limit)
    while page.wanted and page.more is None:
        fragment = index.find(page.position)
        if fragment is None:
            await page.fill_gap(index.next_after(page.position))
        elif fragment.end.generated_timestamp > reader.until:
            # The clock was set back: what may be read ends inside this fragment.
            await page.fill_gap(None)
        elif not fragment.is_valid or not cache.file.holds(fragment.segment):
            await page.renew(fragment)
        elif fragment.after == page.position and fragment.segment.count <= page.wanted:
            page.take(fragment.segment, fragment.end, fragment)
        else:
            await page.take_slice(fragment)
    more = await page.has_more() if page.more is None else page.more
    segments = [segment for segment in page.segments if segment.count]
    return AssembledPage(segments, segments[-1].last if segments else after, not more, page.fragments)


def encode_rows(rows: FeedRows, coding: Coding) -> Segment:
    """FeedRows, at least one, as a segment."""
    data, size, crc = coding.encode(column(rows, "body"))
    id_sum = sum(column(rows, "id"))
    return Segment(len(rows), id_sum, position_of(rows[-1]), size, crc, len(data), data)


class _Assembly:
    """A page in progress: assembled up to `position`, with `wanted` more tickets to take.

    `more` says whether any ticket follows the page, as soon as that is known.
    """

    def __init__(
        self, cache: FragmentCache, index: FragmentIndex, reader: FeedReader, position: Position, wanted: int
    ) -> None:
        self._cache, self._index, self._reader = cache, index, reader
        self.position, self.wanted, self._bytes = position, wanted, 0
        self.segments: list[Segment] = []
        self.fragments: list[Fragment | None] = []
        self.more: bool | None = None

    def take(self, segment: Segment, end: Position, fragment: Fragment | None) -> None:
        """Append a segment that covers everything from the position up to `end`."""
        if end <= self.position:
            raise RuntimeError(f"a page that does not advance: {end} after {self.position}")
        self._bytes += segment.size
        if self._bytes > paging.PAGE_BYTES_MAX:
            raise LargePage
        self.segments.append(segment)
        self.fragments.append(fragment)
        self.wanted -= segment.count
        self.position = end

    async def fill_gap(self, end: Position | None) -> None:
        """Read rows up to `end`, where the next fragment begins, or until the page is full or the feed ends.

        Of a gap that is larger than usual only a part is read.
        """
        size = self._cache.fragment_tickets
        limit = min(self.wanted, size * 3 // 2) if end else self.wanted  # most gaps are one fragment long
        state, rows = await self._read(self.position, limit + 1)
        inside = rows_until(rows, end) if end else rows
        if len(inside) > limit:
            self.more = True if limit == self.wanted else None
            self._take_rows(state, inside[:limit], None)
        elif end and len(inside) < len(rows):
            self._take_rows(state, inside, end)
        else:
            whole = len(rows) - len(rows) % size  # the rest would grow with the next changes, and is not cached
            self._take_rows(state, rows[:whole], None)
            if rows[whole:]:
                self.take(self._encode(rows[whole:], self.position), position_of(rows[-1]), None)
            self.more = False

    async def renew(self, fragment: Fragment) -> None:
        """Encode an invalid fragment again, and take what the page needs of it."""
        state, inside = await self._read_fragment(fragment, fragment.after, fragment.segment.count)
        if inside is None:
            return
        segment = self._encode(inside, fragment.after)
        renewed = self._add(state, fragment.after, fragment.end, segment, fragment)
        if fragment.after == self.position and segment.count <= self.wanted:
            self.take(segment, fragment.end, renewed)
        else:
            self._take_part(state, renewed, rows_after(inside, self.position), fragment.end)

    async def take_slice(self, fragment: Fragment) -> None:
        """Take the part of a fragment after the position, as far as wanted."""
        cached = fragment.slices.get((self.position, self.wanted))
        if cached is not None and self._cache.file.holds(cached[0]):
            self.take(*cached, fragment)
            return
        limit = min(self.wanted, fragment.segment.count) + 1
        state, inside = await self._read_fragment(fragment, self.position, limit)
        if inside is not None:
            self._take_part(state, fragment, inside, fragment.end)

    async def has_more(self) -> bool:
        """Whether any ticket follows a page that is full."""
        fragment = self._index.find(self.position)
        begins_here = fragment is not None and fragment.after == self.position and fragment.segment.count
        if fragment is not None and begins_here and fragment.end.generated_timestamp <= self._reader.until:
            return True
        _, rows = await self._reader.read(self.position, 1)
        return bool(rows)

    async def _read(self, after: Position, limit: int) -> tuple[FeedState, FeedRows]:
        state, rows = await self._reader.read(after, limit)
        if count_page_rows(rows, limit) < len(rows):
            raise LargePage
        return state, rows

    async def _read_fragment(
        self, fragment: Fragment, after: Position, limit: int
    ) -> tuple[FeedState, FeedRows | None]:
        """FeedRows of a fragment's range; None if the store, a replica that lags, has not closed all of it yet.

        In that case the page takes the rows that there are, and ends.
        """
        state, rows = await self._read(after, limit)
        if state.watermark >= fragment.end.generated_timestamp:
            return state, rows_until(rows, fragment.end)
        available = rows_after(rows, self.position)[: self.wanted]
        if available:
            self.take(self._encode(available, self.position), position_of(available[-1]), None)
        self.more = False
        return state, None

    def _take_part(self, state: FeedState, fragment: Fragment | None, inside: FeedRows, end: Position) -> None:
        """Take as many rows as are wanted of those that a fragment has after the position."""
        after, wanted, taken = self.position, self.wanted, inside[: self.wanted]
        if len(inside) > wanted:
            end, self.more = position_of(taken[-1]), True
        segment = self._encode(taken, after)
        is_cached = (
            fragment is not None
            and self._cache.is_current(self._reader.account, state)
            and self._cache.add_slice(self._index, fragment, after, wanted, segment, end)
        )
        self.take(segment, end, fragment if is_cached else None)

    def _take_rows(self, state: FeedState, rows: FeedRows, end: Position | None) -> None:
        """Take rows as fragments; the last one reaches to `end`, if given, since no ticket lies between."""
        size = self._cache.fragment_tickets
        for begin in range(0, max(len(rows), end is not None), size):
            part, after = rows[begin : begin + size], self.position
            segment = self._encode(part, after)
            reach = end if end and begin + size >= len(rows) else segment.last
            self.take(segment, reach, self._add(state, after, reach, segment))

    def _add(
        self, state: FeedState, after: Position, end: Position, segment: Segment, old: Fragment | None = None
    ) -> Fragment | None:
        """Cache a segment, if the rows that it was made of reflect all known invalidations."""
        if not self._cache.is_current(self._reader.account, state):
            return None
        return self._cache.add(self._index, after, end, segment, old)

    def _encode(self, rows: FeedRows, after: Position) -> Segment:
        return encode_rows(rows, self._index.coding) if rows else Segment(0, 0, after, 0, 0, 0, b"")
