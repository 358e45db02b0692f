"""What a change makes of a ticket: values as they were, and what was asked for -> values as they are.

The rules that the wire's write path has beside plain assignment are each one function here. Who is meant by an email
or a name, and which group an agent has, was found before; see `Found`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import UNSET

from ticketfeed.protocol.errors import BadRecord, RecordInvalid
from ticketfeed.protocol.records import wire_time
from ticketfeed.protocol.ticket_input import TicketInput

__all__ = ["AUDITED", "Found", "changed_values", "split_tags"]

# The fields whose changes stand in audits.
AUDITED = (
    "subject",
    "type",
    "priority",
    "status",
    "requester_id",
    "assignee_id",
    "group_id",
    "organization_id",
    "brand_id",
    "ticket_form_id",
    "custom_status_id",
    "problem_id",
    "due_at",
    "external_id",
    "tags",
)
_PLAIN = (
    "external_id",
    "type",
    "priority",
    "recipient",
    "group_id",
    "organization_id",
    "collaborator_ids",
    "follower_ids",
    "email_cc_ids",
    "problem_id",
    "custom_status_id",
    "ticket_form_id",
    "brand_id",
    "submitter_id",
)
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What was looked up for a change. `assignee_id`: UNSET where nobody is assigned by it.

    `option_tags`: field id -> the tags that its options put on a ticket.
    """

    actor_id: int
    requester_id: Any = UNSET
    requesters_organization_id: int | None = None
    assignee_id: Any = UNSET
    assignees_group_id: int | None = None
    comment_is_requesters: bool = False
    option_tags: Mapping[int, frozenset[str]] = field(default_factory=dict)


def changed_values(before: Mapping[str, Any], asked: TicketInput, found: Found, *, is_new: bool) -> Values:
    """All values after the change. Raises RecordInvalid."""
    if before.get("status") == "closed":
        raise RecordInvalid(status=("closed prevents ticket update", "InvalidValue"))
    after = dict(before)
    for name in _PLAIN:
        if (value := getattr(asked, name)) is not UNSET:
            after[name] = value
    subject = asked.subject if asked.subject is not UNSET else asked.raw_subject
    if subject is not UNSET:
        after["subject"] = after["raw_subject"] = subject
    if asked.due_at is not UNSET:
        after["due_at"] = _due_time(asked.due_at) if asked.due_at else None
    _set_people(after, asked, found, is_new)
    _set_fields(after, asked, found)
    _set_status(after, asked, found)
    return after


def _due_time(moment: datetime) -> str:
    try:
        return wire_time(moment)
    except BadRecord as error:
        raise RecordInvalid(due_at=(str(error), "InvalidValue")) from None


def split_tags(tags: Sequence[str] | str) -> list[str]:
    """Tags as a list, or as one text with spaces or commas between them; lower case, each once, in order."""
    texts = tags.replace(",", " ").split() if isinstance(tags, str) else tags
    return sorted({text.strip().lower().replace(" ", "_") for text in texts if text.strip()})


def _set_people(after: Values, asked: TicketInput, found: Found, is_new: bool) -> None:
    """A requester brings an organization, an agent a group, where none was asked for."""
    if found.requester_id is not UNSET:
        after["requester_id"] = found.requester_id
        if asked.organization_id is UNSET:
            after["organization_id"] = found.requesters_organization_id
    if is_new and asked.submitter_id is UNSET:
        after["submitter_id"] = found.actor_id
    if found.assignee_id is not UNSET:
        after["assignee_id"] = found.assignee_id
        if found.assignee_id is not None and asked.group_id is UNSET and found.assignees_group_id is not None:
            after["group_id"] = found.assignees_group_id


def _set_fields(after: Values, asked: TicketInput, found: Found) -> None:
    """Custom fields are set one by one, the others stay; an option of a drop-down is a tag of the ticket, too."""
    tags = set(after.get("tags") or ())
    if asked.tags is not UNSET:
        tags = set(split_tags(asked.tags))
    tags |= set(split_tags(asked.additional_tags or ()))
    tags -= set(split_tags(asked.remove_tags or ()))
    if asked.custom_fields is not UNSET:
        values = {each["id"]: each.get("value") for each in after.get("custom_fields") or ()}
        for given in asked.custom_fields:
            values[given.id] = given.value
            options = found.option_tags.get(given.id, frozenset())
            chosen = given.value if isinstance(given.value, list) else [given.value]
            if options:
                tags = (tags - options) | (options & {text for text in chosen if isinstance(text, str)})
        after["custom_fields"] = after["fields"] = [{"id": id, "value": value} for id, value in values.items()]
    after["tags"] = sorted(tags)


def _set_status(after: Values, asked: TicketInput, found: Found) -> None:
    """New becomes open when somebody is assigned; a reply of the requester opens again; who solves is assigned."""
    status = after.get("status") or "new"
    is_assigned = after.get("assignee_id") is not None
    opens = (status == "new" and is_assigned) or (status in ("pending", "solved") and found.comment_is_requesters)
    if asked.status is not UNSET:
        status = asked.status
    elif opens:
        status = "open"
    if status in ("solved", "closed") and not is_assigned:
        after["assignee_id"] = found.actor_id
    after["status"] = status
