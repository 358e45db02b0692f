"""Organizations and users of the help desk.

Admins, agents and light agents are kept as they are (they are few); end users, a quarter as many as tickets,
as columns of small numbers from which names, addresses and records are made when asked for. End users stand
in the order in which they were created, so those known at a given moment are a prefix.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from ticketfeed.protocol.records import wire_second
from ticketfeed.world.chance import IdSeries, pick, spread
from ticketfeed.world.desk import Desk, record_url
from ticketfeed.world.languages import LANGUAGES, Language
from ticketfeed.world.moments import DAY, YEAR
from ticketfeed.world.via import phone_number

__all__ = ["People", "Person", "make_people"]

_SUSPENDED, _INACTIVE, _NO_EMAIL = 1, 2, 4
_DOMAINS = ("example.com", "example.org", "example.net")
_ORG_FIRST = (
    "Amber",
    "Birch",
    "Cedar",
    "Delta",
    "Elm",
    "Fern",
    "Granite",
    "Harbour",
    "Iris",
    "Juniper",
    "Kiln",
    "Łąka",
)
_ORG_LAST = (
    "Bakery",
    "Canteen",
    "Cafés",
    "Foods",
    "Hotels",
    "Kitchens & Co",
    "Offices",
    "Roasters",
    "Schools",
    "Trading",
)
_REGIONS = ("emea", "amer", "apac")
_TIERS = ("bronze", "silver", "gold", None)


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the staff. `kind`: admin, agent, light; those who left are not active."""

    id: int
    kind: str
    name: str
    email: str
    group_id: int | None
    active: bool


