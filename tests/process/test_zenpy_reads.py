"""zenpy, unmodified, reading everything beside the ticket export: each answer equals what was put in."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from zenpy import Zenpy
from zenpy.lib.exception import RecordNotFoundException

from tests.process.conftest import Running, end_all, run, start_in
from ticketfeed.protocol.erasure import is_erased_ticket
from ticketfeed.world import generate_world

TICKETS = 260
UNTIL = 1_780_272_000
TOKEN = "zenpy-token-of-tests"

World = dict[str, dict[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def world() -> World:
    found: World = {}
    for kind, record in generate_world(TICKETS, seed=8, until=UNTIL, account="acme"):
        found.setdefault(kind, {})[record["id"]] = json.loads(msgspec.json.encode(record))
    return found


@pytest.fixture(scope="module")
def desk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterable[Zenpy]:
    folder, running, patch = tmp_path_factory.mktemp("zenpy"), list[Running](), pytest.MonkeyPatch()
    pages = [{kind: list(records.values())} for kind, records in world.items()]
    (folder / "world.ndjson").write_text("".join(json.dumps(page) + "\n" for page in pages))
    assert run("load", "--account", "acme", "world.ndjson", cwd=folder).code == 0
    assert run("token", "create", "--email", "ann@example.com", "--token", TOKEN, cwd=folder).code == 0
    try:
        server = start_in(folder, running, ("serve", "--port", "0"), None)
        patch.setenv("ZENPY_FORCE_SCHEME", "http")
        patch.setenv("ZENPY_FORCE_NETLOC", server.netloc)
        yield Zenpy(subdomain="acme", email="ann@example.com", token=TOKEN)
    finally:
        patch.undo()
        end_all(running)


def ids(found: Iterable[Any]) -> set[int]:
    return {record.id for record in found}


def scoped(world: World) -> set[int]:
    return {id for id, ticket in world["tickets"].items() if ticket["support_type"] != "ai_agent"}


def alive(world: World) -> set[int]:
    return {id for id, ticket in world["tickets"].items() if ticket["status"] != "deleted"}


def one(world: World) -> int:
    """A ticket with several comments."""
    counts: dict[int, int] = {}
    for audit in world["audits"].values():
        counts[audit["ticket_id"]] = counts.get(audit["ticket_id"], 0) + 1
    return max(alive(world) & counts.keys(), key=lambda id: counts[id])


def test_tickets_by_time(desk: Zenpy, world: World) -> None:
    """The time-based export, in pages far smaller than the feed, gives every ticket and comes to an end."""
    assert ids(desk.tickets.incremental(start_time=0, paginate_by_time=True, per_page=25)) == scoped(world)


@pytest.mark.parametrize("by_time", [True, False])
def test_users(desk: Zenpy, world: World, by_time: bool) -> None:
    """Users come by cursor and by time."""
    found = {user.id: user.name for user in desk.users.incremental(start_time=0, paginate_by_time=by_time, per_page=40)}
    assert {id: found[id] for id in world["users"]} == {id: user["name"] for id, user in world["users"].items()}


def test_organizations(desk: Zenpy, world: World) -> None:
    """Organizations come by time, and in a list."""
    assert ids(desk.organizations.incremental(start_time=0)) == set(world["organizations"])
    assert ids(desk.organizations()) == set(world["organizations"])


def test_events(desk: Zenpy, world: World) -> None:
    """Ticket events are the audits, metric events themselves."""
    assert ids(desk.tickets.events(start_time=0)) == set(world["audits"])
    assert ids(desk.tickets.metrics_incremental(start_time=0)) == set(world["ticket_metric_events"])


def test_lists(desk: Zenpy, world: World) -> None:
    """Lists are walked to their end, by number and by cursor."""
    assert ids(desk.tickets()) == alive(world)
    assert ids(desk.tickets(cursor_pagination=True)) == alive(world)
    assert ids(desk.tickets(cursor_pagination=30)) == alive(world)
    assert ids(desk.users()) >= {id for id, user in world["users"].items() if user["active"]}
    assert ids(desk.groups()) == {id for id, group in world["groups"].items() if not group["deleted"]}
    assert ids(desk.ticket_fields()) == set(world["ticket_fields"])
    assert ids(desk.ticket_forms()) == set(world["ticket_forms"])
    assert ids(desk.brands()) == set(world["brands"])
    assert ids(desk.macros()) == set(world["macros"])
    assert ids(desk.group_memberships()) == set(world["group_memberships"])
    assert ids(desk.sla_policies()) == set(world["sla_policies"])
    assert ids(desk.satisfaction_ratings()) == set(world["satisfaction_ratings"])
    restorable = {id for id, ticket in world["tickets"].items() if not is_erased_ticket(ticket)}
    assert ids(desk.tickets.deleted()) == restorable - alive(world)


def test_single_records(desk: Zenpy, world: World) -> None:
    """A record is shown by id, several at once; a deleted ticket is not found."""
    id, user_id = one(world), next(iter(world["users"]))
    assert desk.tickets(id=id).subject == world["tickets"][id]["subject"]
    assert ids(desk.tickets(ids=[id, 99_999_999])) == {id}
    assert desk.users(id=user_id).name == world["users"][user_id]["name"]
    assert desk.users.me().email == "ann@example.com"
    with pytest.raises(RecordNotFoundException):
        desk.tickets.audits(ticket=next(iter(set(world["tickets"]) - alive(world))))


def test_what_belongs_to_a_ticket(desk: Zenpy, world: World) -> None:
    """Audits, comments, metrics and tags of a ticket."""
    id = one(world)
    audits = [audit for audit in world["audits"].values() if audit["ticket_id"] == id]
    assert ids(desk.tickets.audits(ticket=id)) == {audit["id"] for audit in audits}
    said = [event["body"] for audit in audits for event in audit["events"] if event["type"] == "Comment"]
    assert [comment.body for comment in desk.tickets.comments(ticket=id)] == said
    metric = next(metric for metric in world["ticket_metrics"].values() if metric["ticket_id"] == id)
    assert desk.tickets.metrics(ticket=id).replies == metric["replies"]
    assert list(desk.tickets.tags(id)) == world["tickets"][id]["tags"]


def test_search(desk: Zenpy, world: World) -> None:
    """A search by type and time, as connectors make it."""
    users = world["users"].values()
    middle = sorted(user["updated_at"] for user in users)[len(users) // 2]
    expected = {user["id"] for user in users if user["updated_at"] > middle and user["active"]}
    found = desk.search(type="user", updated_after=middle)
    assert {user.id for user in found if user.email != "ann@example.com"} == expected


@pytest.mark.usefixtures("desk")
def test_without_credentials() -> None:
    """The trap: users/me answers a stranger with the anonymous user, and no error."""
    nobody = Zenpy(subdomain="acme", email="ann@example.com", password="wrong")
    assert (nobody.users.me().id, nobody.users.me().name) == (None, "Anonymous user")
