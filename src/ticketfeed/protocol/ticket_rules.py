"""What a change makes of a ticket: its values before, and what a client sent -> its values after.

Each rule of the wire's write path beyond plain assignment is one function here. Whom an email names, which group an
agent belongs to and so on is looked up before; see `Related`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.records import wire_time
from ticketfeed.protocol.ticket_input import TicketInput

__all__ = ["AUDITED_FIELDS", "CLOSED", "Related", "Values", "changed_values", "field_value", "split_tags"]

# The fields whose changes have events in audits.
AUDITED_FIELDS = (
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
# The fields that take the value that was sent.
_PLAIN_FIELDS = (
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
# The error under `status` for every change of a closed ticket.
CLOSED = ("closed prevents ticket update", "InvalidValue")
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Related:
    """The users and fields that a change refers to, as they were looked up.

    `requester_id`, `assignee_id`: UNSET if the change sets none. `comment_is_requesters`: whether it adds a public
    comment of the requester. `option_tags`: field id -> the tags that its options put on a ticket. `field_ids`: of the
    custom fields that a new ticket has. `replaced`: keys whose value is another one than was sent. `added`, `removed`:
    users by the key of the ticket that names them.
    """

    actor_id: int
    requester_id: Any = UNSET
    requesters_organization_id: int | None = None
    assignee_id: Any = UNSET
    assignees_group_id: int | None = None
    comment_is_requesters: bool = False
    option_tags: Mapping[int, frozenset[str]] = field(default_factory=dict)
    field_ids: Sequence[int] = ()
    replaced: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Sequence[int]] = field(default_factory=dict)
    removed: Mapping[str, Sequence[int]] = field(default_factory=dict)


def changed_values(before: Mapping[str, Any], change: TicketInput, related: Related, *, is_new: bool) -> Values:
    """All values after the change. Raises RecordInvalid."""
    if before.get("status") == "closed":
        raise RecordInvalid(status=CLOSED)
    after = dict(before)
    for name in _PLAIN_FIELDS:
        value = getattr(change, name)
        if value is not UNSET:
            after[name] = value
    after.update(related.replaced)
    for name in related.added.keys() | related.removed.keys():
        gone = set(related.removed.get(name, ()))
        ids = dict.fromkeys([*(after.get(name) or ()), *related.added.get(name, ())])
        after[name] = [id for id in ids if id not in gone]
    subject = change.subject if change.subject is not UNSET else change.raw_subject
    if subject is not UNSET:
        after["subject"] = after["raw_subject"] = subject
    if change.due_at is not UNSET:
        after["due_at"] = wire_time(change.due_at) if change.due_at else None
    _set_people(after, change, related, is_new)
    _set_fields_and_tags(after, change, related)
    _set_status(after, change, related)
    return after


def split_tags(tags: Sequence[str] | str) -> list[str]:
    """Tags sent as a list, or as one text with spaces or commas between them -> lower case, each once, in order."""
    texts = tags.replace(",", " ").split() if isinstance(tags, str) else tags
    return sorted({text.strip().lower().replace(" ", "_") for text in texts if text.strip()})


def field_value(value: Any) -> Any:
    """The value of a custom field, where the wire has numbers as text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _set_people(after: Values, change: TicketInput, related: Related, is_new: bool) -> None:
    """A requester brings an organization and an assignee a group, unless the change names one."""
    if related.requester_id is not UNSET:
        after["requester_id"] = related.requester_id
        if change.organization_id is UNSET:
            after["organization_id"] = related.requesters_organization_id
    if is_new and after.get("submitter_id") is None:
        after["submitter_id"] = related.actor_id
    if related.assignee_id is not UNSET:
        after["assignee_id"] = related.assignee_id
        is_assigned = related.assignee_id is not None
        if is_assigned and change.group_id is UNSET and related.assignees_group_id is not None:
            after["group_id"] = related.assignees_group_id


def _set_fields_and_tags(after: Values, change: TicketInput, related: Related) -> None:
    """Custom fields are set one by one, and the others keep their values. An option of a drop-down is a tag, too."""
    tags = set(after.get("tags") or ())
    if change.tags is not UNSET:
        tags = set(split_tags(change.tags))
    if change.additional_tags:
        tags |= set(split_tags(change.additional_tags))
    if change.remove_tags:
        tags -= set(split_tags(change.remove_tags))
    if change.sent_fields or related.field_ids:
        values: dict[int, Any] = dict.fromkeys(related.field_ids)
        values |= {each["id"]: each.get("value") for each in after.get("custom_fields") or ()}
        for sent in change.sent_fields:
            values[sent.id] = field_value(sent.value)
            options = related.option_tags.get(sent.id)
            if options:
                chosen = sent.value if isinstance(sent.value, list) else [sent.value]
                tags = (tags - options) | (options & {text for text in chosen if isinstance(text, str)})
        after["custom_fields"] = after["fields"] = [{"id": id, "value": value} for id, value in values.items()]
    after["tags"] = sorted(tags)


def _set_status(after: Values, change: TicketInput, related: Related) -> None:
    """Assigning opens a new ticket; a reply of the requester reopens it; solving an unassigned one assigns it."""
    status = after.get("status") or "new"
    is_assigned = after.get("assignee_id") is not None
    is_answered = status in ("pending", "solved") and related.comment_is_requesters
    if change.status is not UNSET:
        status = change.status
    elif (status == "new" and is_assigned) or is_answered:
        status = "open"
    if status in ("solved", "closed") and not is_assigned:
        after["assignee_id"] = related.actor_id
    after["status"] = status
