"""The rest of the desk's setup: fields of users and organizations, who is in which group, macros and SLA policies.

Few records, older than every ticket, the same in every world but for ids. Keys are in wire order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ticketfeed.protocol.records import wire_second
from ticketfeed.world.chance import IdSeries
from ticketfeed.world.desk import record_url
from ticketfeed.world.moments import YEAR
from ticketfeed.world.people import People

__all__ = ["Setup", "make_setup", "organization_memberships", "phone_identities"]

Record = dict[str, Any]

# key, type, title, options
_USER_FIELDS = (
    ("loyalty_tier", "dropdown", "Loyalty tier", ("bronze", "silver", "gold")),
    ("newsletter", "checkbox", "Newsletter", ()),
)
_ORGANIZATION_FIELDS = (
    ("region", "dropdown", "Region", ("emea", "amer", "apac")),
    ("seats", "integer", "Seats", ()),
)
# title, what it does
_MACROS = (
    ("Close and thank", (("status", "solved"), ("comment_value", "Thank you for writing!"))),
    ("Ask for a picture", (("status", "pending"), ("comment_value", "Could you send us a picture?"))),
    ("To the workshop", (("status", "hold"), ("current_tags", "workshop"))),
    ("Take it", (("assignee_id", "current_user"),)),
    ("Downgrade and inform", (("priority", "low"), ("comment_value", "We will be back within a week."))),
    ("Très urgent", (("priority", "urgent"),)),
)
# title, priorities with the minutes until the first reply
_POLICIES = (
    ("Premium answers", {"urgent": 60, "high": 240}),
    ("Standard answers", {"normal": 1440}),
)


def organization_memberships(account: str, people: People, ids: IdSeries) -> Iterator[Record]:
    """Every end user with an organization in that one, since they are known."""
    for place, user_id in enumerate(people.ids):
        organization_id = people.organization_id(place)
        if organization_id is not None:
            id, made = next(ids), wire_second(people.created[place])
            yield {
                "url": record_url(account, "organization_memberships", id),
                "id": id,
                "user_id": user_id,
                "organization_id": organization_id,
                "default": True,
                "created_at": made,
                "organization_name": people.organization_name(people.organizations[place]),
                "updated_at": made,
                "view_tickets": place % 7 != 0,
            }


def phone_identities(account: str, people: People, ids: IdSeries) -> Iterator[Record]:
    """The telephone of every end user who has one; their email addresses are in the users themselves."""
    for place, user_id in enumerate(people.ids):
        phone = people.phone(place)
        if phone is not None:
            id, made = next(ids), wire_second(people.created[place])
            yield {
                "url": record_url(account, f"users/{user_id}/identities", id),
                "id": id,
                "user_id": user_id,
                "type": "phone_number",
                "value": phone,
                "verified": place % 2 == 0,
                "primary": people.email(place) is None,
                "created_at": made,
                "updated_at": made,
                "undeliverable_count": 0,
                "deliverable_state": "deliverable",
            }


@dataclass(slots=True)
class Setup:
    """All records, and for each priority the policy that applies, as metric events show it, with its `target`."""

    user_fields: list[Record]
    organization_fields: list[Record]
    group_memberships: list[Record]
    macros: list[Record]
    sla_policies: list[Record]
    policy_of: dict[str | None, Record]


def make_setup(account: str, until: int, people: People, ids: IdSeries) -> Setup:
    """The setup of one account."""
    made = {"created_at": wire_second(until - 8 * YEAR), "updated_at": wire_second(until - 6 * YEAR)}
    policies = [_policy(account, next(ids), place, made) for place in range(len(_POLICIES))]
    policy_of: dict[str | None, Record] = {}
    for record, (title, targets) in zip(policies, _POLICIES, strict=True):
        shown = {"id": record["id"], "title": title, "description": record["description"]}
        policy_of |= {priority: {**shown, "target": minutes} for priority, minutes in targets.items()}
    return Setup(
        user_fields=_fields(account, "user_fields", _USER_FIELDS, made, ids),
        organization_fields=_fields(account, "organization_fields", _ORGANIZATION_FIELDS, made, ids),
        group_memberships=list(_memberships(account, people, made, ids)),
        macros=[_macro(account, next(ids), place, made) for place in range(len(_MACROS))],
        sla_policies=policies,
        policy_of=policy_of,
    )


def _fields(account: str, kind: str, entries: tuple[Any, ...], made: Record, ids: IdSeries) -> list[Record]:
    records = []
    for position, (key, type_, title, options) in enumerate(entries):
        id = next(ids)
        record = {
            "url": record_url(account, kind, id),
            "id": id,
            "type": type_,
            "key": key,
            "title": title,
            "raw_title": title,
            "description": "",
            "raw_description": "",
            "position": position,
            "active": True,
            "system": False,
            "regexp_for_validation": None,
            **made,
        }
        if options:
            record["custom_field_options"] = [
                {"id": next(ids), "name": option.capitalize(), "raw_name": option.capitalize(), "value": option}
                for option in options
            ]
        records.append(record)
    return records


def _memberships(account: str, people: People, made: Record, ids: IdSeries) -> Iterator[Record]:
    """Everybody of the staff in their own group, and whoever helps out in another in that one too."""
    own = {person.id: person.group_id for person in people.staff if person.group_id is not None}
    pairs = list(own.items())
    pairs += [(id, group) for group, members in people.agent_ids.items() for id in members if own.get(id) != group]
    for user_id, group_id in pairs:
        id = next(ids)
        yield {
            "url": record_url(account, "group_memberships", id),
            "id": id,
            "user_id": user_id,
            "group_id": group_id,
            "default": own.get(user_id) == group_id,
            **made,
        }


def _macro(account: str, id: int, place: int, made: Record) -> Record:
    title, actions = _MACROS[place]
    return {
        "url": record_url(account, "macros", id),
        "id": id,
        "title": title,
        "active": place != 4,
        "updated_at": made["updated_at"],
        "created_at": made["created_at"],
        "default": False,
        "position": place,
        "description": None,
        "actions": [{"field": name, "value": value} for name, value in actions],
        "restriction": None,
        "raw_title": title,
    }


def _policy(account: str, id: int, place: int, made: Record) -> Record:
    title, targets = _POLICIES[place]
    return {
        "url": record_url(account, "slas/policies", id),
        "id": id,
        "title": title,
        "description": f"First reply to tickets of priority {' or '.join(targets)}",
        "position": place,
        "filter": {"all": [{"field": "type", "operator": "is_not", "value": "task"}], "any": []},
        "policy_metrics": [
            {
                "priority": priority,
                "metric": "reply_time",
                "target": minutes,
                "target_in_seconds": minutes * 60,
                "business_hours": False,
            }
            for priority, minutes in targets.items()
        ],
        **made,
    }
