"""Reads an account's feeds from a store: pages by cursor, and spans by time.

Tickets are one feed of an account, its records (users, organizations, audits, ...) another; both are read the same
way, page by page after a position, or second by second from a start_time. `FeedReader.read` is the only place where
an export reads rows.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast
from weakref import WeakKeyDictionary

from ticketfeed.export.record_sideloads import sideload_records
from ticketfeed.export.sideload_reader import needs_links, sideload_tickets
from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Page, Position, Span
from ticketfeed.protocol.paging import is_single_second, make_page, make_span, position_of
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.rows import FeedRow, LinkedTicketRow, column
from ticketfeed.storage.contract import FeedRows, Store

__all__ = ["FeedReader", "read_page"]

CLOCK_BEHIND = "the newest change of account %s is %d seconds ahead of the clock, which was set back, or it was fenced"

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
        page = make_page(request.after, rows, request.page_limit)
        sideloads, embedded = await self._sideload(page.rows)
        return state, replace(page, sideloads=sideloads, embedded=embedded)

    async def read_span(self, request: SpanRequest) -> Span:
        """Everything generated at `request.start_time` or later, as the time-based exports return it.

        A page that lies within a single second is extended to the whole of that second, since the next request can
        only name a second to go on from.
        """
        limit = request.page_limit
        _, rows = await self.read(Position(request.start_time, -1), limit + 1)
        if len(rows) > limit and is_single_second(rows[:limit]):
            second = rows[0].generated_timestamp
            _, rest = await self.read(position_of(rows[limit - 1]), INT64_MAX, until=second)
            _, following = await self.read(Position(second, INT64_MAX), 1)
            rows, limit = [*rows[:limit], *rest, *following], limit + len(rest)
        span = make_span(request.start_time, rows, limit)
        sideloads, embedded = await self._sideload(span.rows)
        return replace(span, sideloads=sideloads, embedded=embedded)

    async def read(self, after: Position, limit: int, until: int | None = None) -> tuple[FeedState, FeedRows]:
        """The account row, and in the same snapshot the first `limit` changes after `after`."""
        end = self.until if until is None else min(until, self.until)
        state, rows = await self._read(after, end, limit)
        self._warn_clock_behind(state)
        can_close = watermark.can_close if self.kind == "tickets" else watermark.can_close_records
        if len(rows) < limit and can_close(state, self.now) and await self.store.close_newest(self.account):
            state, rows = await self._read(after, end, limit)
        return state, rows

    async def _read(self, after: Position, until: int, limit: int) -> tuple[FeedState, FeedRows]:
        if self.kind == "tickets":
            return await self.store.read_changes(self.account, after, until, limit, self.filters, links=self.links)
        return await self.store.read_record_changes(self.account, self.kind, after, until, limit)

    async def _sideload(self, rows: Sequence[FeedRow]) -> tuple[dict[str, list[bytes]], list[bytes]]:
        if self.kind == "users":
            bodies = column(rows, "body") if self.include else []
            return await sideload_records(self.store, self.account, self.kind, self.include, bodies), []
        if not self.links:
            return {}, []
        linked = cast(Sequence[LinkedTicketRow], rows)  # which is what a reader with `links` reads
        return await sideload_tickets(self.store, self.account, self.include, linked, self.now)

    def _warn_clock_behind(self, state: FeedState) -> None:
        """Warn once for each newest change: while the clock is behind, all changes carry the same second."""
        behind, newest = watermark.clock_behind(state, self.now), state.last_generated_timestamp
        if not behind:
            return
        warned = _last_warned.setdefault(self.store, {})
        if warned.get(self.account.account_id) != newest:
            warned[self.account.account_id] = newest
            _log.warning(CLOCK_BEHIND, self.account.subdomain, behind)
