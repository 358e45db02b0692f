"""One change of a ticket -> its audit: what was said, and which field went from what to what."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

import msgspec

from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.ticket_metrics import Step

__all__ = ["AUDIT_IDS", "SYSTEM_ID", "audit_of", "change_events", "comment_event", "scrubbed_audit", "steps_of"]

# An audit and its events share a block of so many ids, of which the audit takes the first.
AUDIT_IDS = 1000
# Whoever acts when nobody does.
SYSTEM_ID = -1
_API = {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}}
_SYSTEM = {"channel": "system", "source": {"from": {}, "to": {}, "rel": None}}
# Fields whose values are somebody's words.
_SAID = ("subject", "raw_subject", "tags", "external_id")
Event = dict[str, Any]


class _Audit(msgspec.Struct):
    created_at: datetime
    author_id: int | None = None
    events: list[Event] = []


_AUDIT = msgspec.json.Decoder(_Audit)


def audit_of(audit_id: int, ticket_id: int, now: int, author_id: int, events: Sequence[Event]) -> Event:
    """The audit, whose events get the ids behind its own."""
    for number, event in enumerate(events, 1):
        event["id"] = audit_id + number
        if event["type"] == "Comment":
            event["audit_id"] = audit_id
    return {
        "id": audit_id,
        "ticket_id": ticket_id,
        "created_at": wire_second(now),
        "author_id": author_id,
        "metadata": {"system": {}, "custom": {}},
        "events": list(events),
        "via": _SYSTEM if author_id == SYSTEM_ID else _API,
    }


def comment_event(text: str, html: str | None, author_id: int, *, public: bool) -> Event:
    """A comment, as an event that has no ids yet."""
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
    }


def change_events(before: Mapping[str, Any] | None, after: Mapping[str, Any], names: Iterable[str]) -> list[Event]:
    """What differs of these fields: `Create` for a new ticket (`before` None), `Change` otherwise."""
    events: list[Event] = []
    for name in names:
        new, old = after.get(name), before.get(name) if before is not None else None
        if new == old or (before is None and new in (None, [])):
            continue
        event = {"id": 0, "type": "Create" if before is None else "Change", "value": _value(new), "field_name": name}
        events.append(event if before is None else {**event, "previous_value": _value(old)})
    return events


def scrubbed_audit(body: bytes) -> bytes:
    """The audit with nothing left of what was said."""
    audit = msgspec.json.decode(body)
    for event in audit.get("events", []):
        if event.get("type") == "Comment":
            event |= {"body": "X", "html_body": "X", "plain_body": "X", "attachments": []}
        elif event.get("field_name") in _SAID:
            event |= {key: "X" for key in ("value", "previous_value") if key in event}
    return msgspec.json.encode(audit)


def steps_of(audits: Iterable[bytes], requester_id: int | None) -> list[Step]:
    """What a ticket was after each audit; nothing where they do not tell of its beginning."""
    steps: list[Step] = []
    values: dict[str, Any] = {}
    for audit in map(_AUDIT.decode, audits):
        comment = next((event for event in audit.events if event.get("type") == "Comment"), None)
        for event in audit.events:
            if event.get("type") in ("Create", "Change"):
                values[str(event.get("field_name"))] = event.get("value")
        if not steps and not any(event.get("type") == "Create" for event in audit.events):
            return []
        by_requester = audit.author_id == requester_id
        steps.append(
            Step(
                int(audit.created_at.timestamp()),
                str(values.get("status", "new")),
                _id(values.get("group_id")),
                _id(values.get("assignee_id")),
                by_requester=by_requester,
                has_comment=comment is not None,
                is_reply=bool(steps and comment and comment.get("public") and not by_requester),
            )
        )
    return steps


def _id(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _value(value: Any) -> Any:
    """Numbers are texts in events."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
