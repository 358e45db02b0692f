"""The audit of one change of a ticket: its comment, and for each changed field the value before and after."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.record_types import COMMENT_TYPES, Audit
from ticketfeed.protocol.records import RecordDraft, encode, wire_second
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_metrics import MetricState, Step

__all__ = [
    "AUDIT_IDS",
    "SYSTEM_ID",
    "Event",
    "audit_draft",
    "audit_of",
    "change_events",
    "comment_event",
    "event_value",
    "field_events",
    "linked_id",
    "step_of",
    "steps_of",
]

# An audit and its events share a block of this many ids, of which the audit takes the first.
AUDIT_IDS = 1000
# The author of what the system does by itself.
SYSTEM_ID = -1
_API = {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}}
_SYSTEM = {"channel": "system", "source": {"from": {}, "to": {}, "rel": None}}
Event = dict[str, Any]


_AUDIT = StoredDecoder(Audit)


def audit_of(
    audit_id: int,
    ticket_id: int,
    now: int,
    author_id: int,
    events: Sequence[Event],
    metadata: Mapping[str, Any] | None = None,
) -> Event:
    """The audit of these events, which are numbered from its own id on. `metadata`: what a client sent with them."""
    for number, event in enumerate(events, 1):
        event["id"] = audit_id + number
        if event["type"] in COMMENT_TYPES:
            event["audit_id"] = audit_id
    return {
        "id": audit_id,
        "ticket_id": ticket_id,
        "created_at": wire_second(now),
        "author_id": author_id,
        "metadata": {"system": {}, "custom": metadata or {}},
        "events": list(events),
        "via": _SYSTEM if author_id == SYSTEM_ID else _API,
    }


def audit_draft(audit: Event, now: int) -> RecordDraft:
    """A new audit, ready to be stored."""
    comment_count = sum(event["type"] in COMMENT_TYPES for event in audit["events"])
    return RecordDraft(
        "audits", audit["id"], max(0, now), audit["ticket_id"], comment_count, None, None, 0, encode(audit)
    )


def comment_event(
    text: str, html: str | None, author_id: int, *, public: bool, call: Mapping[str, Any] | None = None
) -> Event:
    """A comment as an event that is not numbered yet. `html` is made from `text` where there is none.

    `call`: the data of a call, which make it a voice comment.
    """
    voice = {} if call is None else {"type": "VoiceComment", "data": call}
    body = escape(text, quote=False).replace("\n", "<br>")
    return {
        "id": 0,
        "type": "Comment",
        "author_id": author_id,
        "body": text,
        "html_body": html or f'<div class="zd-comment" dir="auto">{body}</div>',
        "plain_body": text,
        "public": public,
        "attachments": [],
        "audit_id": 0,
        **voice,
    }


def change_events(before: Mapping[str, Any] | None, after: Mapping[str, Any], names: Iterable[str]) -> list[Event]:
    """One event for each of these fields that differs, not numbered yet.

    `Create` events for a new ticket (`before` None), which has none for an empty field; `Change` events otherwise.
    """
    events: list[Event] = []
    for name in names:
        new, old = after.get(name), before.get(name) if before is not None else None
        if new == old or (before is None and new in (None, [])):
            continue
        type_ = "Create" if before is None else "Change"
        event = {"id": 0, "type": type_, "value": event_value(new), "field_name": name}
        events.append(event if before is None else {**event, "previous_value": event_value(old)})
    return events


def field_events(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Event]:
    """The same for custom fields, whose events name them by their id."""
    old, new = (
        {str(each["id"]): each.get("value") for each in (v or {}).get("custom_fields") or ()} for v in (before, after)
    )
    return change_events(None if before is None else old, new, new)


def event_value(value: Any) -> Any:
    """A field's value in an event, where the wire has numbers as text, and a checkbox as "1" or "0"."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value) if isinstance(value, int | float) else value


def steps_of(audits: Iterable[bytes]) -> list[Step]:
    """The steps of a ticket, one an audit; none if the first audit is not that of its creation."""
    steps: list[Step] = []
    for body in audits:
        audit = _AUDIT.decode(body)
        events = audit.events or ()
        if not steps and not any(event.get("type") == "Create" for event in events):
            return []
        before = steps[-1] if steps else None
        steps.append(step_of(before, int(audit.created_at.timestamp()), audit.author_id, events))
    return steps


def step_of(before: Step | MetricState | None, moment: int, author_id: int | None, events: Sequence[Event]) -> Step:
    """The step that an audit is, behind the one `before`; of several comments the first counts."""
    status, group_id, assignee_id = (
        (before.status, before.group_id, before.assignee_id) if before else ("new", None, None)
    )
    comment = None
    for event in events:
        type_ = event.get("type")
        if type_ in COMMENT_TYPES:
            comment = comment or event
        elif type_ in ("Create", "Change"):
            name, value = event.get("field_name"), event.get("value")
            if name == "status":
                status = str(value)
            elif name == "group_id":
                group_id = linked_id(value)
            elif name == "assignee_id":
                assignee_id = linked_id(value)
    is_public = comment is not None and bool(comment.get("public"))
    return Step(moment, status, group_id, assignee_id, author_id, comment is not None, is_public)


def linked_id(value: object) -> int | None:
    """An id, which events have as text."""
    if not isinstance(value, str) or not value.isdecimal() or len(value) > len(str(INT64_MAX)):
        return None
    id = int(value)
    return id if 0 < id <= INT64_MAX else None
