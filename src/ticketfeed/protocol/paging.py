"""The page rule: rows -> page. One row more than the page is read, to know whether the stream ends here."""

from collections.abc import Sequence
from typing import Any

from ticketfeed.protocol.model import Page, Position

__all__ = ["make_page"]


def make_page(after: Position, rows: Sequence[tuple[Any, ...]], page_limit: int) -> Page:
    """The first `page_limit` rows. An empty page keeps the caller's place."""
    taken = rows[:page_limit]
    last = Position(taken[-1][0], taken[-1][1]) if taken else after
    return Page(taken, after=last, end_of_stream=len(rows) <= page_limit)
