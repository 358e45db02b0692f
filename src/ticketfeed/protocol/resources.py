"""One row a kind of record: its address, names, shape and types, who may read and write it, how deletion shows.

Routes, the OpenAPI document, validation, lists, search, sideloads and `load` are made from these rows. A new kind is
one row here and a shape in record_shapes.py; it has types of its own in record_types.py where the common ones do not
fit. Tickets are no row: they have rules of their own.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import msgspec

from ticketfeed.protocol import record_shapes as shapes
from ticketfeed.protocol import record_types as types
from ticketfeed.protocol.record_shapes import Shape

__all__ = [
    "KINDS",
    "PAGE_KEYS",
    "RESOURCES",
    "SEARCH_TYPES",
    "Deletion",
    "ManyVerb",
    "Resource",
    "Role",
    "Writes",
    "allows_role",
]

# Who may call an address, from the lowest; each may do what those before it may.
Role = Literal["anybody", "end-user", "agent", "admin"]
_RANKS = {role: rank for rank, role in enumerate(get_args(Role))}
# The last part of an address that writes by more than an id, or more than one record.
ManyVerb = Literal["create_or_update", "create_many", "update_many", "destroy_many", "create_or_update_many"]


def allows_role(role: str, lowest: Role) -> bool:
    """Whether a user of this role may do what `lowest`, and all above it, may."""
    return _RANKS.get(role, _RANKS["end-user"]) >= _RANKS[lowest]


class Deletion(NamedTuple):
    """The key that marks a deleted record, and its value there; None for the time of the deletion."""

    key: str
    value: bool | None


@dataclass(frozen=True, slots=True)
class Writes:
    """How clients write the records of a kind.

    `role`: the lowest that may. `required`: keys that a new record must have. `input`: the type of what is sent.
    `verbs`: addresses besides POST, PUT and DELETE of one record. `has_update`: whether one record can be changed by
    PUT. `extra_keys`: keys that clients may write although
    the shape lacks them.
    """

    role: Role
    required: tuple[str, ...]
    deletion: Deletion
    input: type[msgspec.Struct] = types.RecordInput
    verbs: tuple[ManyVerb, ...] = ()
    has_update: bool = True
    extra_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of record.

    `path`: its address below /api/v2, with {user_id} for the user that a record belongs to. `kind`: its name in the
    store, and the key of its lists. `singular`: the key of a single record. `record`: what a stored record is
    decoded as. `writes`: None where clients only read. `read_role`: the lowest that may read. `is_listed`: whether
    there are addresses for the list, the count and single records. `has_show_many`: whether there is one for
    several by `ids`. `has_external_id`: whether a record can be found by its external_id. `reads_deleted`: whether
    a deleted record can still be read by its id. `ticket_column`: the column of a ticket that links to these
    records, so that tickets sideload them. `search_type`: its name in a search. `page_keys`: further keys under
    which saved pages have these records.
    """

    path: str
    kind: str
    singular: str
    shape: Shape
    record: type[types.Record] = types.NamedRecord
    writes: Writes | None = None
    read_role: Role = "agent"
    is_listed: bool = True
    has_show_many: bool = False
    has_external_id: bool = False
    reads_deleted: bool = False
    ticket_column: str | None = None
    search_type: str | None = None
    page_keys: tuple[str, ...] = ()


_MANY: tuple[ManyVerb, ...] = ("create_or_update", "create_many", "update_many", "destroy_many")
_DELETED, _DELETED_AT = Deletion("deleted", True), Deletion("deleted_at", None)

