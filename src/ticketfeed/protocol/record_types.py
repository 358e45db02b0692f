"""The types of records: what a stored record must be, and what a client may send to write one.

Only keys that clients or readers rely on are declared; all others are stored as they come. What is read from a stored
record is decoded as the type that it was checked against when it was stored, so a record that was accepted can be
served by every address. `resources.py` says which kind has which types.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ticketfeed.protocol.model import INT64_MAX

__all__ = [
    "COMMENT_TYPES",
    "SEARCH_CHARS_MAX",
    "Audit",
    "AuditRecord",
    "CustomStatusInput",
    "DateTime",
    "ExternalId",
    "GroupMembershipInput",
    "GroupMembershipRecord",
    "Id",
    "IdentityInput",
    "IdentityRecord",
    "IdentityType",
    "NamedRecord",
    "OrganizationInput",
    "OrganizationMembershipInput",
    "OrganizationMembershipRecord",
    "OrganizationRecord",
    "Record",
    "RecordInput",
    "SearchText",
    "TicketFieldInput",
    "TicketFieldRecord",
    "TicketMetricEventRecord",
    "TicketRelatedRecord",
    "UserInput",
    "UserRecord",
]

# Text that a store searches by: PostgreSQL cannot store a NUL in it, and its indexes take keys of up to 2700 bytes.
SEARCH_CHARS_MAX = 600
SearchText = Annotated[str, Meta(pattern=r"^[^\x00]*$", max_length=SEARCH_CHARS_MAX)]
Id = Annotated[int, Meta(ge=1, le=INT64_MAX)]
DateTime = Annotated[datetime, Meta(tz=True)]
# The events of an audit that are comments of its ticket.
COMMENT_TYPES = ("Comment", "VoiceComment")
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
    role: str = "end-user"
    active: bool = True
    suspended: bool = False
    organization_id: Id | None = None
    default_group_id: Id | None = None
    external_id: Any = None
    user_fields: dict[str, Any] | None = None


class NamedRecord(Record):
    name: str | UnsetType = UNSET


class OrganizationRecord(NamedRecord):
    external_id: Any = None
    organization_fields: dict[str, Any] | None = None


class GroupMembershipRecord(NamedRecord):
    user_id: Id | None = None
    group_id: Id | None = None


class FieldOption(msgspec.Struct):
    """An option of a drop-down."""

    value: str | None = None


class TicketFieldRecord(NamedRecord):
    type: str = "text"
    active: bool = True
    custom_field_options: list[FieldOption] | None = None


class OrganizationMembershipRecord(Record, kw_only=True):
    user_id: Id
    organization_id: Id
    default: bool | None = False


class IdentityRecord(Record, kw_only=True):
    user_id: Id
    type: str
    value: SearchText
    primary: bool | None = False
    verified: bool | None = False


class TicketRelatedRecord(Record, kw_only=True):
    ticket_id: Id


class _AuditBase(TicketRelatedRecord, kw_only=True):
    author_id: Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)] | None = None
    via: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class AuditEvent(msgspec.Struct):
    """An event of an audit."""

    type: str
    id: Annotated[int, Meta(ge=0, le=INT64_MAX)] | None = None
    field_name: str | None = None
    public: bool | None = None
    via: dict[str, Any] | None = None


_EVENT_CHECKS: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("id", lambda value: type(value) is int and 0 <= value <= INT64_MAX),
    ("field_name", lambda value: isinstance(value, str)),
    ("public", lambda value: isinstance(value, bool)),
    ("via", lambda value: isinstance(value, dict)),
)


class AuditRecord(_AuditBase, kw_only=True):
    """An audit as it is checked."""

    events: Sequence[AuditEvent] | None = None


class Audit(_AuditBase, kw_only=True):
    """An audit as it is read: the same, with every key of its events.

    An older release did not check the events: what is not as an AuditEvent has it is left out.
    """

    created_at: DateTime
    events: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        for event in self.events or ():
            for key, is_valid in _EVENT_CHECKS:
                if event.get(key) is not None and not is_valid(event[key]):
                    del event[key]


class Sla(msgspec.Struct):
    """The target that a policy sets, in minutes: at most some 4000 years, so that times stay in the calendar."""

    target: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None


class TicketMetricEventRecord(TicketRelatedRecord, kw_only=True):
    metric: str
    instance_id: Annotated[int, Meta(ge=-INT64_MAX, le=INT64_MAX)]
    type: str
    time: DateTime
    sla: Sla | None = None


class RecordInput(msgspec.Struct):
    """The keys that are checked in a write of a kind without a type of its own."""

    name: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    position: int | UnsetType = UNSET
    default: bool | UnsetType = UNSET


class _OrganizationName(msgspec.Struct):
    """The organization of a user by its name; it is created where there is none."""

    name: Name


class IdentityInput(msgspec.Struct):
    type: IdentityType | UnsetType = UNSET
    value: SearchText | UnsetType = UNSET
    primary: bool | UnsetType = UNSET
    verified: bool | UnsetType = UNSET


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
    organization: _OrganizationName | UnsetType | None = UNSET
    identities: list[IdentityInput] | UnsetType | None = UNSET


class OrganizationInput(msgspec.Struct):
    name: Name | UnsetType = UNSET
    external_id: ExternalId | UnsetType | None = UNSET
    domain_names: list[str] | UnsetType = UNSET
    shared_tickets: bool | UnsetType = UNSET
    shared_comments: bool | UnsetType = UNSET
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


class TicketFieldInput(msgspec.Struct):
    type: str | UnsetType = UNSET
    title: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    custom_field_options: list[dict[str, Any]] | UnsetType = UNSET


class CustomStatusInput(msgspec.Struct):
    status_category: Literal["new", "open", "pending", "hold", "solved"] | UnsetType = UNSET
    agent_label: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET
