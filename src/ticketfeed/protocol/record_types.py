"""The types of records: what a stored record must be, and what a client may send to write one.

Only keys that clients rely on are declared; all others are stored as they come. `resources.py` says which kind has
which types.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.model import INT64_MAX

__all__ = [
    "AuditRecord",
    "CustomStatusInput",
    "DateTime",
    "ExternalId",
    "GroupMembershipInput",
    "GroupMembershipRecord",
    "Id",
    "IdentityInput",
    "IdentityRecord",
    "NamedRecord",
    "OrganizationInput",
    "OrganizationMembershipInput",
    "OrganizationMembershipRecord",
    "OrganizationRecord",
    "Record",
    "RecordInput",
    "SearchText",
    "TicketFieldInput",
    "TicketMetricEventRecord",
    "TicketRelatedRecord",
    "UserInput",
    "UserRecord",
]

# Text that a store searches by: PostgreSQL cannot store a NUL in it.
SearchText = Annotated[str, Meta(pattern=r"^[^\x00]*$")]
Id = Annotated[int, Meta(ge=1, le=INT64_MAX)]
DateTime = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(max_length=255)]
Tags = list[str] | str
IdentityType = Literal[
    "email",
    "twitter",
    "facebook",
    "google",
    "phone_number",
    "agent_forwarding",
    "any_channel",
    "foreign",
    "sdk",
    "messaging",
]
# A number is stored as text.
ExternalId = SearchText | Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)]


class Record(msgspec.Struct):
    """What every stored record is decoded as. The last three keys mark a deleted one, each in some kinds."""

    id: Id
    created_at: DateTime | UnsetType = UNSET
    updated_at: DateTime | UnsetType = UNSET
    deleted: Any = None
    is_deleted: Any = None
    deleted_at: Any = None


class UserRecord(Record):
    name: str | UnsetType = UNSET
    email: SearchText | None = None
    role: Literal["end-user", "agent", "admin"] | UnsetType = UNSET
    active: bool = True
    suspended: bool = False
    organization_id: Id | None = None
    external_id: Any = None


class NamedRecord(Record):
    name: str | UnsetType = UNSET


class OrganizationRecord(NamedRecord):
    external_id: Any = None


class GroupMembershipRecord(NamedRecord):
    user_id: Id | None = None
    group_id: Id | None = None


class OrganizationMembershipRecord(Record, kw_only=True):
    user_id: Id
    organization_id: Id
    default: bool | None = False


class IdentityRecord(Record, kw_only=True):
    user_id: Id
    type: str
    value: str
    primary: bool | None = False
    verified: bool | None = False


class TicketRelatedRecord(Record, kw_only=True):
    ticket_id: Id


class _Event(msgspec.Struct):
    type: str


class AuditRecord(TicketRelatedRecord, kw_only=True):
    events: Sequence[_Event] = ()


class TicketMetricEventRecord(TicketRelatedRecord, kw_only=True):
    metric: str
    instance_id: int
    type: str
    time: DateTime


class RecordInput(msgspec.Struct):
    """The keys that are checked in a write of a kind without a type of its own."""

    name: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    position: int | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class UserInput(msgspec.Struct):
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


class OrganizationInput(msgspec.Struct):
    name: Name | UnsetType = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    domain_names: list[str] | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    group_id: Id | UnsetType | None = UNSET
    organization_fields: dict[str, Any] | UnsetType = UNSET
    details: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET


class GroupMembershipInput(msgspec.Struct):
    user_id: Id | UnsetType = UNSET
    group_id: Id | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class OrganizationMembershipInput(msgspec.Struct):
    user_id: Id | UnsetType = UNSET
    organization_id: Id | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class IdentityInput(msgspec.Struct):
    type: IdentityType | UnsetType = UNSET
    value: SearchText | UnsetType = UNSET
    primary: bool | UnsetType = UNSET
    verified: bool | UnsetType = UNSET


class TicketFieldInput(msgspec.Struct):
    type: str | UnsetType = UNSET
    title: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    custom_field_options: list[dict[str, Any]] | UnsetType = UNSET


class CustomStatusInput(msgspec.Struct):
    status_category: Literal["new", "open", "pending", "hold", "solved"] | UnsetType = UNSET
    agent_label: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
