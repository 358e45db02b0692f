"""The metrics of a ticket, its metric set and its metric events, counted from its audits.

`MetricState` holds everything that the figures are computed from. It is stored with the metric set, so a change of a
ticket adds one step to it, and no earlier audit is read again.

Minutes are whole. Business minutes are a third of the calendar minutes: a schedule of eight hours a day, without
hours that would have to be configured.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.records import wire_second

__all__ = ["MetricState", "Step", "count_steps", "metric_events", "metric_set"]

# In these the requester waits for an agent; in `pending` the agent waits for the requester.
_WAITING = frozenset({"new", "open", "hold"})
_SHOWN_OF_POLICY = ("id", "title", "description")


class Step(NamedTuple):
    """A ticket as one audit left it, at `moment`, and what the author of that audit did."""

    moment: int
    status: str
    group_id: int | None
    assignee_id: int | None
    author_id: int | None
    has_comment: bool
    has_public_comment: bool


class _Place(NamedTuple):
    """A step by its number, and its moment. Moments alone give no order: imported comments may come in any."""

    number: int
    moment: int


class _Author(msgspec.Struct, array_like=True):
    """The steps of one author, apart from the others: whether they are the requester's may change later.

    `replies`: public comments after the first step. `assigned`: the latest step but the first that left the ticket
    with an assignee.
    """

    updated_at: int = 0
    replies: int = 0
    first_reply: _Place | None = None
    assigned: _Place | None = None


class MetricState(msgspec.Struct, array_like=True):
    """What the metrics of a ticket are computed from: its steps, summed up.

    Stored as an array, so a new field goes to the end and has a default.
    """

    steps: int = 0
    created_at: int = 0
    updated_at: int = 0
    status: str = "new"
    group_id: int | None = None
    assignee_id: int | None = None
    group_stations: int = 0
    assignee_stations: int = 0
    reopens: int = 0
    status_updated_at: int = 0
    initially_assigned_at: int | None = None
    assigned_at: int | None = None
    first_solved_at: int | None = None
    solved_at: int | None = None
    first_ended_at: int | None = None
    latest_comment_at: int | None = None
    pending_seconds: int = 0
    hold_seconds: int = 0
    waiting_seconds: int = 0
    authors: dict[int | None, _Author] = {}

    def add(self, step: Step) -> None:
        """Count one more step."""
        if self.steps:
            self._add_time(step.moment - self.updated_at)
            if step.status != self.status:
                self._change_status(step)
        else:
            self.created_at = self.status_updated_at = step.moment
        if step.group_id is not None and step.group_id != self.group_id:
            self.group_stations += 1
        if step.assignee_id is not None and step.assignee_id != self.assignee_id:
            self.assignee_stations += 1
            self.assigned_at = step.moment
            if self.initially_assigned_at is None:
                self.initially_assigned_at = step.moment
        if step.status in ("solved", "closed") and self.first_ended_at is None:
            self.first_ended_at = step.moment
        if step.has_comment:
            self.latest_comment_at = step.moment
        self._add_author(step)
        self.steps += 1
        self.updated_at = step.moment
        self.status, self.group_id, self.assignee_id = step.status, step.group_id, step.assignee_id

    def first_reply_at(self, requester_id: int | None) -> int | None:
        """When somebody else than the requester first answered in public."""
        replies = [author.first_reply for id, author in self.authors.items() if id != requester_id]
        return _moment(min((reply for reply in replies if reply is not None), default=None))

    def _add_time(self, seconds: int) -> None:
        if self.status == "pending":
            self.pending_seconds += seconds
        elif self.status in _WAITING:
            self.waiting_seconds += seconds
        if self.status == "hold":
            self.hold_seconds += seconds

    def _change_status(self, step: Step) -> None:
        self.status_updated_at = step.moment
        if step.status == "solved":
            self.solved_at = step.moment
            if self.first_solved_at is None:
                self.first_solved_at = step.moment
        elif step.status == "open" and self.status == "solved":
            self.reopens += 1

    def _add_author(self, step: Step) -> None:
        author = self.authors.get(step.author_id)
        if author is None:
            author = self.authors[step.author_id] = _Author()
        author.updated_at = step.moment
        if not self.steps:
            return
        if step.has_public_comment:
            author.replies += 1
            if author.first_reply is None:
                author.first_reply = _Place(self.steps, step.moment)
        if step.assignee_id is not None:
            author.assigned = _Place(self.steps, step.moment)


def count_steps(steps: Iterable[Step]) -> MetricState:
    """The state after these steps."""
    state = MetricState()
    for step in steps:
        state.add(step)
    return state


def metric_set(state: MetricState, requester_id: int | None) -> dict[str, Any]:
    """The keys of a metric set behind `ticket_id`, in wire order."""
    created = state.created_at
    requester = state.authors.get(requester_id)
    others = [author for id, author in state.authors.items() if id != requester_id]
    updated_by_others = [author.assigned for author in others if author.assigned is not None]
    first_reply = state.first_reply_at(requester_id)
    reply_seconds = None if first_reply is None else first_reply - created
    status_updated = wire_second(state.status_updated_at)
    return {
        "created_at": wire_second(created),
        "updated_at": wire_second(state.updated_at),
        "group_stations": state.group_stations,
        "assignee_stations": state.assignee_stations,
        "reopens": state.reopens,
        "replies": sum(author.replies for author in others),
        "assignee_updated_at": _time(_moment(max(updated_by_others, default=None))),
        "requester_updated_at": wire_second(requester.updated_at if requester else created),
        "status_updated_at": status_updated,
        "initially_assigned_at": _time(state.initially_assigned_at),
        "assigned_at": _time(state.assigned_at),
        "solved_at": _time(state.solved_at),
        "latest_comment_added_at": _time(state.latest_comment_at),
        "custom_status_updated_at": status_updated,
        "reply_time_in_minutes": _minutes(reply_seconds),
        "first_resolution_time_in_minutes": _minutes(_since(created, state.first_solved_at)),
        "full_resolution_time_in_minutes": _minutes(_since(created, state.solved_at)),
        "agent_wait_time_in_minutes": _minutes(state.pending_seconds),
        "requester_wait_time_in_minutes": _minutes(state.waiting_seconds),
        "on_hold_time_in_minutes": _minutes(state.hold_seconds),
        "reply_time_in_seconds": {"calendar": reply_seconds},
    }


def metric_events(
    state: MetricState, requester_id: int | None, policy: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """The keys of metric events behind `ticket_id`. `policy`: the SLA that applies, a dictionary of id, title,
    description and target (minutes)."""
    created = state.created_at
    yield from _reply_time(created, state.first_reply_at(requester_id), policy)
    if policy is None:
        return
    yield _event("requester_wait_time", "activate", created)
    if state.first_ended_at is not None:
        yield _event("requester_wait_time", "fulfill", state.first_ended_at)


def _event(metric: str, type: str, moment: int, **more: Any) -> dict[str, Any]:
    return {"metric": metric, "instance_id": 1, "type": type, "time": wire_second(moment), "deleted": False, **more}


def _reply_time(began: int, ended: int | None, policy: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    yield _event("reply_time", "activate", began)
    if policy is not None:
        minutes = policy["target"]
        shown = {key: policy[key] for key in _SHOWN_OF_POLICY}
        sla = {"target": minutes, "target_in_seconds": minutes * 60, "business_hours": False, "policy": shown}
        yield _event("reply_time", "apply_sla", began, sla=sla)
        if ended is not None and ended > began + minutes * 60:
            yield _event("reply_time", "breach", began + minutes * 60)
    if ended is not None:
        yield _event("reply_time", "fulfill", ended)
        yield _event("reply_time", "update_status", ended, status=_minutes(ended - began))


def _moment(place: _Place | None) -> int | None:
    return None if place is None else place.moment


def _since(began: int, ended: int | None) -> int | None:
    return None if ended is None else ended - began


def _minutes(seconds: int | None) -> dict[str, int | None]:
    if seconds is None:
        return {"calendar": None, "business": None}
    return {"calendar": seconds // 60, "business": seconds // 180}


def _time(moment: int | None) -> str | None:
    return None if moment is None else wire_second(moment)
