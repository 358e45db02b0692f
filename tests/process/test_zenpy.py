"""zenpy, unmodified, against `ticketfeed serve` in a process of its own over SQLite."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from zenpy import Zenpy
from zenpy.lib.mapping import ZendeskObjectMapping

from tests.process.conftest import Start, run
from tests.waiting import SECONDS_MAX
from ticketfeed import InputRecord, load_records, open_store, system_clock
from ticketfeed.world import generate_world

TICKETS = 1300
UNTIL = 1_780_272_000
TOKEN = "zenpy-token-of-tests"


def _world() -> Iterator[tuple[str, dict[str, Any]]]:
    return generate_world(TICKETS, seed=5, until=UNTIL, account="acme")


async def _load(store_url: str, records: list[InputRecord]) -> None:
    store = await open_store(store_url)
    account = await store.create_account("acme")
    await load_records(store, account, records, now=system_clock())
    await store.close()


def _records(tickets: list[dict[str, Any]]) -> list[InputRecord]:
    return [InputRecord(("test", 0), "tickets", msgspec.json.encode(ticket)) for ticket in tickets]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """A store with the generated world and an admin."""
    url = f"sqlite:///{tmp_path / 't.db'}"
    world = [InputRecord(("world", 0), kind, msgspec.json.encode(record)) for kind, record in _world()]
    asyncio.run(_load(url, world))
    token = ["token", "create", "--store", url, "--email", "ann@example.com", "--token", TOKEN]
    assert run(*token, cwd=tmp_path).code == 0
    return url


@pytest.fixture
def desk(store_url: str, serve: Start, monkeypatch: pytest.MonkeyPatch) -> Zenpy:
    """A zenpy client as its users make one; only its own environment variables say where to go."""
    monkeypatch.setenv("ZENPY_FORCE_SCHEME", "http")
    monkeypatch.setenv("ZENPY_FORCE_NETLOC", serve("--store", store_url).netloc)
    return Zenpy(subdomain="acme", email="ann@example.com", token=TOKEN)


def _polls() -> Iterator[None]:
    """A reader comes back every now and then; a change can be read about a second after its commit."""
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        yield
        time.sleep(0.1)


def _plain(ticket: Any) -> dict[str, Any]:
    """A zenpy ticket as plain values; what zenpy keeps for itself has a leading underscore."""
    return {name: value for name, value in ticket.to_dict().items() if not name.startswith("_")}


def _expected(desk: Zenpy, records: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What was put in, seen through zenpy's eyes: it makes objects of `via` and `satisfaction_rating`."""
    make = ZendeskObjectMapping(desk).object_from_json
    return {record["id"]: _plain(make("ticket", json.loads(msgspec.json.encode(record)))) for record in records}


def test_the_whole_world(desk: Zenpy) -> None:
    """zenpy exports the generated world completely, in order, and every field equals what was put in."""
    world = [record for kind, record in _world() if kind == "tickets" and record["support_type"] != "ai_agent"]
    got = [_plain(ticket) for ticket in desk.tickets.incremental(start_time=0, paginate_by_time=False)]
    assert [ticket["id"] for ticket in got] == [ticket["id"] for ticket in world]
    assert {ticket["id"]: ticket for ticket in got} == _expected(desk, world)


def test_sideloads(desk: Zenpy) -> None:
    """With include, zenpy gets the users, groups and organizations that the tickets point to."""
    pages = desk.tickets.incremental(start_time=0, paginate_by_time=False, include=["users", "groups", "organizations"])
    for ticket in pages:
        assert ticket.requester.id == ticket.requester_id
        if ticket.organization_id:
            assert ticket.organization.id == ticket.organization_id


def test_changes_while_paging_and_resuming(desk: Zenpy, store_url: str) -> None:
    """Tickets that change while zenpy pages are all given again; a stored cursor then gives what changed since."""
    base = {ticket.id: ticket.subject for ticket in desk.tickets.incremental(start_time=0, paginate_by_time=False)}
    stop = threading.Event()
    latest = dict(base)
    chosen = sorted(base)[::7]

    def write() -> None:
        for number, ticket_id in enumerate(chosen):
            if stop.is_set():
                return
            subject = f"changed {number}"
            asyncio.run(_load(store_url, _records([{"id": ticket_id, "subject": subject}])))
            latest[ticket_id] = subject

    writer = threading.Thread(target=write)
    writer.start()
    seen: dict[int, str] = {}
    pages = desk.tickets.incremental(start_time=0, paginate_by_time=False, per_page=20)
    for ticket in pages:
        seen[ticket.id] = ticket.subject
    cursor = pages.after_cursor
    stop.set()
    writer.join()
    # What the walk did not meet lies behind its end: the kept cursor gives it. The last second closes meanwhile.
    for _ in _polls():
        if seen == latest:
            return
        pages = desk.tickets.incremental(cursor=cursor, paginate_by_time=False, per_page=100)
        for ticket in pages:
            seen[ticket.id] = ticket.subject
        cursor = pages.after_cursor or cursor
    assert seen == latest


def test_stored_cursor(desk: Zenpy, store_url: str) -> None:
    """A cursor kept from one walk and used by another client gives exactly what changed between."""
    walk = desk.tickets.incremental(start_time=0, paginate_by_time=False)
    ids = [ticket.id for ticket in walk]
    cursor = walk.after_cursor
    changed = sorted(ids[:5])
    asyncio.run(_load(store_url, _records([{"id": ticket_id, "subject": "again"} for ticket_id in changed])))
    got: list[int] = []
    for _ in _polls():
        got = [ticket.id for ticket in desk.tickets.incremental(cursor=cursor, paginate_by_time=False)]
        if got:
            break
    assert got == changed
