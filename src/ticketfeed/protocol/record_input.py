"""What may be written of users, groups and the other records: the types of what clients send, and what is needed.

Keys that are not named here, but belong to the record, are taken as they come; all others are ignored.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.errors import BadRecord, MalformedRequest, RecordInvalid
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.records import Id, SearchText, encode, split_record
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.protocol.shapes import RECORD_SHAPES
from ticketfeed.protocol.ticket_rules import split_tags

__all__ = ["DELETED", "WRITABLE", "check_input"]

Name = Annotated[str, Meta(max_length=255)]
Tags = list[str] | str
# A number becomes text.
ExternalId = SearchText | Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)]


class _Any(msgspec.Struct):
    name: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    position: int | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class _User(msgspec.Struct):
    name: Name | UnsetType = UNSET
    email: SearchText | UnsetType | None = UNSET
    role: Literal["end-user", "agent", "admin"] | UnsetType = UNSET
    organization_id: Id | UnsetType | None = UNSET
    default_group_id: Id | UnsetType | None = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    suspended: bool | UnsetType = UNSET
    verified: bool | UnsetType = UNSET
    user_fields: dict[str, Any] | UnsetType = UNSET
    phone: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    details: str | UnsetType | None = UNSET


class _Organization(msgspec.Struct):
    name: Name | UnsetType = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    domain_names: list[str] | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    group_id: Id | UnsetType | None = UNSET
    organization_fields: dict[str, Any] | UnsetType = UNSET
    details: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET


class _Membership(msgspec.Struct):
    user_id: Id | UnsetType = UNSET
    group_id: Id | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class _TicketField(msgspec.Struct):
    type: str | UnsetType = UNSET
    title: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    custom_field_options: list[dict[str, Any]] | UnsetType = UNSET


class _Status(msgspec.Struct):
    status_category: Literal["new", "open", "pending", "hold", "solved"] | UnsetType = UNSET
    agent_label: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET


_TYPES: dict[str, type[msgspec.Struct]] = {
    "users": _User,
    "organizations": _Organization,
    "group_memberships": _Membership,
    "ticket_fields": _TicketField,
    "custom_statuses": _Status,
}
# kind -> what a new one must have.
WRITABLE: dict[str, tuple[str, ...]] = {
    "users": ("name",),
    "groups": ("name",),
    "organizations": ("name",),
    "group_memberships": ("user_id", "group_id"),
    "ticket_fields": ("type", "title"),
    "ticket_forms": ("name",),
    "brands": ("name", "subdomain"),
    "custom_statuses": ("status_category", "agent_label"),
}
# kind -> what says of a record that it is deleted, and how.
DELETED: dict[str, tuple[str, Any]] = {
    "users": ("active", False),
    "groups": ("deleted", True),
    "organizations": ("deleted_at", "time"),
    "group_memberships": ("deleted", True),
    "ticket_fields": ("deleted", True),
    "ticket_forms": ("deleted_at", "time"),
    "brands": ("is_deleted", True),
    "custom_statuses": ("deleted", True),
}
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
EMAIL_CHARACTERS_MAX = 320
_DECODERS = {kind: msgspec.json.Decoder(_TYPES.get(kind, _Any)) for kind in WRITABLE}
_OWN = {"id", "url", "created_at", "updated_at", "deleted", "deleted_at", "is_deleted"}
# Not in every record, and so not in its shape.
_BESIDE = {"ticket_fields": {"custom_field_options", "system_field_options"}}


def check_input(kind: str, data: bytes, *, is_new: bool) -> dict[str, msgspec.Raw]:
    """The keys that may be written, with their values. Raises RecordInvalid, MalformedRequest."""
    asked = decode_input(_DECODERS[kind], data)
    try:
        values = split_record(data)
    except BadRecord as error:  # what is ignored has to be text, too
        raise MalformedRequest(f"The body is not valid JSON: {error}") from None
    for name in WRITABLE[kind]:
        said = msgspec.json.decode(values[name]) if name in values else "" if is_new else UNSET
        if said is None or (isinstance(said, str) and not said.strip()):
            raise RecordInvalid(**{name: ("cannot be blank", "BlankValue")})
    email = getattr(asked, "email", None)
    if email and (len(email) > EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(email.strip())):
        raise RecordInvalid(email=(f"{email[:80]} is not properly formatted", "InvalidFormat"))
    allowed = (RECORD_SHAPES[kind].keys() | _BESIDE.get(kind, set())) - _OWN
    if kind == "users":
        allowed -= {"active"}
    chosen = {name: value for name, value in values.items() if name in allowed}
    for name, value in values.items():  # the same text, but for placeholders, of which there are none here
        if f"raw_{name}" in allowed:
            chosen.setdefault(f"raw_{name}", value)
    if "tags" in chosen:
        chosen["tags"] = msgspec.Raw(encode(split_tags(getattr(asked, "tags", ()))))
    if isinstance(number := getattr(asked, "external_id", None), int):
        chosen["external_id"] = msgspec.Raw(encode(str(number)))
    return chosen
