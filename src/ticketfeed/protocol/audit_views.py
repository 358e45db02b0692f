"""Views of audits: comments, ticket events, the deletion of a ticket.

An audit is one change of a ticket with all its events, stored as `GET /tickets/{id}/audits` shows it. What other
endpoints show is made from it, so that they cannot disagree.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ticketfeed.protocol.record_types import COMMENT_TYPES, Audit
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = [
    "CHANNEL_NAMES",
    "audit_of_ticket_event",
    "comments_of",
    "deletion_of",
    "parse_audit_filter",
    "ticket_event_of",
]

# The channel of an audit -> its name in ticket events.
CHANNEL_NAMES = {
    "web": "Web form",
    "email": "Mail",
    "api": "Web service",
    "rule": "Rule",
    "chat": "Chat",
    "mobile": "Mobile",
}
_CHANNELS = {name: channel for channel, name in CHANNEL_NAMES.items()}
_AUDIT = StoredDecoder(Audit)


def comments_of(audits: Iterable[bytes], *, inline_images: bool = False) -> list[ListRow]:
    """The comments of these audits as rows of a list by id; inline images are attachments only where asked for."""
    found = []
    for body in audits:
        audit = _AUDIT.decode(body)
        for number, event in enumerate(audit.events or (), 1):
            if event.get("type") in COMMENT_TYPES:
                id = event.get("id") or audit.id + number
                comment = {
                    **event,
                    "id": id,
                    "audit_id": audit.id,
                    "via": event.get("via") or audit.via or {},
                    "created_at": audit.created_at,
                    "metadata": audit.metadata or {},
                }
                if not inline_images and isinstance(comment.get("attachments"), list):
                    comment["attachments"] = [each for each in comment["attachments"] if not _is_inline(each)]
                found.append(ListRow(id, id, msgspec.json.encode(comment)))
    return found


def _is_inline(attachment: Any) -> bool:
    return isinstance(attachment, dict) and attachment.get("inline") is True


def parse_audit_filter(parameters: Mapping[str, str]) -> Callable[[bytes], bool] | None:
    """Which audits a list holds: those with an event of one of these types, and of this channel; None for all."""
    types = {text.strip() for text in parameters.get("filter_events[]", "").split(",") if text.strip()}
    channel = parameters.get("filter_via")
    if not types and channel is None:
        return None

    def check(body: bytes) -> bool:
        audit = _AUDIT.decode(body)
        has_event = not types or any(str(event.get("type")) in types for event in audit.events or ())
        return has_event and channel in (None, (audit.via or {}).get("channel"))

    return check


def ticket_event_of(body: bytes, *, comment_events: bool) -> bytes:
    """An audit as the export of ticket events has it; comments have their text only with `comment_events`."""
    audit = _AUDIT.decode(body)
    via, metadata = _channel_name(audit.via), audit.metadata or {}
    event = {
        "child_events": [_child_event(event, audit, comment_events) for event in audit.events or ()],
        "id": audit.id,
        "ticket_id": audit.ticket_id,
        "timestamp": int(audit.created_at.timestamp()),
        "created_at": audit.created_at,
        "updater_id": audit.author_id,
        "via": via,
        "system": metadata.get("system", {}),
        "metadata": metadata.get("custom", {}),
        "event_type": "Audit",
    }
    return msgspec.json.encode(event)


class _TicketEvent(msgspec.Struct):
    id: int
    ticket_id: int
    created_at: str
    child_events: list[dict[str, Any]] = []
    updater_id: int | None = None
    via: str | None = None
    system: Any = None
    metadata: Any = None


_TICKET_EVENT = msgspec.json.Decoder(_TicketEvent)
# What `_child_event` adds to every event.
_ADDED_KEYS = frozenset({"via_reference_id", "event_type"})


def audit_of_ticket_event(data: bytes) -> bytes:
    """The audit that a ticket event with its comments was made from, as far as it shows: `ticket_event_of` makes the
    same ticket event of it again. Raises msgspec.DecodeError.
    """
    event = _TICKET_EVENT.decode(data)
    via = _via_of(event)
    audit = {
        "id": event.id,
        "ticket_id": event.ticket_id,
        "created_at": event.created_at,
        "author_id": event.updater_id,
        "metadata": {"system": event.system or {}, "custom": event.metadata or {}},
        "events": [_event_of(child, via) for child in event.child_events],
        "via": via,
    }
    return msgspec.json.encode(audit)


def _via_of(event: _TicketEvent) -> dict[str, Any]:
    """The channel of an audit: whole where one of its comments shows it, else by its name alone."""
    for child in event.child_events:
        via = child.get("via")
        if isinstance(via, dict) and _channel_name(via) == event.via:
            return via
    return _named_via(event.via)


def _named_via(name: str | None) -> dict[str, Any]:
    channel = _CHANNELS.get(name or "", (name or "api").lower().replace(" ", "_"))
    return {"channel": channel, "source": {"from": {}, "to": {}, "rel": None}}


def _event_of(child: Mapping[str, Any], audit_via: Mapping[str, Any]) -> dict[str, Any]:
    type_ = child.get("event_type") or child.get("type")
    via = child.get("via")
    own_via = via if isinstance(via, dict) else _named_via(via)
    if type_ not in (*COMMENT_TYPES, "Create", "Change"):  # all keys are its own, in its own order
        rest = {key: own_via if key == "via" else value for key, value in child.items() if key not in _ADDED_KEYS}
        return _typed(rest, type_)
    rest = {key: value for key, value in child.items() if key not in _ADDED_KEYS and key != "via"}
    if type_ in ("Create", "Change"):
        rest = _field_change(rest)
    elif "comment_present" in rest:
        rest = {"id": rest.get("id"), "public": rest.get("comment_public")}
    else:
        rest.pop("created_at", None)
    event = _typed(rest, type_)
    has_own_via = own_via != audit_via if isinstance(via, dict) else via != _channel_name(dict(audit_via))
    return {**event, "via": own_via} if has_own_via else event


def _typed(event: dict[str, Any], type_: Any) -> dict[str, Any]:
    return event if "type" in event else {"id": event.pop("id", None), "type": type_, **event}


def _field_change(child: dict[str, Any]) -> dict[str, Any]:
    """The field is a key of the ticket event; what else is there says more of the change."""
    id, before = child.pop("id", None), {key: child.pop(key) for key in ("previous_value",) if key in child}
    name = next(iter(child), None)
    value = child.pop(name) if name is not None else None
    return {"id": id, "value": value, "field_name": name, **before, **child}


def deletion_of(audits: Sequence[bytes]) -> tuple[int | None, str]:
    """Who deleted a ticket, where its audits say so, and the status that it had before. The newest audits say both."""
    actor: int | None = None
    is_found, previous = False, "open"
    for body in reversed(audits):
        audit = _AUDIT.decode(body)
        for event in reversed(audit.events or ()):
            status = event.get("value")
            if event.get("field_name") != "status" or not isinstance(status, str):
                continue
            if status != "deleted":
                return actor, status
            if not is_found:
                actor, is_found = audit.author_id, True
                if isinstance(event.get("previous_value"), str):
                    previous = event["previous_value"]
    return actor, previous


def _child_event(event: dict[str, Any], audit: Audit, comment_events: bool) -> dict[str, Any]:
    type_ = event.get("type")
    via = event.get("via") or audit.via
    child = {"id": event.get("id"), "via": _channel_name(via), "via_reference_id": None}
    if type_ in COMMENT_TYPES and comment_events:
        # A whole comment has its channel as an object, where the other events have a name.
        whole = {"via": via or {}, "via_reference_id": None, "created_at": audit.created_at}
        return {**child, **event, **whole, "event_type": type_}
    if type_ in COMMENT_TYPES:
        return {**child, "comment_present": True, "comment_public": event.get("public"), "event_type": type_}
    if type_ in ("Create", "Change"):
        child[str(event.get("field_name"))] = event.get("value")
        before = {"previous_value": event.get("previous_value")} if type_ == "Change" else {}
        return {**child, **before, "event_type": type_}
    return {**event, **child, "event_type": type_}


def _channel_name(via: dict[str, Any] | None) -> str:
    channel = str((via or {}).get("channel") or "api")
    return CHANNEL_NAMES.get(channel, channel.replace("_", " ").capitalize())
