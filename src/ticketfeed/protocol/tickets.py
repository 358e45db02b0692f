"""Tickets that are loaded or written -> their exact wire bytes, serialised once.

Which second the tickets of a load carry is known only once the store holds the account's row. So a draft knows where
its `generated_timestamp` is, and the number can be replaced without serialising again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.record_types import DateTime, Id, SearchText
from ticketfeed.protocol.records import (
    FUTURE_SECONDS_MAX,
    check_nesting,
    decode_as,
    defaults_of,
    encode,
    serialize,
    split_checked,
    split_record,
    stored_values,
    use_wire_times,
    wire_time,
)
from ticketfeed.protocol.rows import TicketRow
from ticketfeed.protocol.shapes import TICKET_SHAPE
from ticketfeed.protocol.sideloads import pack_ids
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = ["TicketDraft", "decode_ticket", "make_ticket", "parse_ticket", "stored_draft", "without_fields"]

# Sideloads embed these keys in a ticket. They are no part of a stored one.
EMBEDDED_KEYS = ("metric_set", "dates", "comment_count", "incident_count", "slas", "metric_events")


@dataclass(frozen=True, slots=True)
class TicketDraft:
    """A ticket ready to be stored.

    `row`: carries the generated_timestamp of the input, or the closest time that the input has. `second_at`: where that
    number begins in its body. `metric_set`: the one that was embedded in the input's ticket, byte for byte.
    `names_metric_set`: whether the input's ticket has the key, which may be null.
    """

    row: TicketRow
    second_at: int
    metric_set: bytes | None = None
    names_metric_set: bool = False

    @property
    def id(self) -> int:
        return self.row.id

    @property
    def generated_timestamp(self) -> int:
        return self.row.generated_timestamp

    def row_at(self, generated_timestamp: int) -> TicketRow:
        """The ticket's row, carrying this second."""
        if generated_timestamp == self.row.generated_timestamp:
            return self.row
        return self.row._replace(generated_timestamp=generated_timestamp, body=self.body(generated_timestamp))

    def body(self, generated_timestamp: int) -> bytes:
        """The ticket's wire bytes, carrying this second."""
        body, begin = self.row.body, self.second_at
        end = begin + len(str(self.row.generated_timestamp))
        return b"%s%d%s" % (body[:begin], generated_timestamp, body[end:])


class _Field(msgspec.Struct):
    id: Id
    value: Any = None


class Ticket(msgspec.Struct):
    """The keys that clients rely on, each with its type on the wire.

    An enumeration is text here: records of other help desks have values that Zendesk does not have (enumerations.py).
    """

    id: Id
    url: str | UnsetType = UNSET
    external_id: SearchText | None = None
    via: dict[str, Any] | UnsetType = UNSET
    created_at: DateTime | UnsetType = UNSET
    updated_at: DateTime | UnsetType = UNSET
    generated_timestamp: Annotated[int, Meta(ge=0, le=INT64_MAX)] | UnsetType = UNSET
    type: str | None = None
    subject: str | None = None
    raw_subject: str | None = None
    description: str | None = None
    priority: str | None = None
    status: SearchText = "new"
    requester_id: Id | None = None
    submitter_id: Id | None = None
    assignee_id: Id | None = None
    organization_id: Id | None = None
    group_id: Id | None = None
    collaborator_ids: Sequence[Id] = ()
    follower_ids: Sequence[Id] = ()
    email_cc_ids: Sequence[Id] = ()
    problem_id: Id | None = None
    has_incidents: bool = False
    is_public: bool = True
    due_at: DateTime | None = None
    tags: Sequence[str] = ()
    custom_fields: list[_Field] | UnsetType = UNSET
    fields: list[_Field] | UnsetType = UNSET
    sharing_agreement_ids: Sequence[Id] = ()
    custom_status_id: Id | None = None
    ticket_form_id: Id | None = None
    brand_id: Id | None = None
    support_type: SearchText | None = None


_DECODER = msgspec.json.Decoder(Ticket)
_STORED = StoredDecoder(Ticket)
_VALUES = StoredDecoder(dict[str, Any])
# The time of a ticket that has none that can be read.
NEVER = "1970-01-01T00:00:00Z"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SECOND = "generated_timestamp"
_HEAD_KEYS = list(TICKET_SHAPE)[: list(TICKET_SHAPE).index(_SECOND)]
_HEAD_DEFAULTS = defaults_of({key: TICKET_SHAPE[key] for key in _HEAD_KEYS})
_TAIL_DEFAULTS = defaults_of(
    {key: value for key, value in TICKET_SHAPE.items() if key not in _HEAD_DEFAULTS and key != _SECOND}
)
_EMPTY = Raw(b"[]")


def stored_draft(row: TicketRow) -> TicketDraft:
    """A stored ticket, to be stored again as it is. Raises BadRecord for one that is not in the form that is stored."""
    values = dict(split_record(row.body))
    head = list(values)[: list(values).index(_SECOND)] if _SECOND in values else []
    begin = sum(len(f'"{key}":,') + len(bytes(values[key])) for key in head) + len(f'{{"{_SECOND}":')
    if not row.body.startswith(str(row.generated_timestamp).encode(), begin):
        raise BadRecord(f"ticket {row.id} is not in the form that is stored; see ticketfeed check")
    return TicketDraft(row, begin)


