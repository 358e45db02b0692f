"""Rows: an engine's tuples under the names of their columns."""

import pytest

from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.rows import ChangeRow, LazyRows, LinkedTicketRow, TicketRow, column, columns_of, make_rows

TUPLES = [(1, 7, b"a"), (1, 8, b"b"), (2, 3, b"c")]
ROWS = [ChangeRow(1, 7, b"a"), ChangeRow(1, 8, b"b"), ChangeRow(2, 3, b"c")]


@pytest.mark.parametrize("tuples", [TUPLES, [(*values, "more", 9) for values in TUPLES]], ids=["exact", "wider"])
def test_lazy_rows_are_the_rows(tuples: list[tuple[object, ...]]) -> None:
    """Iterated, indexed, sliced and by column, lazy rows are those of their class, whatever follows its columns."""
    rows = LazyRows(ChangeRow, tuples)
    assert (len(rows), list(rows), rows[0], rows[-1]) == (3, ROWS, ROWS[0], ROWS[-1])
    assert all(type(row) is ChangeRow for row in (*rows, rows[1]))
    assert list(rows[1:]) == ROWS[1:]
    assert rows == ROWS
    assert rows != ROWS[:2]
    assert column(rows, "body") == column(rows[0:3], "body") == [b"a", b"b", b"c"]
    assert not LazyRows(ChangeRow, [])
    with pytest.raises(IndexError):
        rows[3]


def test_columns() -> None:
    """A column is read by its name from rows of any kind; the columns of a class are its fields, in order."""
    assert column(ROWS, "id") == [7, 8, 3]
    assert make_rows(ChangeRow, TUPLES) == ROWS
    assert columns_of(ChangeRow) == ("generated_timestamp", "id", "body")
    assert columns_of(Job)[:2] == ("id", "action")


def test_links_are_columns_of_a_ticket() -> None:
    """What sideloads follow is stored: every column of a linked row is one of the ticket's."""
    assert set(columns_of(LinkedTicketRow)) <= set(columns_of(TicketRow))
