"""The page rules: rows -> page. One row more than the page is read, to know whether the stream ends here.

A page is bounded in rows and in bytes. It has at least one row, so a reader always gets on.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from ticketfeed.protocol.model import Page, Position, Span
from ticketfeed.protocol.rows import FeedRow, column

__all__ = [
    "PAGE_BYTES_MAX",
    "count_page_rows",
    "is_cut",
    "is_single_second",
    "make_page",
    "make_span",
    "page_rows",
    "position_of",
    "rows_after",
    "rows_until",
]

# Of the bodies in a page. 1000 tickets take 2 to 4 MB; the rows, their joined and their compressed bytes together stay
# below 64 MiB with this.
PAGE_BYTES_MAX = 16 * 1024 * 1024

RowT = TypeVar("RowT", bound=FeedRow)


class _Bodied(Protocol):
    """A row that has a body."""

    @property
    def body(self) -> bytes: ...


_RowT = TypeVar("_RowT", bound=_Bodied)


def position_of(row: FeedRow) -> Position:
    """The position of a row in its feed."""
    return Position(row.generated_timestamp, row.id)


def rows_until(rows: Sequence[RowT], end: Position) -> Sequence[RowT]:
    """The rows at or before `end`, of rows in feed order."""
    return rows[: bisect_right(rows, end, key=position_of)]


def rows_after(rows: Sequence[RowT], position: Position) -> Sequence[RowT]:
    """The rows after `position`, of rows in feed order."""
    return rows[bisect_right(rows, position, key=position_of) :]


def count_page_rows(rows: Sequence[_Bodied], page_limit: int) -> int:
    """How many rows make a page: at most `page_limit`, and up to the one that takes it beyond PAGE_BYTES_MAX."""
    sizes = [len(body) for body in column(rows, "body")]
    count = min(len(rows), page_limit)
    if sum(sizes) <= PAGE_BYTES_MAX:
        return count
    return min(count, 1 + bisect_right(list(accumulate(sizes)), PAGE_BYTES_MAX))


def page_rows(rows: Sequence[_RowT]) -> Sequence[_RowT]:
    """The rows that make a page by their bytes. A store reads one more as the sign that it stopped there."""
    return rows[: count_page_rows(rows, len(rows))]


def is_cut(rows: Sequence[_Bodied]) -> bool:
    """Whether a store stopped behind these because they are more than a page."""
    return len(page_rows(rows)) < len(rows)


def make_page(after: Position, rows: Sequence[FeedRow], page_limit: int) -> Page:
    """The first rows, as many as make a page. An empty page has the position of the request."""
    taken = rows[: count_page_rows(rows, page_limit)]
    last = position_of(taken[-1]) if taken else after
    return Page(taken, after=last, end_of_stream=len(rows) == len(taken))


def make_span(start_time: int, rows: Sequence[FeedRow], page_limit: int) -> Span:
    """The first rows, as many as make a page, and the time to go on from.

    That is the last row's second, which is then given again, as the page may have ended inside it; behind a page of
    one single second, which must be whole, it is the second after.
    """
    taken = rows[: count_page_rows(rows, page_limit)]
    if not taken:
        return Span(taken, end_time=start_time, end_of_stream=True)
    end_time = taken[-1].generated_timestamp + is_single_second(taken)
    return Span(taken, end_time=end_time, end_of_stream=len(rows) == len(taken))


def is_single_second(rows: Sequence[FeedRow]) -> bool:
    """Whether all rows carry one second."""
    return bool(rows) and rows[0].generated_timestamp == rows[-1].generated_timestamp
