"""What a request may ask to be written -> checked values. What is wrong is told field by field, as the wire does.

A key that is not declared here is ignored, as on the wire; so is what only the server decides.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.errors import MalformedRequest, RecordInvalid
from ticketfeed.protocol.records import DateTime, Id, SearchText

__all__ = ["Comment", "ImportedTicket", "Person", "TicketInput", "decode_input"]

T = TypeVar("T")
Text = Annotated[str, Meta(max_length=65_535)]
Tag = Annotated[str, Meta(min_length=1, max_length=255)]
_FIELD = re.compile(r"at `\$\.([A-Za-z_]+)")


class Comment(msgspec.Struct):
    """What is said. Without `public` it is as public as its ticket."""

    body: Text | None = None
    html_body: Text | None = None
    value: Text | None = None
    public: bool | None = None
    author_id: Id | None = None
    created_at: DateTime | None = None

    @property
    def text(self) -> str:
        return self.body or self.value or re.sub(r"<[^>]*>", "", self.html_body or "")


class Person(msgspec.Struct):
    """Somebody who is found by email, or made."""

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


class ImportedTicket(TicketInput):
    """A ticket with its history, from elsewhere."""

    comments: list[Comment] = []
    created_at: DateTime | None = None
    updated_at: DateTime | None = None
    solved_at: DateTime | None = None


def decode_input(decoder: "msgspec.json.Decoder[T]", data: bytes) -> T:
    """Raises RecordInvalid, MalformedRequest."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        field = _FIELD.search(str(error))
        text, _, _ = str(error).partition(" - at ")
        raise RecordInvalid(**{field[1] if field else "base": (text[:1].lower() + text[1:], "InvalidValue")}) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise MalformedRequest("The body is not valid JSON") from None
