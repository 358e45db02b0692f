"""zenpy, unmodified, writes to `ticketfeed serve`, and its own incremental export shows each step."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zenpy import Zenpy
from zenpy.lib.api_objects import Comment, Group, Organization, Ticket, User
from zenpy.lib.exception import APIException, RecordNotFoundException

from tests.process.conftest import Start, run
from tests.waiting import SECONDS_MAX
from ticketfeed import open_store

TOKEN = "zenpy-token-of-tests"


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store with nothing but an account and its admin."""
    url = f"sqlite:///{tmp_path / 't.db'}"

    async def make() -> None:
        store = await open_store(url)
        await store.create_account("acme")
        await store.close()

    asyncio.run(make())
    token = ["token", "create", "--store", url, "--email", "ann@example.com", "--token", TOKEN]
    assert run(*token, cwd=tmp_path).code == 0
    return url


@pytest.fixture
def connect(store_url: str, serve: Start, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Zenpy, Any]]:
    """Starts a server of the store, and makes a zenpy client as its users do."""

    def start() -> tuple[Zenpy, Any]:
        server = serve("--store", store_url)
        monkeypatch.setenv("ZENPY_FORCE_SCHEME", "http")
        monkeypatch.setenv("ZENPY_FORCE_NETLOC", server.netloc)
        return Zenpy(subdomain="acme", email="ann@example.com", token=TOKEN), server

    return start


def exported(desk: Zenpy, ticket_id: int, wanted: Callable[[Any], bool]) -> Any:
    """The ticket in the incremental export, as soon as it is as it should be: about a second after the change."""
    found, deadline = None, time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        tickets = {t.id: t for t in desk.tickets.incremental(start_time=0, paginate_by_time=False)}
        found = tickets.get(ticket_id)
        if found is not None and wanted(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"not exported: {found and found.to_dict()}")


def wait_for(desk: Zenpy, job: Any) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        status = desk.job_status(id=job.id)
        if status.status == "completed":
            return status
        time.sleep(0.05)
    raise AssertionError(status.to_dict())


def test_the_life_of_a_ticket(connect: Callable[[], tuple[Zenpy, Any]]) -> None:
    """Created, answered, tagged, changed in bulk, deleted, restored, deleted for good."""
    desk, _ = connect()
    requester = desk.users.create(User(name="Bob", email="bob@example.com"))
    created = desk.tickets.create(
        Ticket(subject="Printer", comment=Comment(body="On fire"), requester_id=requester.id, priority="high")
    )
    ticket = created.ticket
    assert (ticket.id, ticket.status, created.audit.ticket_id) == (1, "new", 1)
    shown = exported(desk, 1, lambda t: t.status == "new")
    assert (shown.subject, shown.description, shown.requester_id) == ("Printer", "On fire", requester.id)
    assert shown.generated_timestamp > 1_600_000_000
    ticket.comment = Comment(body="Which one?", public=True)
    ticket.status = "pending"
    updated = desk.tickets.update(ticket)
    assert {event["type"] for event in updated.audit.events} == {"Comment", "Change"}
    assert exported(desk, 1, lambda t: t.status == "pending").updated_at >= shown.updated_at
    assert [comment.body for comment in desk.tickets.comments(ticket=1)] == ["On fire", "Which one?"]
    assert len(list(desk.tickets.audits(ticket=1))) == 2
    assert list(desk.tickets.add_tags(1, ["hot"])) == ["hot"]
    exported(desk, 1, lambda t: t.tags == ["hot"])
    others = [Ticket(subject=f"No {n}", comment=Comment(body="x")) for n in range(3)]
    job = wait_for(desk, desk.tickets.create(others))
    assert [result.id for result in job.results] == [2, 3, 4]
    many = [Ticket(id=id, priority="low") for id in (1, 2)]
    assert all(result.success for result in wait_for(desk, desk.tickets.update(many)).results)
    for id in (1, 2):
        exported(desk, id, lambda t: t.priority == "low")
    desk.tickets.delete(Ticket(id=1))
    with pytest.raises(RecordNotFoundException):
        desk.tickets(id=1)
    gone = exported(desk, 1, lambda t: t.status == "deleted")
    assert gone.subject == "Printer"
    assert [deleted.id for deleted in desk.tickets.deleted()] == [1]
    desk.tickets.restore(1)
    assert exported(desk, 1, lambda t: t.status == "pending").priority == "low"
    desk.tickets.delete(Ticket(id=1))
    wait_for(desk, desk.tickets.permanently_delete(Ticket(id=1)))
    scrubbed = exported(desk, 1, lambda t: t.subject == "SCRUBBED")
    assert (scrubbed.status, scrubbed.description, scrubbed.tags) == ("deleted", "X", [])
    with pytest.raises(APIException):
        desk.tickets.create(Ticket(subject="no words"))


def test_people(connect: Callable[[], tuple[Zenpy, Any]]) -> None:
    """Users, organizations and groups are made, changed and deleted."""
    desk, _ = connect()
    organization = desk.organizations.create(Organization(name="ACME"))
    user = desk.users.create(User(name="Bob", email="bob@example.com", organization_id=organization.id))
    assert desk.users.create_or_update(User(name="Bobby", email="bob@example.com")).id == user.id
    user = desk.users(id=user.id)
    assert (user.name, user.organization_id) == ("Bobby", organization.id)
    user.notes = "tall"
    assert desk.users.update(user).notes == "tall"
    job = wait_for(desk, desk.users.create([User(name=f"U{n}", email=f"u{n}@example.com") for n in range(5)]))
    assert len({result.id for result in job.results}) == 5
    wait_for(desk, desk.users.create([User(name=name, external_id=name) for name in ("x", "y")]))
    changed = wait_for(desk, desk.users.update_by_external_id([User(external_id="x", notes="known elsewhere")]))
    assert desk.users(id=changed.results[0].id).notes == "known elsewhere"
    removed = wait_for(desk, desk.users.delete_by_external_id([User(external_id="y")]))
    assert desk.users(id=removed.results[0].id).active is False
    group = desk.groups.create(Group(name="Support"))
    group.name = "Service"
    assert desk.groups.update(group).name == "Service"
    desk.groups.delete(group)
    desk.organizations.delete(organization)
    assert desk.users.delete(user).active is False
    with pytest.raises(APIException):
        desk.users.create(User(name="Again", email="ann@example.com"))


def test_a_job_survives_sigkill(connect: Callable[[], tuple[Zenpy, Any]], store_url: str) -> None:
    """Killed in the middle of its items, a server that is started again does the rest, and each exactly once."""
    desk, server = connect()
    jobs = [desk.tickets.create([Ticket(comment=Comment(body=f"{j}-{n}")) for n in range(100)]) for j in range(6)]
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(SECONDS_MAX)
    desk, _ = connect()
    made = [result.id for job in jobs for result in wait_for(desk, job).results]
    assert sorted(made) == list(range(1, 601))
    texts = sorted(ticket.description for ticket in desk.tickets(ids=list(range(1, 101))))
    assert len(set(texts)) == 100
    assert run("check", "--store", store_url, cwd=Path(store_url.removeprefix("sqlite:///")).parent).code == 0
