"""The metrics of one ticket, counted from the steps of its history: its metric set and its metric events.

Minutes are whole; business minutes are a third of them, as if every day had eight business hours of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ticketfeed.protocol.records import wire_second

__all__ = ["Step", "metric_events", "metric_set"]

_WAITING = {"new", "open", "hold"}  # the requester waits; in pending the agents do


class Step(NamedTuple):
    """What a ticket was after one audit, at `moment`, and what the audit was."""

    moment: int
    status: str
    group_id: int | None
    assignee_id: int | None
    by_requester: bool
    has_comment: bool
    is_reply: bool


def metric_set(steps: Sequence[Step]) -> dict[str, Any]:
    """All keys behind `ticket_id`, in wire order."""
    created, last = steps[0].moment, steps[-1].moment
    pairs = list(pairwise(steps))
    assigned = _moments(steps, "assignee_id")
    statuses = [created, *(after.moment for before, after in pairs if before.status != after.status)]
    solved = [after.moment for before, after in pairs if before.status != after.status == "solved"]
    replies = [step.moment for step in steps if step.is_reply]
    in_status = dict.fromkeys(("new", "open", "pending", "hold", "solved", "closed", "deleted"), 0)
    for before, after in pairs:
        in_status[before.status] += after.moment - before.moment
    waiting = sum(in_status[name] for name in _WAITING)
    return {
        "created_at": wire_second(created),
        "updated_at": wire_second(last),
        "group_stations": len(_moments(steps, "group_id")),
        "assignee_stations": len(assigned),
        "reopens": sum(before.status == "solved" and after.status == "open" for before, after in pairs),
        "replies": len(replies),
        "assignee_updated_at": _time([s.moment for s in steps[1:] if not s.by_requester and s.assignee_id is not None]),
        "requester_updated_at": _time([step.moment for step in steps if step.by_requester] or [created]),
        "status_updated_at": _time(statuses),
        "initially_assigned_at": _time(assigned[:1]),
        "assigned_at": _time(assigned),
        "solved_at": _time(solved),
        "latest_comment_added_at": _time([step.moment for step in steps if step.has_comment]),
        "custom_status_updated_at": _time(statuses),
        "reply_time_in_minutes": _minutes(replies[0] - created if replies else None),
        "first_resolution_time_in_minutes": _minutes(solved[0] - created if solved else None),
        "full_resolution_time_in_minutes": _minutes(solved[-1] - created if solved else None),
        "agent_wait_time_in_minutes": _minutes(in_status["pending"]),
        "requester_wait_time_in_minutes": _minutes(waiting),
        "on_hold_time_in_minutes": _minutes(in_status["hold"]),
        "reply_time_in_seconds": {"calendar": replies[0] - created if replies else None},
    }


def metric_events(steps: Sequence[Step], policy: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """All keys behind `ticket_id`. `policy`: the SLA that applies, as `{"id", "title", "description", "target"}`."""
    created = steps[0].moment
    reply = next((step.moment for step in steps if step.is_reply), None)
    yield from _instance("reply_time", created, reply, policy)
    if policy is None:
        return
    yield {"metric": "requester_wait_time", "instance_id": 1, "type": "activate", "time": wire_second(created)}
    solved = next((step.moment for step in steps if step.status in ("solved", "closed")), None)
    if solved is not None:
        yield {"metric": "requester_wait_time", "instance_id": 1, "type": "fulfill", "time": wire_second(solved)}


def _instance(metric: str, began: int, ended: int | None, policy: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    base = {"metric": metric, "instance_id": 1}
    yield {**base, "type": "activate", "time": wire_second(began)}
    if policy is not None:
        minutes = policy["target"]
        shown = {key: policy[key] for key in ("id", "title", "description")}
        sla = {"target": minutes, "target_in_seconds": minutes * 60, "business_hours": False, "policy": shown}
        yield {**base, "type": "apply_sla", "time": wire_second(began), "sla": sla}
        if ended is not None and ended > began + minutes * 60:
            yield {**base, "type": "breach", "time": wire_second(began + minutes * 60), "deleted": False}
    if ended is not None:
        yield {**base, "type": "fulfill", "time": wire_second(ended)}
        status = _minutes(ended - began)
        yield {**base, "type": "update_status", "time": wire_second(ended), "status": status}


def _moments(steps: Sequence[Step], name: str) -> list[int]:
    """When the value was set to another than before, and to one at all."""
    place, found, before = Step._fields.index(name), [], None
    for step in steps:
        if step[place] != before and step[place] is not None:
            found.append(step.moment)
        before = step[place]
    return found


def _minutes(seconds: int | None) -> dict[str, int | None]:
    if seconds is None:
        return {"calendar": None, "business": None}
    return {"calendar": seconds // 60, "business": seconds // 180}


def _time(moments: Sequence[int]) -> str | None:
    return wire_second(moments[-1]) if moments else None
