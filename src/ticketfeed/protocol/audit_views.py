"""Views of audits: comments, ticket events, the deletion of a ticket.

An audit is one change of a ticket with all its events, stored as `GET /tickets/{id}/audits` shows it. What other
endpoints show is made from it, so that they cannot disagree.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from ticketfeed.protocol.record_types import COMMENT_TYPES
from ticketfeed.protocol.rows import ListRow

__all__ = ["comments_of", "deletion_of", "ticket_event_of"]

# The channel of an audit -> its name in ticket events.
_CHANNEL_NAMES = {
    "web": "Web form",
    "email": "Mail",
    "api": "Web service",
    "rule": "Rule",
    "chat": "Chat",
    "mobile": "Mobile",
}


class _Audit(msgspec.Struct):
    id: int
    ticket_id: int
    created_at: datetime
    author_id: int | None = None
    events: list[dict[str, Any]] = []
    via: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


_AUDIT = msgspec.json.Decoder(_Audit)


def comments_of(audits: Iterable[bytes]) -> list[ListRow]:
    """The comments of these audits as rows of a list by id."""
    found = []
    for body in audits:
        audit = _AUDIT.decode(body)
        for event in audit.events:
            if event.get("type") in COMMENT_TYPES:
                comment = {
                    **event,
                    "audit_id": audit.id,
                    "via": event.get("via", audit.via),
                    "created_at": audit.created_at,
                    "metadata": audit.metadata,
                }
                found.append(ListRow(int(event["id"]), int(event["id"]), msgspec.json.encode(comment)))
    return found


def ticket_event_of(body: bytes, *, comment_events: bool) -> bytes:
    """An audit as the export of ticket events has it; comments have their text only with `comment_events`."""
    audit = _AUDIT.decode(body)
    via = _channel_name(audit.via)
    event = {
        "child_events": [_child_event(event, via, comment_events) for event in audit.events],
        "id": audit.id,
        "ticket_id": audit.ticket_id,
        "timestamp": int(audit.created_at.timestamp()),
        "created_at": audit.created_at,
        "updater_id": audit.author_id,
        "via": via,
        "system": audit.metadata.get("system", {}),
        "metadata": audit.metadata.get("custom", {}),
        "event_type": "Audit",
    }
    return msgspec.json.encode(event)


def deletion_of(audits: Sequence[bytes]) -> tuple[int | None, str]:
    """Who deleted a ticket, where its audits say so, and the status that it had before. The newest audits say both."""
    actor: int | None = None
    is_found = False
    for body in reversed(audits):
        audit = _AUDIT.decode(body)
        for event in reversed(audit.events):
            if event.get("field_name") != "status":
                continue
            if event.get("value") != "deleted":
                return actor, str(event.get("value"))
            if not is_found:
                actor, is_found = audit.author_id, True
    return actor, "open"


def _child_event(event: dict[str, Any], via: str, comment_events: bool) -> dict[str, Any]:
    type_ = event.get("type")
    child = {
        "id": event.get("id"),
        "via": _channel_name(event["via"]) if "via" in event else via,
        "via_reference_id": None,
    }
    if type_ in COMMENT_TYPES and comment_events:
        return {**event, **child, "event_type": type_}
    if type_ in COMMENT_TYPES:
        return {**child, "comment_present": True, "comment_public": event.get("public"), "event_type": type_}
    if type_ in ("Create", "Change"):
        child[str(event.get("field_name"))] = event.get("value")
        before = {"previous_value": event.get("previous_value")} if type_ == "Change" else {}
        return {**child, **before, "event_type": type_}
    return {**event, **child, "event_type": type_}


def _channel_name(via: dict[str, Any]) -> str:
    channel = str(via.get("channel", "api"))
    return _CHANNEL_NAMES.get(channel, channel.replace("_", " ").capitalize())