def parse_ticket(data: bytes, *, account: str, now: int, future_seconds_max: int = FUTURE_SECONDS_MAX) -> TicketDraft:
    """Complete one ticket that is loaded, a JSON object.

    Without a `generated_timestamp` it counts as generated when it was last updated; without any time, at `now`.
    `future_seconds_max`: how far it may lie ahead of `now`. Raises BadRecord.
    """
    values: dict[str, Any] = dict(split_checked(data))
    ticket = decode_as(_DECODER, data)
    use_wire_times(values, created_at=ticket.created_at, updated_at=ticket.updated_at, due_at=ticket.due_at)
    updated = ticket.updated_at or ticket.created_at or datetime.fromtimestamp(now, UTC)
    values.setdefault("created_at", wire_time(ticket.created_at or updated))
    values.setdefault("updated_at", wire_time(updated))
    generated = ticket.generated_timestamp
    if not generated:  # 0 in the answer to a POST, where it is not known yet
        generated = max(0, int(updated.timestamp()))
    if generated > now + future_seconds_max:
        raise BadRecord(f"generated_timestamp {generated} lies in the future")
    embedded = {key: bytes(values.pop(key)) for key in EMBEDDED_KEYS if key in values}
    metric_set = None if embedded.get("metric_set") == b"null" else embedded.get("metric_set")
    draft = _draft(ticket, values, account, generated, metric_set)
    return replace(draft, names_metric_set=True) if "metric_set" in embedded else draft


def decode_ticket(body: bytes) -> tuple[dict[str, Any], bool]:
    """The values of a stored ticket, and whether some are left out that an older release let in and are refused now."""
    values = _VALUES.decode(body)
    try:
        msgspec.convert(values, Ticket)
        check_nesting(body)
    except (msgspec.ValidationError, BadRecord):
        return {"created_at": NEVER, "updated_at": NEVER, **stored_values(_STORED, body)}, True
    return values, False


def make_ticket(
    values: Mapping[str, Any], stored: Mapping[str, Raw], *, account: str, generated_timestamp: int
) -> TicketDraft:
    """Complete a ticket that a write makes or changes.

    `values`: what it has after the write, its times included. `stored`: keys that do not change, as they are stored; of
    those in both the stored value counts. Raises BadRecord for what could not be loaded either.
    """
    try:
        ticket = msgspec.convert(values, Ticket)
    except msgspec.ValidationError as error:
        raise BadRecord(str(error)) from None
    return _draft(ticket, {**values, **stored}, account, generated_timestamp, None)


def _draft(
    ticket: Ticket, values: dict[str, Any], account: str, generated_timestamp: int, metric_set: bytes | None
) -> TicketDraft:
    """`values`: all keys that are set; the others are derived or have their defaults."""
    values.pop(_SECOND, None)
    fields, custom_fields = values.get("fields", _EMPTY), values.get("custom_fields", _EMPTY)
    derived = {
        "url": lambda: f"https://{account}.zendesk.com/api/v2/tickets/{ticket.id}.json",
        "raw_subject": lambda: ticket.subject,
        "custom_fields": lambda: fields,
        "fields": lambda: custom_fields,
        "encoded_id": lambda: _encoded_id(account, ticket.id),
    }
    head_values = {key: values.pop(key) for key in _HEAD_KEYS if key in values}
    head = serialize(head_values, _HEAD_DEFAULTS, derived)[:-1] + b',"generated_timestamp":'
    row = TicketRow(
        generated_timestamp=generated_timestamp,
        id=ticket.id,
        status=ticket.status,
        support_type=ticket.support_type,
        external_id=ticket.external_id,
        user_ids=_user_ids(ticket),
        group_id=ticket.group_id,
        organization_id=ticket.organization_id,
        problem_id=ticket.problem_id,
        ticket_form_id=ticket.ticket_form_id,
        brand_id=ticket.brand_id,
        custom_status_id=ticket.custom_status_id,
        agreement_ids=pack_ids(ticket.sharing_agreement_ids) or None,
        body=b"%s%d,%s" % (head, generated_timestamp, serialize(values, _TAIL_DEFAULTS, derived)[1:]),
    )
    check_nesting(row.body)
    return TicketDraft(row, len(head), metric_set)


def without_fields(body: bytes) -> bytes:
    """A stored ticket as lists have it: without `fields`, which repeats `custom_fields`."""
    values = split_record(body)
    values.pop("fields", None)
    return encode(values)


def _user_ids(ticket: Ticket) -> bytes:
    single = (ticket.requester_id, ticket.submitter_id, ticket.assignee_id)
    return pack_ids(
        [id for id in single if id is not None] + [*ticket.collaborator_ids, *ticket.follower_ids, *ticket.email_cc_ids]
    )


def _encoded_id(account: str, ticket_id: int) -> str:
    """Six characters, a hyphen and five characters: a hash of the account and the id."""
    digest = blake2b(f"{account}/{ticket_id}".encode(), digest_size=11).digest()
    text = "".join(_ALPHABET[byte % 36] for byte in digest)
    return f"{text[:6]}-{text[6:]}"
