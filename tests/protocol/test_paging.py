"""The page rule: every row once, in order, and the end told on the last page."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol import paging
from ticketfeed.protocol.model import Page, Position, Span
from ticketfeed.protocol.paging import count_page_rows, make_page, make_span, position_of
from ticketfeed.protocol.rows import ChangeRow

# Few seconds and few ids, so that many rows share a second.
feeds = st.sets(st.tuples(st.integers(0, 5), st.integers(1, 40)), max_size=60).map(
    lambda places: [ChangeRow(second, ticket_id, b"%d" % ticket_id) for second, ticket_id in sorted(places)]
)
START = Position(0, -1)


def read(feed: list[ChangeRow], after: Position, page_limit: int) -> Page:
    behind = [row for row in feed if after < position_of(row)]
    return make_page(after, behind[: page_limit + 1], page_limit)


def walk(feed: list[ChangeRow], page_limit: int) -> list[Page]:
    pages = [read(feed, START, page_limit)]
    while not pages[-1].end_of_stream:
        pages.append(read(feed, pages[-1].after, page_limit))
    return pages


@given(feeds, st.integers(1, 70))
def test_a_walk_gives_every_row_once(feed: list[ChangeRow], page_limit: int) -> None:
    """Pages of any size, laid end to end, are the feed; only the last one says so, and none before it has room."""
    pages = walk(feed, page_limit)
    assert [row for page in pages for row in page.rows] == feed
    assert [page.end_of_stream for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(len(page.rows) == page_limit for page in pages[:-1])
    assert len(pages[-1].rows) <= page_limit


@given(feeds, st.integers(1, 70))
def test_no_page_is_wasted(feed: list[ChangeRow], page_limit: int) -> None:
    """Only an empty feed has an empty page, so an exactly full last page ends the stream by itself."""
    pages = walk(feed, page_limit)
    assert len(pages) == max(1, -(-len(feed) // page_limit))
    assert all(page.rows for page in pages) or not feed


@given(feeds, st.integers(1, 70))
def test_every_cursor_moves_on(feed: list[ChangeRow], page_limit: int) -> None:
    """A page's place is that of its last row, and later than the place before it."""
    before = START
    for page in walk(feed, page_limit):
        if page.rows:
            assert before < page.after == position_of(page.rows[-1])
        before = page.after


@given(feeds, st.integers(1, 70))
def test_polling_goes_on_where_the_walk_ended(feed: list[ChangeRow], page_limit: int) -> None:
    """From the last place nothing comes twice, and a row that is added later comes next."""
    end = walk(feed, page_limit)[-1].after
    assert read(feed, end, page_limit) == Page([], after=end, end_of_stream=True)
    later = ChangeRow(9, 1, b"1")
    assert list(read([*feed, later], end, page_limit).rows) == [later]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 40), st.integers(0, 60))
def test_a_page_is_bounded_in_bytes(sizes: list[int], page_limit: int, bytes_max: int) -> None:
    """A page ends with the row that takes it beyond the bound, and never before its first row."""
    rows = [ChangeRow(1, number, b"x" * size) for number, size in enumerate(sizes)]
    with patch.object(paging, "PAGE_BYTES_MAX", bytes_max):
        count = count_page_rows(rows, page_limit)
    assert sum(sizes[: count - 1]) <= bytes_max if count else not rows
    assert count <= page_limit
    assert count == min(page_limit, len(rows)) or sum(sizes[:count]) > bytes_max


ROWS = [ChangeRow(1, number, b"x") for number in range(1, 5)]


@pytest.mark.parametrize(
    ("rows", "page_limit", "taken", "end_of_stream"),
    [
        (0, 1, 0, True),
        (1, 1, 1, True),
        (2, 1, 1, False),
        (3, 3, 3, True),
        (4, 3, 3, False),
        (2, 3, 2, True),
    ],
)
def test_end_of_stream(rows: int, page_limit: int, taken: int, end_of_stream: bool) -> None:
    """One row more than the page tells whether the stream goes on; that row is not given out."""
    after = Position(1, taken) if taken else START
    assert make_page(START, ROWS[:rows], page_limit) == Page(ROWS[:taken], after, end_of_stream)


# seconds of the rows that were read, page_limit -> how many are taken, end_time, end_of_stream
SPANS = [
    ([], 2, 0, 5, True),
    ([7], 2, 1, 8, True),
    ([7, 7], 2, 2, 8, True),
    ([7, 7, 9], 2, 2, 8, False),
    ([7, 8], 2, 2, 8, True),
    ([7, 8, 8], 2, 2, 8, False),
    ([7, 8, 9], 2, 2, 8, False),
]


@pytest.mark.parametrize(("seconds", "page_limit", "taken", "end_time", "end_of_stream"), SPANS)
def test_spans(seconds: list[int], page_limit: int, taken: int, end_time: int, end_of_stream: bool) -> None:
    """A page by time goes on at its last second, as it may have ended inside; behind a single second, after it."""
    rows = [ChangeRow(second, number, b"x") for number, second in enumerate(seconds)]
    assert make_span(5, rows, page_limit) == Span(rows[:taken], end_time, end_of_stream)