# Searches and the OpenAPI document go in this order.
_ROWS = (
    Resource(
        "/users",
        "users",
        "user",
        shapes.USER,
        types.UserRecord,
        Writes(
            "agent",
            ("name",),
            Deletion("active", False),
            types.UserInput,
            verbs=(*_MANY, "create_or_update_many"),
        ),
        has_show_many=True,
        has_external_id=True,
        reads_deleted=True,
        ticket_column="user_ids",
        search_type="user",
    ),
    Resource(
        "/organizations",
        "organizations",
        "organization",
        shapes.ORGANIZATION,
        types.OrganizationRecord,
        Writes("agent", ("name",), _DELETED_AT, types.OrganizationInput, verbs=_MANY),
        has_show_many=True,
        has_external_id=True,
        ticket_column="organization_id",
        search_type="organization",
    ),
    Resource(
        "/groups",
        "groups",
        "group",
        shapes.GROUP,
        writes=Writes("admin", ("name",), _DELETED),
        ticket_column="group_id",
        search_type="group",
    ),
    Resource(
        "/group_memberships",
        "group_memberships",
        "group_membership",
        shapes.GROUP_MEMBERSHIP,
        types.GroupMembershipRecord,
        writes=Writes("admin", ("user_id", "group_id"), _DELETED, types.GroupMembershipInput),
    ),
    Resource(
        "/organization_memberships",
        "organization_memberships",
        "organization_membership",
        shapes.ORGANIZATION_MEMBERSHIP,
        types.OrganizationMembershipRecord,
        Writes(
            "agent",
            ("user_id", "organization_id"),
            _DELETED,
            types.OrganizationMembershipInput,
            verbs=("create_many", "destroy_many"),
            has_update=False,
        ),
    ),
    Resource(
        "/users/{user_id}/identities",
        "identities",
        "identity",
        shapes.IDENTITY,
        types.IdentityRecord,
        Writes("agent", ("type", "value"), _DELETED, types.IdentityInput),
        is_listed=False,
    ),
    Resource(
        "/ticket_fields",
        "ticket_fields",
        "ticket_field",
        shapes.TICKET_FIELD,
        types.TicketFieldRecord,
        writes=Writes(
            "admin",
            ("type", "title"),
            _DELETED,
            types.TicketFieldInput,
            extra_keys=frozenset({"custom_field_options", "system_field_options"}),
        ),
        has_show_many=True,
    ),
    Resource(
        "/ticket_forms",
        "ticket_forms",
        "ticket_form",
        shapes.TICKET_FORM,
        writes=Writes("admin", ("name",), _DELETED_AT),
        has_show_many=True,
        ticket_column="ticket_form_id",
    ),
    Resource(
        "/brands",
        "brands",
        "brand",
        shapes.BRAND,
        writes=Writes("admin", ("name", "subdomain"), Deletion("is_deleted", True)),
        read_role="admin",
        ticket_column="brand_id",
    ),
    Resource(
        "/custom_statuses",
        "custom_statuses",
        "custom_status",
        shapes.CUSTOM_STATUS,
        writes=Writes("admin", ("status_category", "agent_label"), _DELETED, types.CustomStatusInput),
        ticket_column="custom_status_id",
    ),
    Resource("/user_fields", "user_fields", "user_field", shapes.USER_FIELD),
    Resource("/organization_fields", "organization_fields", "organization_field", shapes.ORGANIZATION_FIELD),
    Resource("/macros", "macros", "macro", shapes.MACRO),
    Resource("/slas/policies", "sla_policies", "sla_policy", shapes.SLA_POLICY, read_role="admin"),
    Resource(
        "/satisfaction_ratings",
        "satisfaction_ratings",
        "satisfaction_rating",
        shapes.SATISFACTION_RATING,
        types.TicketRelatedRecord,
    ),
    Resource(
        "/sharing_agreements",
        "sharing_agreements",
        "sharing_agreement",
        shapes.SHARING_AGREEMENT,
        ticket_column="agreement_ids",
    ),
    Resource(
        "/ticket_metrics",
        "ticket_metrics",
        "ticket_metric",
        shapes.TICKET_METRIC,
        types.TicketRelatedRecord,
        page_keys=("metric_sets",),
    ),
    Resource("/ticket_audits", "audits", "audit", shapes.AUDIT, types.AuditRecord),
    Resource(
        "/ticket_metric_events",
        "ticket_metric_events",
        "ticket_metric_event",
        shapes.TICKET_METRIC_EVENT,
        types.TicketMetricEventRecord,
        is_listed=False,
    ),
)
RESOURCES: dict[str, Resource] = {row.kind: row for row in _ROWS}
# Every kind that can be loaded.
KINDS = ("tickets", *RESOURCES)
# The keys of lists in a saved page -> their kind.
PAGE_KEYS = {kind: kind for kind in KINDS} | {key: row.kind for row in _ROWS for key in row.page_keys}
# The `type:` of a search -> its kind.
SEARCH_TYPES = {"ticket": "tickets"} | {row.search_type: row.kind for row in _ROWS if row.search_type}
