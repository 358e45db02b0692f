"""The metric state of a ticket whose creation no audit tells of: from the ticket itself, and the audits that there are.

The ticket says when it was created and last changed, and how it stands; an audit says what it changed. A value that no
audit changed counts as that of the creation, and what the audits do not come to counts as changed at the last update.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ticketfeed.protocol.audits import linked_id, step_of, steps_of
from ticketfeed.protocol.record_types import Audit, DateTime, Id
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_metrics import MetricState, Step, count_steps

__all__ = ["derived_state"]

_ENDED = ("solved", "closed")


class _Ticket(msgspec.Struct):
    created_at: DateTime
    updated_at: DateTime
    status: str
    requester_id: Id | None = None
    submitter_id: Id | None = None
    assignee_id: Id | None = None
    group_id: Id | None = None
    is_public: bool = True


_TICKET = StoredDecoder(_Ticket)
_AUDIT = StoredDecoder(Audit)


def derived_state(ticket: bytes, audits: Sequence[bytes]) -> tuple[MetricState, int]:
    """The state, and how many of its steps are no audits."""
    steps = steps_of(audits)
    if steps:
        return count_steps(steps), 0
    known, changes = _TICKET.decode(ticket), [_AUDIT.decode(body) for body in audits]
    created, updated = int(known.created_at.timestamp()), int(known.updated_at.timestamp())
    author_id = known.submitter_id or known.requester_id
    before = Step(created, "new", None, None, author_id, True, known.is_public)
    before = before._replace(**_at_creation(known, changes))
    if changes and int(changes[0].created_at.timestamp()) <= created:  # the first comment
        first = step_of(before, created, changes[0].author_id, changes[0].events or ())
        before = first._replace(author_id=changes[0].author_id or author_id)
        changes = changes[1:]
    steps = [before]
    for audit in changes:
        moment = max(created, int(audit.created_at.timestamp()))
        steps.append(step_of(steps[-1], moment, audit.author_id, audit.events or ()))
    last = steps[-1]
    status = known.status
    if status == "closed" and last.status not in _ENDED:
        status = "solved"  # a ticket is solved before it is closed
    if (status, known.group_id, known.assignee_id) != (last.status, last.group_id, last.assignee_id):
        moment = max(updated, last.moment)
        steps.append(Step(moment, status, known.group_id, known.assignee_id, None, False, False))
    state = count_steps(steps)
    state.status, state.updated_at = known.status, max(updated, state.updated_at)
    return state, len(steps) - len(audits)


def _at_creation(ticket: _Ticket, audits: Sequence[Audit]) -> dict[str, Any]:
    """The values that the ticket had before the audits, and has still where they did not change them."""
    before: dict[str, Any] = {}
    for audit in audits:
        for event in audit.events or ():
            if event.get("type") == "Change" and event.get("field_name") is not None:
                before.setdefault(event["field_name"], event.get("previous_value"))
    status = before.get("status", ticket.status)
    if not isinstance(status, str) or status in _ENDED:
        status = "open"
    return {
        "status": status,
        "group_id": linked_id(before["group_id"]) if "group_id" in before else ticket.group_id,
        "assignee_id": linked_id(before["assignee_id"]) if "assignee_id" in before else ticket.assignee_id,
    }
