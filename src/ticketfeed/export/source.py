"""Where the rules meet a store: one request down, one page back.

Tickets are one feed of an account, its records (users, organizations, audits, ...) another; both are read the same
way, page by page behind a cursor, or second by second from a start_time.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from ticketfeed.export.sideload_reader import needs_links, sideload_tickets
from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Page, Position, Span
from ticketfeed.protocol.paging import is_single_second, make_page, make_span, position_of
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.rows import FeedRow, LinkedTicketRow
from ticketfeed.storage.contract import FeedRows, Store

_log = logging.getLogger("ticketfeed.export.source")
_told_behind: dict[str, int] = {}

__all__ = ["Source", "read_page", "read_span"]


async def read_page(
    store: Store, account: Account, request: ExportRequest, *, now: int, settle_seconds: int, kind: str = "tickets"
) -> Page:
    """The next page behind `request.after`, up to the watermark and `settle_seconds` before `now`.

    A reader that reaches the end while the newest second is over but still open has it closed, and reads again.
    """
    source = Source(store, account, kind, request.filters, request.include, now, now - settle_seconds)
    return await source.read_page(request)


async def read_span(
    store: Store, account: Account, request: SpanRequest, *, now: int, settle_seconds: int, kind: str = "tickets"
) -> Span:
    """What was generated at `request.start_time` or later, as the older, time-based exports give it.

    A page that lies within one second is extended to hold all of it: its next address names the second behind it.
    """
    source = Source(store, account, kind, request.filters, request.include, now, now - settle_seconds)
    limit = request.page_limit
    rows = await source.read(Position(request.start_time, -1), limit + 1)
    if len(rows) > limit and is_single_second(rows[:limit]):
        second = rows[0].generated_timestamp
        rest = await source.read(position_of(rows[limit - 1]), INT64_MAX, until=second)
        more = await source.read(Position(second, INT64_MAX), 1)
        rows, limit = [*rows[:limit], *rest, *more], limit + len(rest)
    span = make_span(request.start_time, rows, limit)
    if not source.links:
        return span
    sideloads, embedded = await sideload_tickets(store, account, request.include, _linked(span.rows), now)
    return replace(span, sideloads=sideloads, embedded=embedded)


@dataclass(slots=True)
class Source:
    """One feed of an account, read up to `until`. `state` is its row as it was at the last read."""

    store: Store
    account: Account
    kind: str
    filters: Filters
    include: tuple[str, ...]
    now: int
    until: int
    state: FeedState = field(default_factory=FeedState)

    @property
    def links(self) -> bool:
        return self.kind == "tickets" and needs_links(self.include)

    async def read_page(self, request: ExportRequest) -> Page:
        """The page asked for, with its sideloads."""
        rows = await self.read(request.after, request.page_limit + 1)
        page = make_page(request.after, rows, request.page_limit)
        if not self.links:
            return page
        sideloads, embedded = await sideload_tickets(
            self.store, self.account, self.include, _linked(page.rows), self.now
        )
        return replace(page, sideloads=sideloads, embedded=embedded)

    async def read(self, after: Position, limit: int, until: int | None = None) -> FeedRows:
        """The first `limit` changes behind `after`."""
        end = self.until if until is None else min(until, self.until)
        self.state, rows = await self._read(after, end, limit)
        _tell_clock_behind(self.account, self.state, self.now)
        can_close = watermark.can_close if self.kind == "tickets" else watermark.can_close_records
        if len(rows) < limit and can_close(self.state, self.now) and await self.store.close_newest(self.account):
            self.state, rows = await self._read(after, end, limit)
        return rows

    async def _read(self, after: Position, until: int, limit: int) -> tuple[FeedState, FeedRows]:
        if self.kind == "tickets":
            return await self.store.read_changes(self.account, after, until, limit, self.filters, links=self.links)
        return await self.store.read_record_changes(self.account, self.kind, after, until, limit)


def _linked(rows: Sequence[FeedRow]) -> Sequence[LinkedTicketRow]:
    """The rows of a source that reads links."""
    return cast(Sequence[LinkedTicketRow], rows)


def _tell_clock_behind(account: Account, state: FeedState, now: int) -> None:
    """Once for each newest change: while the clock is behind, they all carry the same second."""
    behind, newest = watermark.clock_behind(state, now), state.last_generated_timestamp
    if behind and _told_behind.get(account.subdomain) != newest:
        _told_behind[account.subdomain] = newest
        text = "the newest change of account %s is %d seconds ahead of the clock, which was set back, or it was fenced"
        _log.warning(text, account.subdomain, behind)
