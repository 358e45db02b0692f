"""The rules of a mirror: which second a change gets, how far a feed may be read, what replaces what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.contract import NOON, ticket, user
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.mirrors import (
    LOCAL_ID_MIN,
    Mirror,
    StreamState,
    choose_record,
    choose_ticket,
    decode_mirror,
    encode_mirror,
    passed_second,
    place_records,
)
from ticketfeed.protocol.model import NEW_ID_MAX, FeedState, Position
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import ChangeRow
from ticketfeed.protocol.watermark import SOURCE_BEHIND_SECONDS, can_close, can_close_records, copied, copied_second

seconds = st.integers(1, 60)
writes = st.lists(st.tuples(st.lists(seconds, max_size=4), seconds, st.booleans(), st.integers(0, 400)), max_size=12)


@given(writes)
def test_nothing_is_put_where_readers_have_been(given_writes: list[tuple[list[int], int, bool, int]]) -> None:
    """Whatever the source gives and says, in any order: no change gets a second that was closed, and none goes back.

    In the end, long after the source's end, everything can be read.
    """
    state, put = FeedState(is_mirror=True), list[int]()
    for drafts, passed, has_ended, now in given_writes:
        rows = [copied_second(state, second) for second in drafts]
        assert all(row > state.watermark and row >= second for row, second in zip(rows, drafts, strict=True))
        assert all(row == second for row, second in zip(rows, drafts, strict=True) if second > state.watermark)
        after = copied(state, max(rows, default=0), passed, now, has_ended=has_ended)
        assert after.watermark >= max(state.watermark, passed)
        assert after.watermark <= max(state.watermark, passed, now - SOURCE_BEHIND_SECONDS if has_ended else 0)
        assert after.last_generated_timestamp == max(state.last_generated_timestamp, *rows, 0)
        put, state = put + rows, after
        assert not can_close(state, 10**9)
        assert not can_close_records(state, 10**9)
    state = copied(state, 0, 0, 10**9, has_ended=True)
    assert state.watermark >= max(put, default=0)


def test_how_far_a_page_has_passed() -> None:
    """Its last second only at the end of the stream: more of it may follow."""
    assert (passed_second(100, has_ended=False), passed_second(100, has_ended=True)) == (99, 100)
    assert passed_second(100, has_ended=True, holds_end=False) == 99


OLD, SAME = ticket(1, 100, subject="x"), ticket(1, 200, subject="x")
OTHER, NEW = ticket(1, 200, subject="y"), ticket(1, 300, subject="y")
STORED = ChangeRow(200, 1, SAME.row.body)
STATE = FeedState(250, 250, is_mirror=True)
# what the source gives -> the second at which it replaces what is stored, for a walk, a repair and an archive
CHOICES = [
    (OLD, None, None, None),
    (ticket(1, 100, subject="y"), None, 251, None),
    (SAME, None, None, None),
    (OTHER, 251, 251, None),
    (NEW, 300, 300, 300),
    (ticket(1, 240, subject="x"), 251, 251, 251),
]


@pytest.mark.parametrize(("draft", "walked", "repaired", "archived"), CHOICES)
def test_which_ticket_stays(draft: object, walked: int | None, repaired: int | None, archived: int | None) -> None:
    """Of a ticket that is stored, by the second and the content of what the source gives."""
    for expected, options in ((walked, {}), (repaired, {"overwrites": True}), (archived, {"is_archive": True})):
        row = choose_ticket(draft, STORED, STATE, **options)  # type: ignore[arg-type]
        assert (row and row.generated_timestamp) == expected, options
        assert row is None or b'"generated_timestamp":%d,' % row.generated_timestamp in row.body


def test_which_record_stays() -> None:
    """What is the same byte for byte; in an archive what is newer; and a user of the mirror's own always."""
    draft = user(5, "a@example.com")._replace(generated_timestamp=200)
    stored = ChangeRow(200, 5, draft.body)
    assert choose_record(draft, stored, STATE) is None
    assert choose_record(draft, None, STATE) == draft._replace(generated_timestamp=251)
    older = user(5, "b@example.com")._replace(generated_timestamp=100)
    assert choose_record(older, stored, STATE) == older._replace(generated_timestamp=251)
    assert choose_record(older, stored, STATE, is_archive=True) is None
    assert LOCAL_ID_MIN > NEW_ID_MAX
    with pytest.raises(BadRecord, match="mirror's own"):
        choose_record(user(LOCAL_ID_MIN), None, STATE)


def records(*positions: tuple[int, int]) -> list[RecordDraft]:
    return [user(id)._replace(generated_timestamp=second) for second, id in positions]


# a page of records, where it begins and ends -> the seconds they get
PAGES = [
    ([(10, 3), (10, 4), (12, 1)], Position(9, 7), Position(12, 1), [10, 10, 12]),
    ([(10, 3), (10, 4), (12, 1)], Position(10, 3), Position(12, 1), [12, 12, 12]),  # begins too early
    ([(10, 4), (10, 3), (12, 1)], Position(9, 7), Position(12, 1), [12, 12, 12]),  # in another order
    ([(10, 3), (12, 1)], Position(9, 7), Position(15, 1), [15, 15]),  # ends elsewhere
    ([], Position(9, 7), Position(9, 7), []),
    # by time: the second that a page begins in is repeated, and ids are in any order
    ([(9, 8), (10, 4), (10, 3), (12, 1)], Position(9, -1), Position(12, 0), [9, 10, 10, 12]),
    ([(11, 8), (11, 4)], Position(9, -1), Position(12, 0), [11, 11]),  # of one second
    ([(8, 8), (10, 4), (12, 1)], Position(9, -1), Position(12, 0), [12, 12, 12]),
    ([(10, 4), (9, 4), (12, 1)], Position(9, -1), Position(12, 0), [12, 12, 12]),
]


@pytest.mark.parametrize(("page", "after", "end", "expected"), PAGES)
def test_the_seconds_of_a_page(
    page: list[tuple[int, int]], after: Position, end: Position, expected: list[int]
) -> None:
    """Their own where the page is in their order; else that of its end, so that nobody who goes on here misses one."""
    placed = place_records(records(*page), after, end)
    assert [draft.generated_timestamp for draft in placed] == expected
    assert [draft.id for draft in placed] == [id for _, id in page]


def test_a_stored_mirror() -> None:
    """It is decoded as it was, keys of a newer release left out; the archive tells its date."""
    mirror = Mirror("https://acme.zendesk.com", streams={"users": StreamState({"cursor": "x"}, 5, has_ended=True)})
    assert decode_mirror(encode_mirror(mirror)) == mirror
    assert decode_mirror(encode_mirror(mirror).replace(b"{", b'{"newer":1,', 1)) == mirror
    assert mirror.stream("tickets") == StreamState()
    assert "closed on 2023-11-14" in str(Mirror("x", closed_at=NOON).refusal())
