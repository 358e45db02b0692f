"""What must hold of every stored row, and in plain words what does not.

A body is the truth that readers are served; the columns beside it exist to be searched by. So each row's body is
parsed as if it were given anew: it must come out byte for byte the same, and its columns must say what it says.
"""

from array import array
from collections.abc import Iterator
from typing import Any

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import FeedState
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.tickets import parse_ticket

__all__ = ["record_faults", "state_faults", "ticket_faults"]

# The end of the year 9999: whatever was stored, it was not in the future.
_LATEST = 253_402_300_799
_SHOWN_MAX = 60
_TICKET_COLUMNS = tuple(name for name in TicketRow._fields if name not in ("generated_timestamp", "body"))
# A record's second is that of the write that stored it, where that was not before all readers.
_NOT_IN_BODY = ("kind", "generated_timestamp", "body", "metric_state")
_RECORD_COLUMNS = tuple(name for name in RecordRow._fields if name not in _NOT_IN_BODY)


def ticket_faults(row: TicketRow, account: str) -> Iterator[str]:
    """What is wrong with one ticket; nothing where it is sound."""
    if type(row.id) is not int or type(row.generated_timestamp) is not int or type(row.body) is not bytes:
        yield "its id, its generated_timestamp or its body has the wrong type"
        return
    try:
        draft = parse_ticket(row.body, account=account, now=_LATEST)
    except BadRecord as error:
        yield f"its body cannot be read: {error}"
        return
    if draft.body(row.generated_timestamp) != row.body:
        if draft.generated_timestamp != row.generated_timestamp:
            yield _differs("generated_timestamp", row.generated_timestamp, draft.generated_timestamp)
        if draft.body(draft.generated_timestamp) != row.body:
            yield "its body is not in the form that is stored: a key is missing, or keys stand in another order"
    yield from _column_faults(_TICKET_COLUMNS, row, draft.row)


def record_faults(row: RecordRow, account: str) -> Iterator[str]:
    """What is wrong with one record; nothing where it is sound."""
    if row.kind not in RESOURCES:
        yield f"there is no kind {_shown(row.kind)}"
        return
    if type(row.generated_timestamp) is not int or type(row.body) is not bytes:
        yield "its generated_timestamp or its body has the wrong type"
        return
    try:
        draft = parse_record(row.kind, row.body, account=account, now=_LATEST)
    except BadRecord as error:
        yield f"its body cannot be read: {error}"
        return
    if draft.body != row.body:
        yield "its body is not in the form that is stored: a key is missing, or keys stand in another order"
    yield from _column_faults(_RECORD_COLUMNS, row, draft)


def state_faults(state: FeedState, tickets_held: int) -> Iterator[str]:
    """What is wrong with an account row beside a feed of `tickets_held`."""
    if state.watermark < state.last_generated_timestamp - 1:
        yield (
            f"its watermark {state.watermark} is more than a second before its last_generated_timestamp "
            f"{state.last_generated_timestamp}"
        )
    if state.ticket_count != tickets_held:
        yield f"its ticket_count is {state.ticket_count}, but it holds {tickets_held} tickets"


def _column_faults(columns: tuple[str, ...], row: Any, draft: Any) -> Iterator[str]:
    for column in columns:
        stored, told = getattr(row, column), getattr(draft, column)
        if stored != told:
            yield _differs(column, stored, told)


def _differs(column: str, stored: object, told: object) -> str:
    return f"its {column} is {_shown(stored)} in the row, but {_shown(told)} in the body"


def _shown(value: object) -> str:
    """On one line, and not long; None as the wire spells it."""
    if value is None:
        return "null"
    if isinstance(value, bytes) and len(value) % 8 == 0:
        value = array("q", value).tolist()  # packed ids
    text = ascii(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
