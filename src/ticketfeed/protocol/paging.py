"""The page rules: rows -> page. One row more than the page is read, to know whether the stream ends here."""

from collections.abc import Sequence
from typing import Any

from ticketfeed.protocol.model import Page, Position, Span

__all__ = ["is_single_second", "make_page", "make_span"]

Row = tuple[Any, ...]


def make_page(after: Position, rows: Sequence[Row], page_limit: int) -> Page:
    """The first `page_limit` rows. An empty page keeps the caller's place."""
    taken = rows[:page_limit]
    last = Position(taken[-1][0], taken[-1][1]) if taken else after
    return Page(taken, after=last, end_of_stream=len(rows) <= page_limit)


def make_span(start_time: int, rows: Sequence[Row], page_limit: int) -> Span:
    """The first `page_limit` rows, and the time to go on from.

    That is the last row's second, which is then given again, as the page may have ended inside it; behind a page of
    one single second, which `page_limit` must let be whole, it is the second after.
    """
    taken = rows[:page_limit]
    if not taken:
        return Span(taken, end_time=start_time, end_of_stream=True)
    return Span(taken, end_time=taken[-1][0] + is_single_second(taken), end_of_stream=len(rows) <= page_limit)


def is_single_second(rows: Sequence[Row]) -> bool:
    """Whether all rows carry one second."""
    return bool(rows) and bool(rows[0][0] == rows[-1][0])
