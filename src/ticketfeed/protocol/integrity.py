"""The integrity rules of stored rows: what must hold for each, and a description of what does not.

A body is what readers get; the other columns repeat what is searched. So each row's body is parsed as if it were
loaded: the result must be the same body, byte for byte, and the same columns.
"""

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.mirrors import FEED_KINDS, Mirror
from ticketfeed.protocol.model import NEW_ID_MAX, FeedState
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.tickets import parse_ticket

__all__ = ["mirror_problems", "record_problems", "state_problems", "ticket_problems"]

# The end of the year 9999, as `now` of the parser: no stored time is too far in the future for it.
_LATEST = 253_402_300_799
_SHOWN_MAX = 60
_TICKET_COLUMNS = tuple(name for name in TicketRow._fields if name not in ("generated_timestamp", "body"))
# A record's second is that of the write that stored it, where that was not before all readers.
_NOT_IN_BODY = ("kind", "generated_timestamp", "body", "metric_state")
_RECORD_COLUMNS = tuple(name for name in RecordRow._fields if name not in _NOT_IN_BODY)


def ticket_problems(row: TicketRow, account: str) -> Iterator[str]:
    """Describe what is wrong with one ticket."""
    if type(row.id) is not int or type(row.generated_timestamp) is not int or type(row.body) is not bytes:
        yield "its id, its generated_timestamp or its body has the wrong type"
        return
    try:
        draft = parse_ticket(row.body, account=account, now=_LATEST)
    except BadRecord as error:
        yield f"its body cannot be read: {error}"
        return
    yield from _id_problems(row.id)
    if draft.body(row.generated_timestamp) != row.body:
        if draft.generated_timestamp != row.generated_timestamp:
            yield _differs("generated_timestamp", row.generated_timestamp, draft.generated_timestamp)
        if draft.body(draft.generated_timestamp) != row.body:
            yield "its body is not in the form that is stored: a key is missing, or keys are in another order"
    yield from _column_faults(_TICKET_COLUMNS, row, draft.row)


def record_problems(row: RecordRow, account: str, *, is_mirror: bool = False) -> Iterator[str]:
    """Describe what is wrong with one record. `is_mirror`: whether the account may have users of a mirror's own."""
    if row.kind not in RESOURCES:
        yield f"its kind {_shown(row.kind)} is unknown"
        return
    if type(row.generated_timestamp) is not int or type(row.body) is not bytes:
        yield "its generated_timestamp or its body has the wrong type"
        return
    try:
        draft = parse_record(row.kind, row.body, account=account, now=_LATEST)
    except BadRecord as error:
        yield f"its body cannot be read: {error}"
        return
    if not (is_mirror and row.kind == "users"):
        yield from _id_problems(draft.id)
    if draft.body != row.body:
        yield "its body is not in the form that is stored: a key is missing, or keys are in another order"
    yield from _column_faults(_RECORD_COLUMNS, row, draft)


def _id_problems(id: int) -> Iterator[str]:
    if id > NEW_ID_MAX:
        yield "its id is near the end of 64 bits, so that new ids are not made after it"


def state_problems(state: FeedState, ticket_count: int) -> Iterator[str]:
    """Describe what is wrong with the row of an account that has `ticket_count` tickets."""
    if state.watermark < state.last_generated_timestamp - 1 and not state.is_mirror:
        yield (
            f"its watermark {state.watermark} is more than a second before its last_generated_timestamp "
            f"{state.last_generated_timestamp}"
        )
    if state.ticket_count != ticket_count:
        yield f"its ticket_count is {state.ticket_count}, but it has {ticket_count} tickets"


def mirror_problems(state: FeedState, mirror: Mirror | None, kinds: Mapping[str, FeedState]) -> Iterator[str]:
    """Describe what is wrong with the mirror of an account. `kinds`: the feeds of its single kinds of records."""
    if state.is_mirror != (mirror is not None):
        yield "it is a mirror, but its source is not known" if state.is_mirror else "it has a source, but is no mirror"
    if mirror is None:
        return
    feeds = {"tickets": state} | {stream: kinds.get(kind, FeedState()) for stream, kind in FEED_KINDS.items()}
    for stream, feed in feeds.items():
        passed = mirror.stream(stream).passed
        if feed.watermark < passed:
            yield f"the watermark of {stream} is {feed.watermark}, but its walk has passed {passed}"


def _column_faults(columns: tuple[str, ...], row: Any, draft: Any) -> Iterator[str]:
    for column in columns:
        stored, expected = getattr(row, column), getattr(draft, column)
        if stored != expected:
            yield _differs(column, stored, expected)


def _differs(column: str, stored: object, expected: object) -> str:
    return f"its {column} is {_shown(stored)} in the row, but {_shown(expected)} in the body"


def _shown(value: object) -> str:
    """A value on one short line; None as JSON spells it."""
    if value is None:
        return "null"
    if isinstance(value, bytes) and len(value) % 8 == 0:
        value = array("q", value).tolist()  # packed ids
    text = ascii(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
