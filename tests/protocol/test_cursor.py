"""Cursors: Zendesk's own text, read with goodwill, and never a step too far."""

import time
from base64 import b64decode, b64encode
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import short
from ticketfeed.protocol.cursor import decode_cursor, encode_cursor
from ticketfeed.protocol.errors import InvalidCursor
from ticketfeed.protocol.model import INT64_MAX, Position

positions = st.builds(Position, st.integers(0, INT64_MAX), st.integers(0, INT64_MAX))

RECORDED = [
    ("MTU3NjYxMzUzOS4wfHw0Njd8", Position(1576613539, 467)),
    ("MTY5NTA2MjcyNC4wfHwxNTcxfA==", Position(1695062724, 1571)),
]

# text in front of the first bars -> the second that it lies in
FOREIGN_NUMBERS = [
    ("5", 5),
    ("5.", 5),
    ("5.0", 5),
    ("5.000000", 5),
    ("5.999999999999999999999999999999999999999", 5),
    ("0", 0),
    ("-0.0", 0),
    ("-0.5", -1),
    ("-5", -5),
    ("-5.5", -6),
    ("007", 7),
    ("1.576613539e9", 1576613539),
    ("1.5E+1", 15),
    ("15e-1", 1),
    ("1e-9999", 0),
    ("-1e-9999", -1),
    ("0e9999", 0),
    ("0.000e30", 0),
    ("1e18", 10**18),
    ("9223372036854775807", INT64_MAX),
    ("-9223372036854775807", -INT64_MAX),
]

BROKEN_TEXTS = [
    *(
        f"{number}||5|"
        for number in ("9223372036854775808", "1e19", "1e999", "1e9999", "-1e9999", "9" * 300, "-" + "9" * 300)
    ),
    *(f"5.0||{id}|" for id in ("9223372036854775808", str(2**64), "9" * 300)),
    "",
    "|",
    "||",
    "||5|",
    "5|||",
    "5||5",
    "5|5|",
    "5||5||",
    "5||5| ",
    " 5||5|",
    "5 ||5|",
    "5||5|\n",
    "|5.0||5",
    "+5||5|",
    ".5||5|",
    "5||-5|",
    "5||+5|",
    "5||5.0|",
    "5||1e3|",
    "5||0x5|",
    "5||1_0|",
    "1_0||5|",
    "5.5.5||5|",
    "5e||5|",
    "5e99999||5|",
    "nan||5|",
    "Infinity||5|",
    "--5||5|",
    "\u0665||5|",
    "5||\u0665|",
    "5||5|5||5|",
    '{"o":"nice_id","v":"aWQ"}',
    "1576613539",
    "5\x00||5|",
]

BROKEN_CURSORS = [
    "",
    "=",
    "A",
    "MTU3NjYxMzUzOS4wfHw0Njd",
    "MTY5NTA2MjcyNC4wfHwxNTcxfA",
    "MTY5NTA2MjcyNC4wfHwxNTcxfA=",
    "MTY5NTA2MjcyNC4wfHwxNTcxfA===",
    " MTU3NjYxMzUzOS4wfHw0Njd8",
    "MTU3NjYxMzUzOS4wfHw0Njd8\n",
    "MTU3NjYxMzUzOS4w\nfHw0Njd8",
    "MTU3NjYxMzUzOS4wfHw0Njd8MTU3",
    "MTU3NjYxMzUzOS4wfHw0Njd8%3D",
    "1576613539.0||467|",
    "ÄÖÜ",
    "\ud800",
    "\x00",
    "____",
    "undefined",
]


