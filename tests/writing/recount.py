"""The metrics of a ticket counted anew from all of its audits: the definition that updates are tested against.

It goes by the definition of each figure, over the whole list of audits, and shares no code with `ticket_metrics.py`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

__all__ = ["recount", "recounted_events"]


class Moment(NamedTuple):
    """A ticket after one audit."""

    at: int
    status: str
    group_id: int | None
    assignee_id: int | None
    by_requester: bool
    has_comment: bool
    is_reply: bool


def recount(audits: Sequence[bytes], requester_id: int | None) -> dict[str, Any] | None:
    """A metric set behind its `ticket_id`; None where the first audit is not that of the creation."""
    moments = _moments(audits, requester_id)
    if not moments:
        return None
    created, pairs = moments[0].at, list(pairwise(moments))
    assigned = [m.at for m, before in _entries(moments, "assignee_id")]
    statuses = [created, *(after.at for before, after in pairs if before.status != after.status)]
    solved = [after.at for before, after in pairs if before.status != after.status == "solved"]
    replies = [m.at for m in moments if m.is_reply]
    by_requester = [m.at for m in moments if m.by_requester] or [created]
    by_others = [m.at for m in moments[1:] if not m.by_requester and m.assignee_id is not None]

    def spent_in(*names: str) -> int:
        return sum(after.at - before.at for before, after in pairs if before.status in names)

    return {
        "created_at": _wire(created),
        "updated_at": _wire(moments[-1].at),
        "group_stations": len(_entries(moments, "group_id")),
        "assignee_stations": len(assigned),
        "reopens": sum(before.status == "solved" and after.status == "open" for before, after in pairs),
        "replies": len(replies),
        "assignee_updated_at": _last(by_others),
        "requester_updated_at": _last(by_requester),
        "status_updated_at": _last(statuses),
        "initially_assigned_at": _last(assigned[:1]),
        "assigned_at": _last(assigned),
        "solved_at": _last(solved),
        "latest_comment_added_at": _last([m.at for m in moments if m.has_comment]),
        "custom_status_updated_at": _last(statuses),
        "reply_time_in_minutes": _minutes(replies[0] - created if replies else None),
        "first_resolution_time_in_minutes": _minutes(solved[0] - created if solved else None),
        "full_resolution_time_in_minutes": _minutes(solved[-1] - created if solved else None),
        "agent_wait_time_in_minutes": _minutes(spent_in("pending")),
        "requester_wait_time_in_minutes": _minutes(spent_in("new", "open", "hold")),
        "on_hold_time_in_minutes": _minutes(spent_in("hold")),
        "reply_time_in_seconds": {"calendar": replies[0] - created if replies else None},
    }


def recounted_events(audits: Sequence[bytes], requester_id: int | None) -> list[dict[str, Any]]:
    """The metric events behind their `ticket_id`, without an SLA policy."""
    moments = _moments(audits, requester_id)
    if not moments:
        return []
    base, created = {"metric": "reply_time", "instance_id": 1, "deleted": False}, moments[0].at
    events: list[dict[str, Any]] = [{**base, "type": "activate", "time": _wire(created)}]
    reply = next((m.at for m in moments if m.is_reply), None)
    if reply is not None:
        events.append({**base, "type": "fulfill", "time": _wire(reply)})
        events.append({**base, "type": "update_status", "time": _wire(reply), "status": _minutes(reply - created)})
    return events


def _moments(audits: Sequence[bytes], requester_id: int | None) -> list[Moment]:
    moments: list[Moment] = []
    values: dict[str, Any] = {}
    for number, audit in enumerate(map(msgspec.json.decode, audits)):
        comments = [event for event in audit["events"] if event["type"] == "Comment"]
        creations = [event for event in audit["events"] if event["type"] == "Create"]
        if number == 0 and not creations:
            return []
        for event in audit["events"]:
            if event["type"] in ("Create", "Change"):
                values[event["field_name"]] = event["value"]
        by_requester = audit.get("author_id") == requester_id
        moments.append(
            Moment(
                int(datetime.fromisoformat(audit["created_at"]).timestamp()),
                str(values.get("status", "new")),
                _id(values.get("group_id")),
                _id(values.get("assignee_id")),
                by_requester,
                bool(comments),
                number > 0 and bool(comments) and bool(comments[0]["public"]) and not by_requester,
            )
        )
    return moments


def _entries(moments: Sequence[Moment], name: str) -> list[tuple[Moment, Any]]:
    """When the value became another than before, and not null."""
    before = [None, *(getattr(moment, name) for moment in moments)]
    return [(m, old) for m, old in zip(moments, before, strict=False) if getattr(m, name) not in (None, old)]


def _id(value: object) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _minutes(seconds: int | None) -> dict[str, int | None]:
    return {
        "calendar": None if seconds is None else seconds // 60,
        "business": None if seconds is None else seconds // 180,
    }


def _last(seconds: Sequence[int]) -> str | None:
    return _wire(seconds[-1]) if seconds else None


def _wire(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