@dataclass(slots=True)
class People:
    """Everyone, and who is whom. End users are known by their place in the columns."""

    account: str
    until: int
    staff: list[Person]
    agent_ids: dict[int, list[int]]  # group id -> agents who may be assigned
    light_ids: list[int]
    organization_ids: array[int]
    ids: array[int]
    created: array[int]
    languages: bytearray
    first_names: bytearray
    last_names: bytearray
    organizations: array[int]  # place in organization_ids, or -1
    flags: bytearray

    def known_at(self, moment: int) -> int:
        """How many of the end users existed then; one at least."""
        return max(1, bisect_right(self.created, moment))

    def language(self, place: int) -> Language:
        return LANGUAGES[self.languages[place]]

    def name(self, place: int) -> str:
        language = self.language(place)
        first, last = (
            language.first_names[self.first_names[place]],
            language.last_names[self.last_names[place]],
        )
        return f"{first[0]} {last[0]}"

    def email(self, place: int) -> str | None:
        """The number in the address makes it unique. People known by telephone only have none."""
        if self.flags[place] & _NO_EMAIL:
            return None
        language = self.language(place)
        first, last = (
            language.first_names[self.first_names[place]],
            language.last_names[self.last_names[place]],
        )
        return f"{first[1]}.{last[1]}{place + 1}@{_DOMAINS[place % 3]}"

    def organization_id(self, place: int) -> int | None:
        organization = self.organizations[place]
        return None if organization < 0 else self.organization_ids[organization]

    def organization_name(self, place: int) -> str:
        """The name of the organization at this place of organization_ids."""
        first, last = _ORG_FIRST[place % len(_ORG_FIRST)], _ORG_LAST[place * 7 // 3 % len(_ORG_LAST)]
        return f"{first} {last} {place + 1}"

    def phone(self, place: int) -> str | None:
        """The telephone number of an end user, None for most who write by email."""
        return phone_number(place)["phone"] if place % 3 == 0 or self.flags[place] & _NO_EMAIL else None

    def organization_records(self) -> Iterator[dict[str, Any]]:
        group_ids = list(self.agent_ids)
        for place, id in enumerate(self.organization_ids):
            yield self._organization(place, id, group_ids)

    def user_records(self) -> Iterator[dict[str, Any]]:
        for place, person in enumerate(self.staff):
            yield self._staff_user(place, person)
        for place in range(len(self.ids)):
            yield self._end_user(place)

    def _organization(self, place: int, id: int, group_ids: list[int]) -> dict[str, Any]:
        created = self.until - 7 * YEAR + place % 700 * DAY
        return {
            "url": record_url(self.account, "organizations", id),
            "id": id,
            "name": self.organization_name(place),
            "shared_tickets": place % 5 == 0,
            "shared_comments": place % 10 == 0,
            "external_id": f"org-{place + 1:05d}" if place % 3 else None,
            "created_at": wire_second(created),
            "updated_at": wire_second(created + place % 1500 * DAY // 2),
            "domain_names": [f"customer{place + 1}.{_DOMAINS[place % 3]}"] if place % 4 else [],
            "details": "Pays by invoice, thirty days" if place % 6 == 1 else None,
            "notes": "Ask for the site name first.\nTwo kitchens." if place % 9 == 2 else None,
            "group_id": group_ids[place % len(group_ids)] if place % 4 == 3 else None,
            "tags": ["key_account"] if place % 8 == 0 else [],
            "organization_fields": {"region": _REGIONS[place % 3], "seats": place * 37 % 400 + 1},
            "deleted_at": None,
        }

    def _staff_user(self, place: int, person: Person) -> dict[str, Any]:
        created, light = self.until - 7 * YEAR + place % 600 * DAY, person.kind == "light"
        record = self._user(person.id, person.name, person.email, LANGUAGES[0])
        record.update(
            created_at=wire_second(created),
            updated_at=wire_second(self.until - (place * 5 % 90 + 1) * DAY),
            last_login_at=wire_second(self.until - (place * 3 % 40) * DAY // 8) if person.active else None,
            role="admin" if person.kind == "admin" else "agent",
            role_type={"admin": 4, "light": 1}.get(person.kind),
            two_factor_auth_enabled=place % 3 != 0,
            signature=None if light else f"{person.name}\nGrove Kitchen support",
            active=person.active,
            moderator=person.kind == "admin",
            only_private_comments=light,
            restricted_agent=light,
            default_group_id=person.group_id,
            report_csv=person.kind == "admin",
        )
        return record

    def _end_user(self, place: int) -> dict[str, Any]:
        flags, created = self.flags[place], self.created[place]
        record = self._user(self.ids[place], self.name(place), self.email(place), self.language(place))
        phone = self.phone(place)
        record.update(
            created_at=wire_second(created),
            updated_at=wire_second(created + (self.until - created) * (place % 11) // 12),
            phone=phone,
            shared_phone_number=None if phone is None else False,
            organization_id=self.organization_id(place),
            verified=not flags & _NO_EMAIL and place % 5 != 0,
            external_id=f"shop-{100_000 + place}" if place % 4 == 0 else None,
            tags=["vip"] if place % 25 == 3 else [],
            alias='the "other" one' if place % 97 == 7 else None,
            active=not flags & _INACTIVE,
            last_login_at=wire_second(created + (self.until - created) * (place % 7) // 8) if place % 2 else None,
            notes="Prefers a call back 📞" if place % 41 == 5 else None,
            ticket_restriction="organization" if place % 50 == 9 else "requested",
            suspended=bool(flags & _SUSPENDED),
            user_fields={"loyalty_tier": _TIERS[place % 4], "newsletter": place % 3 == 1},
        )
        return record

    def _user(self, id: int, name: str, email: str | None, language: Language) -> dict[str, Any]:
        """All keys of a user in wire order, filled as for the plainest one."""
        return {
            "id": id,
            "url": record_url(self.account, "users", id),
            "name": name,
            "email": email,
            "created_at": None,
            "updated_at": None,
            "time_zone": language.time_zone,
            "iana_time_zone": language.iana_time_zone,
            "phone": None,
            "shared_phone_number": None,
            "photo": None,
            "locale_id": language.locale_id,
            "locale": language.locale,
            "organization_id": None,
            "role": "end-user",
            "verified": True,
            "external_id": None,
            "tags": [],
            "alias": None,
            "active": True,
            "shared": False,
            "shared_agent": False,
            "last_login_at": None,
            "two_factor_auth_enabled": None,
            "signature": None,
            "details": None,
            "notes": None,
            "role_type": None,
            "custom_role_id": None,
            "is_billing_admin": False,
            "moderator": False,
            "ticket_restriction": None,
            "only_private_comments": False,
            "restricted_agent": False,
            "suspended": False,
            "default_group_id": None,
            "report_csv": False,
            "user_fields": {"loyalty_tier": None, "newsletter": False},
            "suspension_details": None,
        }


def make_people(tickets: int, desk: Desk, account: str, until: int, ids: IdSeries, rng: Random) -> People:
    """People for that many tickets: an agent for 150, an end user for four, an organization for a hundred."""
    staff = _make_staff(max(5, tickets // 150), desk.group_ids, ids, rng)
    organization_ids = array("q", (next(ids) for _ in range(max(4, tickets // 100))))
    count = max(24, tickets // 4)
    languages = spread(rng, [language.share for language in LANGUAGES], count)
    known = [LANGUAGES[code] for code in languages]
    random, organizations = rng.random, len(organization_ids)
    return People(
        account=account,
        until=until,
        staff=staff,
        agent_ids=_agents_by_group(staff, desk.group_ids),
        light_ids=[person.id for person in staff if person.kind == "light"],
        organization_ids=organization_ids,
        ids=array("q", (next(ids) for _ in range(count))),
        created=array("q", sorted(max(0, until - DAY - int(random() * 5 * YEAR)) for _ in range(count))),
        languages=languages,
        first_names=bytearray(int(random() * len(language.first_names)) for language in known),
        last_names=bytearray(int(random() * len(language.last_names)) for language in known),
        organizations=array("q", (_organization_place(random(), organizations) for _ in range(count))),
        flags=_flags(count),
    )


def _flags(count: int) -> bytearray:
    """Set by place, so that every kind of person occurs in the smallest world."""
    return bytearray(
        (place % 40 == 11) * _SUSPENDED | (place % 25 == 17) * _INACTIVE | (place % 30 == 23) * _NO_EMAIL
        for place in range(count)
    )


def _make_staff(agents: int, group_ids: list[int], ids: IdSeries, rng: Random) -> list[Person]:
    kinds = ["admin"] * (3 if agents > 20 else 2) + ["agent"] * agents + ["light"] * max(2, agents // 5)
    english = LANGUAGES[0]
    staff = []
    for place, kind in enumerate(kinds):
        first, last = pick(rng, english.first_names), pick(rng, english.last_names)
        group_id = None if kind == "light" else group_ids[place % len(group_ids)]
        left = kind == "agent" and place % 12 == 6
        email = f"{first[1]}.{last[1]}.staff{place + 1}@example.com"
        staff.append(Person(next(ids), kind, f"{first[0]} {last[0]}", email, group_id, not left))
    return staff


def _agents_by_group(staff: list[Person], group_ids: list[int]) -> dict[int, list[int]]:
    """Who may be assigned in each group; a small team helps out in groups without members."""
    able = [person for person in staff if person.active and person.kind != "light"]
    members: dict[int, list[int]] = {group_id: [] for group_id in group_ids}
    for person in able:
        if person.group_id is not None:
            members[person.group_id].append(person.id)
    for place, group_id in enumerate(group_ids):
        if not members[group_id]:
            members[group_id] = [able[place % len(able)].id]
    return members


def _organization_place(chance: float, organizations: int) -> int:
    """Two people in three belong to an organization."""
    place = int(chance * organizations * 1.5)
    return place if place < organizations else -1
