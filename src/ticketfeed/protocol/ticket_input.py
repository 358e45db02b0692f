"""Tickets as clients send them: new ones, changes and imports, parsed and checked before anything is looked up.

A key that is not declared here is ignored, as on the wire; so is what only the server decides.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.errors import BadRecord, RecordInvalid
from ticketfeed.protocol.record_types import DateTime, Id, SearchText
from ticketfeed.protocol.records import wire_time
from ticketfeed.protocol.request_body import InputParser

__all__ = ["IMPORTED_TICKET", "NEW_TICKET", "TICKET_CHANGE", "Comment", "ImportedTicket", "Person", "TicketInput"]

# What a text column of the original holds.
Text = Annotated[str, Meta(max_length=65_535)]
Tag = Annotated[str, Meta(min_length=1, max_length=255)]
_BLANK = ("cannot be blank", "BlankValue")
_TAG = re.compile(r"<[^>]*>")


class Comment(msgspec.Struct):
    """A comment. Without `public` it is as public as its ticket."""

    body: Text | None = None
    html_body: Text | None = None
    value: Text | None = None
    public: bool | None = None
    author_id: Id | None = None
    created_at: DateTime | None = None

    @property
    def text(self) -> str:
        return self.body or self.value or _TAG.sub("", self.html_body or "")


class Person(msgspec.Struct):
    """A user by email, who is created where there is none."""

    email: SearchText
    name: Text | None = None


class Field(msgspec.Struct):
    id: Id
    value: Any = None


class TicketInput(msgspec.Struct):
    """A new ticket, or the changes of one."""

    comment: Comment | str | None = None
    description: Text | UnsetType = UNSET
    subject: Text | UnsetType | None = UNSET
    raw_subject: Text | UnsetType | None = UNSET
    external_id: SearchText | UnsetType | None = UNSET
    type: Literal["problem", "incident", "question", "task"] | UnsetType | None = UNSET
    priority: Literal["urgent", "high", "normal", "low"] | UnsetType | None = UNSET
    status: Literal["new", "open", "pending", "hold", "solved", "closed"] | UnsetType = UNSET
    recipient: Text | UnsetType | None = UNSET
    requester: Person | None = None
    requester_id: Id | UnsetType = UNSET
    submitter_id: Id | UnsetType = UNSET
    assignee_id: Id | UnsetType | None = UNSET
    assignee_email: SearchText | None = None
    group_id: Id | UnsetType | None = UNSET
    organization_id: Id | UnsetType | None = UNSET
    collaborator_ids: list[Id] | UnsetType = UNSET
    follower_ids: list[Id] | UnsetType = UNSET
    email_cc_ids: list[Id] | UnsetType = UNSET
    problem_id: Id | UnsetType | None = UNSET
    due_at: DateTime | UnsetType | None = UNSET
    tags: list[Tag] | str | UnsetType = UNSET
    additional_tags: list[Tag] | str | None = None
    remove_tags: list[Tag] | str | None = None
    custom_fields: list[Field] | UnsetType = UNSET
    custom_status_id: Id | UnsetType | None = UNSET
    ticket_form_id: Id | UnsetType | None = UNSET
    brand_id: Id | UnsetType | None = UNSET
    safe_update: bool = False
    updated_stamp: DateTime | None = None

    def new_comment(self) -> Comment | None:
        """The comment in its long form; a description alone is one."""
        if isinstance(self.comment, str):
            return Comment(body=self.comment)
        if self.comment is None and self.description is not UNSET:
            return Comment(body=self.description)
        return self.comment


class ImportedTicket(TicketInput):
    """A ticket from elsewhere, with its history."""

    comments: list[Comment] = []
    created_at: DateTime | None = None
    updated_at: DateTime | None = None
    solved_at: DateTime | None = None

    def all_comments(self) -> list[Comment]:
        """The comments of the ticket's audits; the first of them is its description."""
        first = self.new_comment()
        return [first, *self.comments] if first else self.comments


def _check_new(ticket: TicketInput) -> None:
    comment = ticket.new_comment()
    if comment is None or not comment.text.strip():
        raise RecordInvalid(base=_BLANK, description=_BLANK)
    _check_change(ticket)


def _check_imported(ticket: ImportedTicket) -> None:
    if not ticket.all_comments():
        raise RecordInvalid(base=_BLANK, description=_BLANK)
    _check_change(ticket)
    for name in ("created_at", "updated_at"):
        _check_time(name, getattr(ticket, name))
    for comment in ticket.comments:
        _check_time("created_at", comment.created_at)


def _check_change(ticket: TicketInput) -> None:
    for name in ("due_at", "updated_stamp"):
        _check_time(name, getattr(ticket, name))


def _check_time(name: str, moment: datetime | UnsetType | None) -> None:
    """Refuse a time that lies before the year 1 or behind the year 9999 in UTC: the wire has no form for it."""
    if moment:
        try:
            wire_time(moment)
        except BadRecord as error:
            raise RecordInvalid(**{name: (str(error), "InvalidValue")}) from None


NEW_TICKET = InputParser("ticket", TicketInput, _check_new)
IMPORTED_TICKET = InputParser("ticket", ImportedTicket, _check_imported)
TICKET_CHANGE = InputParser("ticket", TicketInput, _check_change)