def _cursor(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(("cursor", "position"), RECORDED)
def test_recorded_cursors_read_and_write(cursor: str, position: Position) -> None:
    """Cursors seen from Zendesk mean what they say, and are written letter for letter the same."""
    assert decode_cursor(cursor) == position
    assert encode_cursor(position) == cursor


@given(positions)
def test_every_position_comes_back(position: Position) -> None:
    """What was encoded decodes to the same position: nothing is skipped, nothing repeated."""
    assert decode_cursor(encode_cursor(position)) == position


@given(positions)
def test_text_survives_a_client_that_decodes_it(position: Position) -> None:
    """A cursor is padded base64 of UTF-8 text that is not all digits, and stays the same when encoded anew."""
    cursor = encode_cursor(position)
    text = b64decode(cursor, validate=True).decode("utf-8")
    assert _cursor(text) == cursor
    assert not text.isdigit()
    assert not set(cursor) & set("+/")


@given(st.lists(positions, min_size=2, max_size=8))
def test_order_is_kept(some: list[Position]) -> None:
    """Of two positions the later one is the later one still behind its cursor."""
    assert [decode_cursor(encode_cursor(position)) for position in sorted(some)] == sorted(some)


@pytest.mark.parametrize(("number", "second"), FOREIGN_NUMBERS, ids=short)
def test_foreign_numbers(number: str, second: int) -> None:
    """Any number may stand in front: its fraction is dropped, within 64 bits."""
    assert decode_cursor(_cursor(f"{number}||467|")) == Position(second, 467)


@pytest.mark.parametrize(
    ("second", "position"), [(5, Position(4, INT64_MAX)), (0, Position(-1, INT64_MAX)), (1, Position(0, INT64_MAX))]
)
def test_a_start_time_as_a_cursor(second: int, position: Position) -> None:
    """Before all tickets of a second is behind those of the second before, for a cursor has no negative id."""
    assert decode_cursor(encode_cursor(Position(second, -1))) == position


small_positions = st.builds(Position, st.integers(0, 3), st.integers(1, 5))


@given(st.integers(-3_500_000_000, 3_500_000_000), st.integers(0, 6), small_positions)
def test_no_ticket_is_skipped(billionths: int, last_id: int, ticket: Position) -> None:
    """A ticket that lies behind a foreign cursor's pair, taken exactly, lies behind what was read from it."""
    if (Fraction(billionths, 10**9), last_id) < ticket:
        assert decode_cursor(_cursor(f"{billionths}e-9||{last_id}|")) < ticket


@pytest.mark.parametrize(
    ("digits", "last_id"), [("0", 0), ("000467", 467), (str(INT64_MAX), INT64_MAX), ("0" * 300 + "7", 7)]
)
def test_foreign_ids(digits: str, last_id: int) -> None:
    """Any unsigned id within 64 bits may stand behind the bars."""
    assert decode_cursor(_cursor(f"5.0||{digits}|")) == Position(5, last_id)


@pytest.mark.parametrize("cursor", [*map(_cursor, BROKEN_TEXTS), *BROKEN_CURSORS], ids=short)
def test_broken_cursors(cursor: str) -> None:
    """What is no cursor of this endpoint is refused as InvalidCursor."""
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor)


@given(st.text() | st.binary().map(lambda data: b64encode(data).decode()) | st.from_regex(r"[0-9eE.+|-]*").map(_cursor))
def test_any_text_is_a_position_or_invalid(cursor: str) -> None:
    """No text whatever makes anything but a position within 64 bits, or InvalidCursor."""
    try:
        position = decode_cursor(cursor)
    except InvalidCursor:
        return
    assert all(-INT64_MAX <= number <= INT64_MAX for number in position)


def test_work_is_bounded() -> None:
    """Megabytes in place of a cursor, or numbers as long as may be, cost next to nothing."""
    hostile = ["A" * 10_000_000, "=" * 10_000_000, "9" * 10_000_000]
    hostile += [_cursor("9" * 370 + "||1|"), _cursor("1||" + "9" * 370 + "|"), _cursor("1e9999||1|")]
    started = time.process_time()
    for cursor in hostile:
        try:
            decode_cursor(cursor)
        except InvalidCursor:
            continue
    assert time.process_time() - started < 0.1
