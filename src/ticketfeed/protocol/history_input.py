"""Comments and ticket events -> audits, the form in which the history of a ticket is stored.

A comment is the audit that has it alone. A ticket event is an audit in another form; what that form leaves out (which
comment was meant where the text is not included, the value of a field before) stays unknown.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.audit_views import CHANNEL_NAMES
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.record_types import COMMENT_TYPES
from ticketfeed.protocol.records import encode, wire_second

__all__ = ["audit_of_comment", "audit_of_ticket_event", "split_comments"]

_EMPTY = Raw(b"{}")
_OF_AUDIT = ("created_at", "metadata", "ticket_id")
_CHANNELS = {spelling: channel for channel, spelling in CHANNEL_NAMES.items()}
# The keys of a child event that are not the name of a changed field.
_NO_FIELDS = frozenset(
    {"id", "via", "via_reference_id", "type", "event_type", "previous_value", "added_tags", "removed_tags", "body"}
)


def split_comments(values: Mapping[str, Raw]) -> list[dict[str, Raw]] | None:
    """The comments inside a ticket; None if its key `comments` is not a list of objects. Raises BadRecord."""
    data = bytes(values.get("comments", b""))
    if data[:1] != b"[":
        return None
    try:
        return msgspec.json.decode(data, type=list[dict[str, Raw]])
    except msgspec.ValidationError:
        return None


def audit_of_comment(comment: Mapping[str, Raw], ticket_id: Raw, created_at: Raw | None = None) -> bytes:
    """The audit that a comment belongs to. `created_at`: of a comment that does not have its own. Raises BadRecord."""
    if "id" not in comment:
        raise BadRecord("a comment has no `id`")
    audit = {
        "id": comment.get("audit_id", comment["id"]),
        "ticket_id": ticket_id,
        "created_at": comment.get("created_at", created_at),
        "author_id": comment.get("author_id"),
        "metadata": comment.get("metadata"),
        "events": [{"type": "Comment", **{key: value for key, value in comment.items() if key not in _OF_AUDIT}}],
        "via": comment.get("via"),
    }
    return encode({key: value for key, value in audit.items() if value is not None})


def audit_of_ticket_event(data: bytes) -> bytes:
    """The audit that an item of the ticket events export shows. Raises BadRecord."""
    try:
        event = msgspec.json.decode(data, type=_TicketEvent)
        metadata: dict[str, Any] = {"system": event.system, "custom": event.metadata}
        audit = {
            "id": event.id,
            "ticket_id": event.ticket_id,
            "created_at": event.created_at or (None if event.timestamp is None else wire_second(event.timestamp)),
            "author_id": event.updater_id,
            "metadata": metadata,
            "events": [_event(child) for child in event.child_events],
            "via": _via(event.via),
        }
    except (msgspec.ValidationError, OverflowError, OSError) as error:
        raise BadRecord(str(error)) from None
    return encode({key: value for key, value in audit.items() if value is not None})


class _TicketEvent(msgspec.Struct):
    id: int
    ticket_id: int
    created_at: str | None = None
    timestamp: int | None = None
    updater_id: int | None = None
    via: str | None = None
    system: Raw = _EMPTY
    metadata: Raw = _EMPTY
    child_events: list[dict[str, Any]] = []


def _event(child: dict[str, Any]) -> dict[str, Any]:
    type_ = str(child.get("event_type") or child.get("type") or "Change")
    event: dict[str, Any] = {"id": child["id"], "type": type_} if child.get("id") else {"type": type_}
    via = child.get("via")
    if isinstance(via, str | dict):
        event["via"] = _via(via) if isinstance(via, str) else via
    if type_ in ("Create", "Change"):
        name = next((key for key in child if key not in _NO_FIELDS), None)
        change = {"field_name": name, "value": child.get(name)} if name else {}
        before = {"previous_value": child["previous_value"]} if "previous_value" in child else {}
        return {**event, **change, **before}
    is_comment = type_ in COMMENT_TYPES
    ours = ("id", "via", "via_reference_id", "event_type", *(("created_at",) if is_comment else ()))
    others = {key: value for key, value in child.items() if key not in ours}
    if is_comment and others.pop("comment_present", False):
        others = {"body": "", "public": others.get("comment_public", True)}
    return {**others, **event}


def _via(spelling: str | None) -> dict[str, Any]:
    name = spelling or "api"
    channel = _CHANNELS.get(name, re.sub(r"\W+", "_", name.lower()))
    return {"channel": channel, "source": {"from": {}, "to": {}, "rel": None}}
