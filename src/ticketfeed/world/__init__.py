"""A made-up help desk: people, settings and tickets that fit together, the same for the same seed.

For demos, tests and benchmarks. All text is invented; all addresses end in example.com, .org or .net.

    chance.py     draws that repeat on every Python
    words.py      English: topics and sentences        languages.py  the other languages, and names
    text.py       subjects and descriptions            via.py        how a ticket came in
    desk.py       groups, fields, forms, brands, ...   people.py     organizations and users
    timeline.py   what is known of all tickets at once tickets.py    one ticket's record
    history.py    what happened to one ticket          metrics.py    what that comes to
    setup.py      memberships, macros, SLA policies    moments.py    times, in seconds and on the wire
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ticketfeed.world.chance import IdSeries, stream
from ticketfeed.world.desk import make_desk
from ticketfeed.world.history import HistoryMaker
from ticketfeed.world.people import make_people
from ticketfeed.world.setup import make_setup, organization_memberships, phone_identities
from ticketfeed.world.tickets import TicketMaker
from ticketfeed.world.timeline import SCRUBBED, plan_timeline

__all__ = ["generate_world"]


def generate_world(
    tickets: int, *, seed: int, until: int, account: str, histories: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (kind, record) pairs: the plural wire name and a complete record, keys in wire order.

    The settings and people of the desk come first; then the tickets in feed order, that is ascending by
    (generated_timestamp, id), each behind its audits, metric set, metric events and rating. Nothing happened after
    `until` (Unix seconds); tickets last changed in the 90 days before it. Records are made as they are asked for, so
    a world of a million tickets needs little memory; a ticket's `fields` and `custom_fields` are one list.

    Without `histories` nothing stands before a ticket; the tickets are the same, in a third of the time.

    The same arguments give the same bytes in every process. A larger world is another, not a longer one.
    """
    if tickets < 0 or until < 0:
        raise ValueError("tickets and until must not be negative")
    name = f"{seed}/{account}"
    ids = IdSeries(stream(name, "ids"))
    desk = make_desk(account, until, ids)
    people = make_people(tickets, desk, account, until, ids, stream(name, "people"))
    yield from _of("groups", desk.groups)
    yield from _of("organizations", people.organization_records())
    yield from _of("users", people.user_records())
    yield from _of("ticket_fields", desk.ticket_fields)
    yield from _of("brands", desk.brands)
    yield from _of("ticket_forms", desk.ticket_forms)
    yield from _of("custom_statuses", desk.custom_statuses)
    yield from _of("sharing_agreements", desk.sharing_agreements)
    setup = make_setup(account, until, people, ids)
    yield from _of("user_fields", setup.user_fields)
    yield from _of("organization_fields", setup.organization_fields)
    yield from _of("group_memberships", setup.group_memberships)
    yield from _of(
        "organization_memberships", organization_memberships(account, people, _ids(name, "memberships", 10**15))
    )
    yield from _of("identities", phone_identities(account, people, _ids(name, "identities", 2 * 10**15)))
    yield from _of("macros", setup.macros)
    yield from _of("sla_policies", setup.sla_policies)
    timeline = plan_timeline(tickets, until, stream(name, "timeline"))
    history_maker = HistoryMaker(name, account, desk, people, setup)
    for place, ticket in TicketMaker(name, account, desk, people, timeline).records():
        if histories and timeline.statuses[place] != SCRUBBED:
            yield from history_maker.records(ticket, timeline.created[place], timeline.updated[place])
        yield "tickets", ticket


def _ids(name: str, kind: str, beyond: int) -> IdSeries:
    """Ids of records that are as many as people, in a series of their own, far from the others."""
    return IdSeries(stream(name, f"ids of {kind}"), beyond)


def _of(kind: str, records: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((kind, record) for record in records)
