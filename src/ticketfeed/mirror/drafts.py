"""Pages of a source -> drafts: the records byte for byte, at their positions.

A record that this server would refuse in a load is taken all the same, without what it cannot store of it: a reader of
the mirror is better served by most of a record than by none. Only what has no usable id is left out, and told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ticketfeed.client.steps import ExportPage
from ticketfeed.client.streams import STREAMS
from ticketfeed.protocol.audit_views import audit_of_ticket_event
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.errors import BadRecord, InvalidCursor
from ticketfeed.protocol.mirrors import FEED_KINDS, place_records
from ticketfeed.protocol.model import LOADED_ID_MAX, Position
from ticketfeed.protocol.records import RecordDraft, encode, parse_stored, split_record
from ticketfeed.protocol.request_body import UNREADABLE
from ticketfeed.protocol.tickets import TicketDraft, decode_ticket, parse_ticket

__all__ = ["PageDrafts", "kind_of", "make_drafts", "position_of_state"]

# The clock of a source may be far ahead of ours: its times are taken as they are.
_ANY_FUTURE = 2**40


@dataclass(slots=True)
class PageDrafts:
    """What a page becomes. `problems`: why records were left out, a line each."""

    drafts: list[TicketDraft | RecordDraft] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def tickets(self) -> list[TicketDraft]:
        return [draft for draft in self.drafts if isinstance(draft, TicketDraft)]


def kind_of(stream: str) -> str:
    """The kind of record that a stream's records are here."""
    return FEED_KINDS.get(stream, stream)


def make_drafts(page: ExportPage, before: Mapping[str, Any], *, account: str, now: int) -> PageDrafts:
    """`before`: the stream's state before the page. `account`: names the host of a record without a url."""
    made, kind = PageDrafts(), kind_of(page.stream)
    records: list[RecordDraft] = []
    for data in page.records:
        try:
            if kind == "tickets":
                made.drafts += _ticket_drafts(bytes(data), account, now)
            else:
                records.append(_record_draft(kind, bytes(data), account, now))
        except (BadRecord, *UNREADABLE) as error:
            made.problems.append(f"a record of {page.stream} was left out: {error}")
    if page.stream in FEED_KINDS:
        records = _placed(page, before, records)
    made.drafts += records
    return made


def _placed(page: ExportPage, before: Mapping[str, Any], records: list[RecordDraft]) -> list[RecordDraft]:
    after, end = position_of_state(before, is_end=False), position_of_state(page.state, is_end=True)
    if after is None or end is None:  # a cursor that cannot be read: what the records say has to do
        return records
    if STREAMS[page.stream].way == "cursor":
        return place_records(records, after, end)
    return place_records(records, Position(after.generated_timestamp, -1), Position(end.generated_timestamp, 0))


def position_of_state(state: Mapping[str, Any], *, is_end: bool) -> Position | None:
    """Where a stream's walk is; None where its cursor cannot be read. `is_end`: of a page, else before it."""
    if "cursor" in state:
        try:
            return decode_cursor(state["cursor"])
        except InvalidCursor:
            return None
    return Position(int(state.get("start_time", 0)), 0 if is_end else -1)


def _ticket_drafts(data: bytes, account: str, now: int) -> list[TicketDraft | RecordDraft]:
    """A ticket, and the metric set that came in it."""
    options: dict[str, Any] = {"account": account, "now": now, "future_seconds_max": _ANY_FUTURE}
    try:
        ticket = parse_ticket(data, **options)
    except BadRecord:
        ticket = parse_ticket(encode(decode_ticket(data)[0]), **options)
    _check_id(ticket.id)
    if ticket.metric_set is None:
        return [ticket]
    try:
        metric_set = _record_draft("ticket_metrics", ticket.metric_set, account, now)
    except (BadRecord, *UNREADABLE):
        return [ticket]
    return [ticket, metric_set] if metric_set.id == ticket.id else [ticket]


def _record_draft(kind: str, data: bytes, account: str, now: int) -> RecordDraft:
    if kind == "audits":
        data = audit_of_ticket_event(data)
    elif kind == "users" and b'"permanently_deleted"' in data:
        data = _without_mark(data)
    draft = parse_stored(kind, data, account=account, now=now, future_seconds_max=_ANY_FUTURE)
    _check_id(draft.id)
    return draft


def _without_mark(data: bytes) -> bytes:
    """A user as it is at its own address: only the exports say of a deleted one that it was not deleted for good."""
    values = split_record(data)
    if bytes(values.get("permanently_deleted", b"")) == b"false":
        del values["permanently_deleted"]
        return encode(values)
    return data


def _check_id(id: int) -> None:
    if id > LOADED_ID_MAX:
        raise BadRecord(f"the id {id} is beyond 2**62")
