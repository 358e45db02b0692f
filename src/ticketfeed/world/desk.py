"""The desk as it is set up: groups, brands, forms, fields, custom statuses and sharing agreements.

They are few, older than every ticket, and the same in every world but for ids. Keys are in wire order.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ticketfeed.protocol.records import wire_second
from ticketfeed.world.chance import IdSeries
from ticketfeed.world.moments import YEAR
from ticketfeed.world.words import PRODUCTS

__all__ = ["AREAS", "CUSTOM_TYPES", "STATUS_CATEGORIES", "Desk", "make_desk", "record_url"]

Record = dict[str, Any]

STATUS_CATEGORIES = ("new", "open", "pending", "hold", "solved")

# name, description, default, deleted
_GROUPS = (
    ("Front desk", "First answer to everything", True, False),
    ("Deliveries", "Carriers, parcels and customs", False, False),
    ("Billing", "Invoices, refunds and plans", False, False),
    ("Workshop", "Repairs and spare parts", False, False),
    ("App and devices", "Sign-in, pairing, firmware", False, False),
    ("Partners", "Resellers and interfaces", False, False),
    ("Night shift", "", False, False),
    ("Café team 🫖", 'Office machines; former name "B2B"', False, False),
    ("Old returns desk", "Closed, now part of Deliveries", False, True),
)

# name, suffix of the subdomain, active
_BRANDS = (("Grove Kitchen", "", True), ("Grove Office", "-office", True), ("Outlet", "-outlet", False))

# name, seen by end users, active
_FORMS = (
    ("General", True, True),
    ("Repair", True, True),
    ("Partner request", False, True),
    ("Old form", True, False),
)

# category, agent's label, end user's label, default, active
_STATUSES = (
    ("new", "New", "Received", True, True),
    ("open", "Open", "Open", True, True),
    ("open", "In the workshop", "Being repaired", False, True),
    ("pending", "Pending", "Awaiting your reply", True, True),
    ("pending", "Waiting for pictures", "Please send pictures", False, True),
    ("hold", "On-hold", "Open", True, True),
    ("hold", "Waiting for supplier", "Part on order", False, True),
    ("solved", "Solved", "Solved", True, True),
    ("solved", "Solved by replacement", "Replaced", False, True),
    ("open", "Second level (old)", "Open", False, False),
)

# name, partner, subdomain, status, type
_AGREEMENTS: tuple[tuple[str, str | None, str, str, str], ...] = (
    ("Carrier desk @ Grove", None, "carrierdesk", "accepted", "outbound"),
    ("Grove @ Workshop North", None, "workshopnorth", "accepted", "inbound"),
    ("Development board", "jira", "grovedevelopment", "accepted", "outbound"),
    ("Former reseller", None, "oldreseller", "inactive", "inbound"),
)

AREAS = ("area_payment", "area_shipping", "area_hardware", "area_firmware", "area_account")

# type, title; some have the options below
_SYSTEM_FIELDS = (
    ("subject", "Subject"),
    ("description", "Description"),
    ("status", "Status"),
    ("tickettype", "Type"),
    ("priority", "Priority"),
    ("group", "Group"),
    ("assignee", "Assignee"),
)
_SYSTEM_OPTIONS = {
    "status": ("Open", "Pending", "On-hold", "Solved"),
    "tickettype": ("Question", "Incident", "Problem", "Task"),
    "priority": ("Low", "Normal", "High", "Urgent"),
}

# type, title: one of every type; their order is the order of a ticket's custom_fields
_CUSTOM_FIELDS = (
    ("text", "Order number"),
    ("textarea", "Already tried"),
    ("regexp", "Serial number"),
    ("date", "Date of purchase"),
    ("partialcreditcard", "Card"),
    ("integer", "Machines affected"),
    ("decimal", "Amount in question"),
    ("checkbox", "Goodwill"),
    ("tagger", "Product"),
    ("multiselect", "Areas"),
    ("lookup", "Account manager"),
)
CUSTOM_TYPES = tuple(kind for kind, _ in _CUSTOM_FIELDS)


@dataclass(slots=True)
class Desk:
    """All records, and the ids that tickets may use (those that are active)."""

    groups: list[Record] = field(default_factory=list)
    brands: list[Record] = field(default_factory=list)
    ticket_forms: list[Record] = field(default_factory=list)
    ticket_fields: list[Record] = field(default_factory=list)
    custom_statuses: list[Record] = field(default_factory=list)
    sharing_agreements: list[Record] = field(default_factory=list)
    group_ids: list[int] = field(default_factory=list)
    brand_ids: list[int] = field(default_factory=list)
    form_ids: list[int] = field(default_factory=list)
    custom_field_ids: list[int] = field(default_factory=list)
    agreement_ids: list[int] = field(default_factory=list)
    status_ids: dict[str, list[int]] = field(default_factory=dict)


def make_desk(account: str, until: int, ids: IdSeries) -> Desk:
    """The desk of one account; ids are taken from `ids` in a fixed order."""
    made = {"created_at": wire_second(until - 8 * YEAR), "updated_at": wire_second(until - 6 * YEAR)}
    groups = [_group(account, next(ids), *entry, made) for entry in _GROUPS]
    fields = [*_system_fields(account, ids, made), *_custom_fields(account, ids, made)]
    field_ids = [record["id"] for record in fields if record["active"]]
    form_ids = [next(ids) for _ in _FORMS]
    forms = [_form(account, id, place, field_ids, made) for place, id in enumerate(form_ids)]
    brands = [_brand(account, next(ids), place, form_ids[:3], made) for place in range(len(_BRANDS))]
    statuses = [_status(account, next(ids), *entry, made) for entry in _STATUSES]
    agreements = [_agreement(account, next(ids), *entry, made) for entry in _AGREEMENTS]
    return Desk(
        groups=groups,
        brands=brands,
        ticket_forms=forms,
        ticket_fields=fields,
        custom_statuses=statuses,
        sharing_agreements=agreements,
        group_ids=[record["id"] for record in groups if not record["deleted"]],
        brand_ids=_active_ids(brands),
        form_ids=_active_ids(forms),
        custom_field_ids=_active_ids(record for record in fields if record["removable"]),
        agreement_ids=[record["id"] for record in agreements if record["status"] == "accepted"],
        status_ids={
            category: _active_ids(record for record in statuses if record["status_category"] == category)
            for category in STATUS_CATEGORIES
        },
    )


def record_url(account: str, kind: str, id: int) -> str:
    return f"https://{account}.zendesk.com/api/v2/{kind}/{id}.json"


def _active_ids(records: Iterable[Record]) -> list[int]:
    return [record["id"] for record in records if record["active"]]


def _group(account: str, id: int, name: str, about: str, default: bool, deleted: bool, made: Record) -> Record:
    return {
        "url": record_url(account, "groups", id),
        "id": id,
        "is_public": True,
        "name": name,
        "description": about,
        "default": default,
        "deleted": deleted,
        **made,
    }


def _system_fields(account: str, ids: IdSeries, made: Record) -> list[Record]:
    records = []
    for place, (kind, title) in enumerate(_SYSTEM_FIELDS):
        record = _field(account, next(ids), kind, title, place, made)
        record.update(removable=False, required=kind in ("subject", "description"), visible_in_portal=place < 2)
        if kind in _SYSTEM_OPTIONS:
            names = _SYSTEM_OPTIONS[kind]
            record["system_field_options"] = [{"name": name, "value": _option_value(name)} for name in names]
        records.append(record)
    return records


def _option_value(name: str) -> str:
    return "hold" if name == "On-hold" else name.lower()


def _custom_fields(account: str, ids: IdSeries, made: Record) -> list[Record]:
    first = len(_SYSTEM_FIELDS)
    records = [_field(account, next(ids), *entry, first + n, made) for n, entry in enumerate(_CUSTOM_FIELDS)]
    options = {
        "tagger": [(tag, name) for name, tag in PRODUCTS],
        "multiselect": [(tag, _title(tag)) for tag in AREAS],
    }
    for record in records:
        kind = record["type"]
        if kind in options:
            record["custom_field_options"] = [
                {"id": next(ids), "name": name, "raw_name": name, "value": tag, "default": False}
                for tag, name in options[kind]
            ]
        elif kind == "regexp":
            record["regexp_for_validation"] = r"\ASN-\d{5}-[A-F]\z"
        elif kind == "checkbox":
            record["tag"] = "goodwill"
        elif kind == "lookup":
            record["relationship_target_type"] = "zen:user"
    retired = _field(account, next(ids), "text", "Fax number", first + len(records), made)
    retired["active"] = False
    return [*records, retired]


def _title(tag: str) -> str:
    return tag.partition("_")[2].capitalize()


def _field(account: str, id: int, kind: str, title: str, position: int, made: Record) -> Record:
    return {
        "url": record_url(account, "ticket_fields", id),
        "id": id,
        "type": kind,
        "title": title,
        "raw_title": title,
        "description": "",
        "raw_description": "",
        "position": position,
        "active": True,
        "required": False,
        "collapsed_for_agents": False,
        "regexp_for_validation": None,
        "title_in_portal": title,
        "raw_title_in_portal": title,
        "visible_in_portal": False,
        "editable_in_portal": False,
        "required_in_portal": False,
        "agent_can_edit": True,
        "tag": None,
        **made,
        "removable": True,
        "key": None,
        "agent_description": None,
        "raw_agent_description": None,
        "sub_type_id": None,
    }


def _form(account: str, id: int, place: int, field_ids: list[int], made: Record) -> Record:
    name, end_user_visible, active = _FORMS[place]
    return {
        "id": id,
        "raw_name": name,
        "raw_display_name": name,
        "end_user_visible": end_user_visible,
        "position": place,
        "ticket_field_ids": field_ids,
        "active": active,
        "default": place == 0,
        "in_all_brands": True,
        "restricted_brand_ids": [],
        "end_user_conditions": [],
        "agent_conditions": [],
        "url": record_url(account, "ticket_forms", id),
        "name": name,
        "display_name": name,
        "form_type": "standard",
        **made,
        "deleted_at": None,
    }


def _brand(account: str, id: int, place: int, form_ids: list[int], made: Record) -> Record:
    name, suffix, active = _BRANDS[place]
    return {
        "url": record_url(account, "brands", id),
        "id": id,
        "name": name,
        "brand_url": f"https://{account}{suffix}.zendesk.com",
        "subdomain": f"{account}{suffix}",
        "host_mapping": None,
        "has_help_center": active,
        "help_center_state": "enabled" if active else "disabled",
        "active": active,
        "default": place == 0,
        "is_deleted": False,
        "logo": None,
        "ticket_form_ids": form_ids,
        "signature_template": "{{agent.signature}}",
        **made,
    }


def _status(
    account: str,
    id: int,
    category: str,
    label: str,
    end_user_label: str,
    default: bool,
    active: bool,
    made: Record,
) -> Record:
    about, end_user_about = f"Tickets shown to agents as {label}", f"Shown as {end_user_label}"
    return {
        "url": record_url(account, "custom_statuses", id),
        "id": id,
        "status_category": category,
        "agent_label": label,
        "raw_agent_label": label,
        "end_user_label": end_user_label,
        "raw_end_user_label": end_user_label,
        "description": about,
        "raw_description": about,
        "end_user_description": end_user_about,
        "raw_end_user_description": end_user_about,
        "active": active,
        "default": default,
        **made,
    }


def _agreement(
    account: str,
    id: int,
    name: str,
    partner: str | None,
    subdomain: str,
    status: str,
    kind: str,
    made: Record,
) -> Record:
    return {
        "id": id,
        "name": name,
        "partner_name": partner,
        "remote_subdomain": subdomain,
        "status": status,
        "type": kind,
        **made,
        "url": record_url(account, "sharing_agreements", id),
    }
