"""Sideloads of records: which records belong beside those of a page, by the ids that they carry.

A row of RECORD_SIDELOADS says for a name in `include` where its records are found: by ids in the records of the page
(Linked), in records that link to them (LinkedFrom), or in their tickets (OfTicket). Each name becomes an array beside
the records, present even when empty, each record once, ordered by id.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.model import INT64_MAX

__all__ = ["RECORD_SIDELOADS", "Linked", "LinkedFrom", "OfTicket", "find_ids"]


class Linked(NamedTuple):
    """Records of `kind` whose ids stand under `keys` of the records of the page."""

    kind: str
    keys: tuple[str, ...]


class LinkedFrom(NamedTuple):
    """Records of `kind` that name a record of the page under `key`; or, with `then`, those that they link to."""

    kind: str
    key: str
    then: Linked | None = None


class OfTicket(NamedTuple):
    """The tickets of the records of the page; or, with `name`, what those tickets sideload under it."""

    name: str | None = None


# kind of the page's records -> name in `include` -> where its records are found
RECORD_SIDELOADS: dict[str, dict[str, Linked | LinkedFrom | OfTicket]] = {
    "users": {
        "organizations": Linked("organizations", ("organization_id",)),
        "groups": LinkedFrom("group_memberships", "user_id", Linked("groups", ("group_id",))),
        "identities": LinkedFrom("identities", "user_id"),
    },
    "groups": {"users": LinkedFrom("group_memberships", "group_id", Linked("users", ("user_id",)))},
    "group_memberships": {
        "users": Linked("users", ("user_id",)),
        "groups": Linked("groups", ("group_id",)),
    },
    "organization_memberships": {
        "users": Linked("users", ("user_id",)),
        "organizations": Linked("organizations", ("organization_id",)),
    },
    "ticket_forms": {"ticket_fields": Linked("ticket_fields", ("ticket_field_ids",))},
    "ticket_fields": {"users": Linked("users", ("creator_user_id",))},
    "satisfaction_ratings": {
        "users": Linked("users", ("requester_id", "assignee_id")),
        "groups": Linked("groups", ("group_id",)),
        "tickets": OfTicket(),
    },
    "audits": {
        "users": Linked("users", ("author_id",)),
        "tickets": OfTicket(),
        "groups": OfTicket("groups"),
        "organizations": OfTicket("organizations"),
    },
    "comments": {"users": Linked("users", ("author_id",))},
}

_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def find_ids(bodies: Iterable[bytes], keys: Iterable[str]) -> list[int]:
    """The ids under these keys, a number or a list of numbers, ascending, each once."""
    found: set[int] = set()
    wanted = tuple(keys)
    for body in bodies:
        values = _VALUES.decode(body)
        for key in wanted:
            value: Any = msgspec.json.decode(values[key]) if key in values else None
            found.update(id for id in (value if isinstance(value, list) else [value]) if _is_id(id))
    return sorted(found)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INT64_MAX
