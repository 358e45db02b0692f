"""Where the rules meet a store: one request down, one page back."""

import logging

from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import Account, FeedState, Page
from ticketfeed.protocol.paging import make_page
from ticketfeed.protocol.params import ExportRequest
from ticketfeed.protocol.sideloads import plan_sideloads, sideloads_asked
from ticketfeed.storage.base import Store

_log = logging.getLogger("ticketfeed.feed")
_told_behind: dict[str, int] = {}

__all__ = ["read_page"]


async def read_page(store: Store, account: Account, request: ExportRequest, *, now: int, settle_seconds: int) -> Page:
    """The next page behind `request.after`, up to the watermark and `settle_seconds` before `now`.

    A reader that reaches the end while the newest second is over but still open has it closed, and reads again.
    """
    until, limit, links = now - settle_seconds, request.page_limit + 1, sideloads_asked(request.include)
    state, rows = await store.read_changes(account, request.after, until, limit, request.filters, links=links)
    _tell_clock_behind(account, state, now)
    if len(rows) < limit and watermark.can_close(state, now) and await store.close_newest(account):
        _, rows = await store.read_changes(account, request.after, until, limit, request.filters, links=links)
    page = make_page(request.after, rows, request.page_limit)
    for kind, ids in plan_sideloads(request.include, page.rows).items():
        page.sideloads[kind] = await store.read_records(account, kind, ids)
    return page


def _tell_clock_behind(account: Account, state: FeedState, now: int) -> None:
    """Once for each newest change: while the clock is behind, they all carry the same second."""
    behind, newest = watermark.clock_behind(state, now), state.last_generated_timestamp
    if behind and _told_behind.get(account.subdomain) != newest:
        _told_behind[account.subdomain] = newest
        text = "the newest change of account %s is %d seconds ahead of the clock, which was set back, or it was fenced"
        _log.warning(text, account.subdomain, behind)
