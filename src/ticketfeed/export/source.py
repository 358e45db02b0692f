"""Reads an account's feeds from a store: pages by cursor, and spans by time.

Tickets are one feed of an account, its records (users, organizations, audits, ...) another; both are read the same
way, page by page after a position, or second by second from a start_time. `FeedReader.read` is the only place where
an export reads rows.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

from ticketfeed.export.parts import LargeSideloads
from ticketfeed.export.record_sideloads import sideload_records
from ticketfeed.export.sideload_reader import needs_links, sideload_tickets
from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Page, Position, Span
from ticketfeed.protocol.paging import count_page_rows, is_single_second, make_page, make_span, position_of, rows_until
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.rows import FeedRow, LinkedTicketRow, column
from ticketfeed.storage.contract import FeedRows, Store

__all__ = ["FeedReader", "read_page"]

CLOCK_BEHIND = "the newest change of account %s is %d seconds ahead of the clock, which was set back, or it was fenced"

PageT = TypeVar("PageT", Page, Span)

_log = logging.getLogger("ticketfeed.export.source")
# Store -> account_id -> the newest change that the clock was last reported to be behind of.
_last_warned: WeakKeyDictionary[Store, dict[int, int]] = WeakKeyDictionary()


async def read_page(
    store: Store, account: Account, request: ExportRequest, *, now: int, settle_seconds: int, kind: str = "tickets"
) -> Page:
    """Read the next page after `request.after`, up to the watermark and at most `settle_seconds` before `now`.

    When the page reaches the end of the feed while its newest second is over but still open, that second is closed
    and the page is read again.
    """
    reader = FeedReader(store, account, kind, request.filters, request.include, now, now - settle_seconds)
    return (await reader.read_page(request))[1]


@dataclass(frozen=True, slots=True)
class FeedReader:
    """Reads one feed of an account up to `until`, at `now`."""

    store: Store
    account: Account
    kind: str
    filters: Filters
    include: tuple[str, ...]
    now: int
    until: int

    @property
    def links(self) -> bool:
        """Whether rows carry the ids that sideloads follow."""
        return self.kind == "tickets" and needs_links(self.include)

    async def read_page(self, request: ExportRequest) -> tuple[FeedState, Page]:
        """The account row, and the requested page with its sideloads."""
        state, rows = await self.read(request.after, request.page_limit + 1)
        limit = request.page_limit
        while True:
            page = make_page(request.after, rows, limit)
            limit = len(page.rows) // 2
            try:
                return state, await self._with_sideloads(page, bounded=limit > 0)
            except LargeSideloads:  # a shorter page, which has one row at least
                continue

    async def read_span(self, request: SpanRequest) -> Span | None:
        """Everything generated at `request.start_time` or later, as the time-based exports return it.

        None if a page would lie within a single second and more of that second follow: the next request can only name a
        second to go on from, so the answer is the whole of it, in the pages of `read_second`.
        """
        _, rows = await self.read(Position(request.start_time, -1), request.page_limit + 1)
        span = make_span(request.start_time, rows, request.page_limit)
        taken = len(span.rows)
        if taken < len(rows) and is_single_second(rows[: taken + 1]):
            return None
        return await self._with_sideloads(span)

    async def read_second(self, request: SpanRequest) -> AsyncIterator[Span]:
        """The first second with changes at `request.start_time` or later, page by page.

        The last page has the sideload arrays of all of them, and no rows.
        """
        after, second, is_last = Position(request.start_time, -1), INT64_MAX, False
        arrays: dict[str, dict[bytes, None]] = {}
        while not is_last:
            _, rows = await self.read(after, request.page_limit + 1, until=second)
            page = rows[: count_page_rows(rows, request.page_limit)]
            if page and second == INT64_MAX:
                second = page[0].generated_timestamp
                page = rows_until(page, Position(second, INT64_MAX))
            is_last = len(page) == len(rows)
            if page:
                after = position_of(page[-1])  # so each page begins after the one before, and the loop ends
                span = await self._with_sideloads(Span(page, second + 1, end_of_stream=False))
                for name, bodies in span.sideloads.items():
                    arrays.setdefault(name, {}).update(dict.fromkeys(bodies))
                yield replace(span, sideloads={})
                del span
            del rows, page  # before the next ones are read
        _, following = await self.read(Position(second, INT64_MAX), 1)
        sideloads = {name: list(bodies) for name, bodies in arrays.items()}
        yield Span([], second + 1, end_of_stream=not following, sideloads=sideloads)

    async def read(self, after: Position, limit: int, until: int | None = None) -> tuple[FeedState, FeedRows]:
        """The account row, and in the same snapshot the first `limit` changes after `after`."""
        end = self.until if until is None else min(until, self.until)
        state, rows = await self._read(after, end, limit)
        self._warn_clock_behind(state)
        can_close = watermark.can_close if self.kind == "tickets" else watermark.can_close_records
        is_end = len(rows) < limit and count_page_rows(rows, limit) == len(rows)
        if is_end and can_close(state, self.now) and await self.store.close_newest(self.account):
            state, rows = await self._read(after, end, limit)
        return state, rows

    async def _read(self, after: Position, until: int, limit: int) -> tuple[FeedState, FeedRows]:
        if self.kind == "tickets":
            return await self.store.read_changes(self.account, after, until, limit, self.filters, links=self.links)
        return await self.store.read_record_changes(self.account, self.kind, after, until, limit)

    async def _with_sideloads(self, page: PageT, *, bounded: bool = False) -> PageT:
        sideloads, embedded = await self._sideload(page.rows, bounded=bounded)
        return replace(page, sideloads=sideloads, embedded=embedded)

    async def _sideload(self, rows: Sequence[FeedRow], *, bounded: bool) -> tuple[dict[str, list[bytes]], list[bytes]]:
        if self.kind == "users":
            bodies = column(rows, "body") if self.include else []
            found = await sideload_records(self.store, self.account, self.kind, self.include, bodies, bounded=bounded)
            return found, []
        if not self.links:
            return {}, []
        linked = cast(Sequence[LinkedTicketRow], rows)  # which is what a reader with `links` reads
        return await sideload_tickets(self.store, self.account, self.include, linked, self.now, bounded=bounded)

    def _warn_clock_behind(self, state: FeedState) -> None:
        """Warn once for each newest change: while the clock is behind, all changes carry the same second."""
        behind, newest = watermark.clock_behind(state, self.now), state.last_generated_timestamp
        if not behind:
            return
        warned = _last_warned.setdefault(self.store, {})
        if warned.get(self.account.account_id) != newest:
            warned[self.account.account_id] = newest
            _log.warning(CLOCK_BEHIND, self.account.subdomain, behind)
