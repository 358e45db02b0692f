"""The page rules: rows -> page. One row more than the page is read, to know whether the stream ends here."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

from ticketfeed.protocol.model import Page, Position, Span
from ticketfeed.protocol.rows import FeedRow

__all__ = ["is_single_second", "make_page", "make_span", "position_of", "rows_after", "rows_until"]

RowT = TypeVar("RowT", bound=FeedRow)


def position_of(row: FeedRow) -> Position:
    """The position of a row in its feed."""
    return Position(row.generated_timestamp, row.id)


def rows_until(rows: Sequence[RowT], end: Position) -> Sequence[RowT]:
    """The rows at or before `end`, of rows in feed order."""
    return rows[: bisect_right(rows, end, key=position_of)]


def rows_after(rows: Sequence[RowT], position: Position) -> Sequence[RowT]:
    """The rows after `position`, of rows in feed order."""
    return rows[bisect_right(rows, position, key=position_of) :]


def make_page(after: Position, rows: Sequence[FeedRow], page_limit: int) -> Page:
    """The first `page_limit` rows. An empty page has the position of the request."""
    taken = rows[:page_limit]
    last = position_of(taken[-1]) if taken else after
    return Page(taken, after=last, end_of_stream=len(rows) <= page_limit)


def make_span(start_time: int, rows: Sequence[FeedRow], page_limit: int) -> Span:
    """The first `page_limit` rows, and the time to go on from.

    That is the last row's second, which is then given again, as the page may have ended inside it; behind a page of
    one single second, which `page_limit` must let be whole, it is the second after.
    """
    taken = rows[:page_limit]
    if not taken:
        return Span(taken, end_time=start_time, end_of_stream=True)
    end_time = taken[-1].generated_timestamp + is_single_second(taken)
    return Span(taken, end_time=end_time, end_of_stream=len(rows) <= page_limit)


def is_single_second(rows: Sequence[FeedRow]) -> bool:
    """Whether all rows carry one second."""
    return bool(rows) and rows[0].generated_timestamp == rows[-1].generated_timestamp
