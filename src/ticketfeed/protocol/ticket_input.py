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

__all__ = [
    "IMPORTED_TICKET",
    "NEW_TICKET",
    "TICKET_CHANGE",
    "Comment",
    "ImportedTicket",
    "Person",
    "TicketInput",
]

# What a text column of the original holds.
Text = Annotated[str, Meta(max_length=65_535)]
Tag = Annotated[str, Meta(min_length=1, max_length=255)]
_NOT_HERE = ("is not supported here", "InvalidValue")
_BLANK = ("cannot be blank", "BlankValue")
# Keys of a call -> what the text of its comment calls them.
_CALL_LINES = (
    ("from", "Call from"),
    ("to", "Call to"),
    ("started_at", "Time of call"),
    ("call_duration", "Length of phone call in seconds"),
    ("location", "Location"),
    ("transcription_text", "Transcription"),
)
# Documented keys that this server has nothing for.
_NOT_SUPPORTED = ("attribute_value_ids", "macro_id", "macro_ids")
_TAG = re.compile(r"<[^>]*>")


class Comment(msgspec.Struct):
    """A comment. Without `public` it is as public as its ticket."""

    body: Text | None = None
    html_body: Text | None = None
    value: Text | None = None
    public: bool | None = None
    author_id: Id | None = None
    created_at: DateTime | None = None
    uploads: Any = None
    # Of a call, for a voice comment.
    data: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return self.body or self.value or _TAG.sub("", self.html_body or "")


class Person(msgspec.Struct):
    """A user by id or email, who is created where there is none with this email, or with a name alone."""

    id: Id | None = None
    email: SearchText | None = None
    name: Text | None = None


class _Follower(msgspec.Struct):
    """A user who is to follow a ticket or to get copies of its mails, or who no longer is."""

    user_id: Id | Annotated[str, Meta(pattern="^[0-9]{1,18}$")] | None = None
    user_email: SearchText | None = None
    user_name: Text | None = None
    action: Literal["put", "delete"] = "put"

    def person(self) -> Person:
        return Person(None if self.user_id is None else int(self.user_id), self.user_email, self.user_name)


class Field(msgspec.Struct):
    id: Id
    value: str | int | float | bool | list[str] | None = None


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
    requester: Person | SearchText | Id | None = None
    requester_id: Id | UnsetType = UNSET
    submitter_id: Id | UnsetType = UNSET
    assignee_id: Id | UnsetType | None = UNSET
    assignee_email: SearchText | None = None
    group_id: Id | UnsetType | None = UNSET
    organization_id: Id | UnsetType | None = UNSET
    collaborator_ids: list[Id] | UnsetType = UNSET
    follower_ids: list[Id] | UnsetType = UNSET
    email_cc_ids: list[Id] | UnsetType = UNSET
    collaborators: list[Person | SearchText | Id] | UnsetType = UNSET
    additional_collaborators: list[Person | SearchText | Id] = []
    followers: list[_Follower] = []
    email_ccs: list[_Follower] = []
    problem_id: Id | UnsetType | None = UNSET
    due_at: DateTime | UnsetType | None = UNSET
    tags: list[Tag] | str | UnsetType = UNSET
    additional_tags: list[Tag] | str | None = None
    remove_tags: list[Tag] | str | None = None
    custom_fields: list[Field] | UnsetType = UNSET
    custom_status_id: Id | UnsetType | None = UNSET
    ticket_form_id: Id | UnsetType | None = UNSET
    brand_id: Id | UnsetType | None = UNSET
    fields: list[Field] | UnsetType = UNSET
    metadata: dict[str, Any] | None = None
    via_followup_source_id: Id | None = None
    voice_comment: dict[str, Any] | None = None
    attribute_value_ids: Any = None
    macro_id: Any = None
    macro_ids: Any = None
    safe_update: bool = False
    updated_stamp: DateTime | None = None

    def new_comment(self) -> Comment | None:
        """The comment in its long form; a description alone is one."""
        if isinstance(self.comment, str):
            return Comment(body=self.comment)
        if self.voice_comment is not None:
            return Comment(body=_call_text(self.voice_comment), data=self.voice_comment)
        if self.comment is None and self.description is not UNSET:
            return Comment(body=self.description)
        return self.comment

    @property
    def sent_fields(self) -> list[Field]:
        """The custom fields to set; `fields` is the older name of the key."""
        sent = self.fields if self.custom_fields is UNSET else self.custom_fields
        return [] if sent is UNSET else sent

    @property
    def custom_metadata(self) -> dict[str, Any]:
        """What the audit has as custom metadata: the object that was sent, or what it has under `custom`."""
        metadata = self.metadata or {}
        custom = metadata.get("custom", metadata)
        return custom if isinstance(custom, dict) else metadata


def _call_text(call: dict[str, Any]) -> str:
    lines = [f"{title}: {call[key]}" for key, title in _CALL_LINES if call.get(key) not in (None, "")]
    return "\n".join(lines) or "Call"


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
    for name in _NOT_SUPPORTED:
        if getattr(ticket, name):
            raise RecordInvalid(**{name: _NOT_HERE})
    if ticket.voice_comment is not None and ticket.comment is not None:
        raise RecordInvalid(voice_comment=("cannot be used together with comment", "InvalidValue"))
    if isinstance(ticket.comment, Comment) and ticket.comment.uploads:
        raise RecordInvalid(uploads=_NOT_HERE)


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
