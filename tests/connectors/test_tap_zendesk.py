"""tap-zendesk, unmodified, from the package index, led here by `ticketfeed run`.

Its audits and comments go through aiohttp, which reads no proxy: those two streams are read where it can be isolated.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.store import (
    DAY,
    EMAIL,
    TOKEN,
    UNTIL,
    World,
    change_store,
    exported,
    fill_store,
    listed,
    read_with,
    same,
)
from tests.connectors.venvs import connector_bin
from tests.process.conftest import Done
from tests.process.walks import can_isolate

TICKETS = 150
WITH_AIOHTTP = {"ticket_audits", "ticket_comments"}
FULL_TABLES = (
    "groups",
    "users",
    "organizations",
    "ticket_fields",
    "ticket_forms",
    "group_memberships",
    "macros",
    "satisfaction_ratings",
    "sla_policies",
    "ticket_metric_events",
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    """A folder with a store and the tap's config, and what is in the store."""
    folder = tmp_path_factory.mktemp("tap")
    config = {"start_date": "2000-01-01T00:00:00Z", "subdomain": "acme", "access_token": TOKEN, "page_size": 50}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, fill_store(folder, TICKETS)


@pytest.fixture(scope="module")
def folder(filled: tuple[Path, World]) -> Path:
    return filled[0]


@pytest.fixture(scope="module")
def world(filled: tuple[Path, World]) -> World:
    return filled[1]


def tap(folder: Path, *arguments: str) -> Done:
    program = connector_bin("tap-zendesk") / "tap-zendesk"
    return read_with(folder, program, "--config", "config.json", *arguments)


@pytest.fixture(scope="module")
def catalog(folder: Path) -> Path:
    """What discovery says, with every stream selected that can be led here."""
    found = json.loads(tap(folder, "--discover").out)
    for stream in found["streams"]:
        selected = can_isolate() or stream["tap_stream_id"] not in WITH_AIOHTTP
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = selected
            elif selected:
                entry["metadata"]["selected"] = True
    path = folder / "catalog.json"
    path.write_text(json.dumps(found))
    return path


def messages(done: Done) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in done.out.splitlines())


def synced(done: Done) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for message in messages(done):
        if message["type"] == "RECORD":
            found.setdefault(message["stream"], []).append(message["record"])
    return found


@pytest.fixture(scope="module")
def first(folder: Path, catalog: Path) -> Done:
    return tap(folder, "--catalog", catalog.name)


def test_discovery(catalog: Path) -> None:
    """Discovery finds every stream but the telephone's, which the answer says is no part of this help desk."""
    streams = {stream["tap_stream_id"] for stream in json.loads(catalog.read_text())["streams"]}
    assert streams == {*FULL_TABLES, *WITH_AIOHTTP, "tickets", "tags", "ticket_metrics"}


def test_tickets(first: Done, world: World) -> None:
    """Every ticket of the default scope is synced once, deleted ones too, each value as it was put in."""
    put = exported(world)
    got = synced(first)["tickets"]
    assert [ticket["id"] for ticket in got] == list(put)
    for ticket in got:
        assert same(ticket, put[ticket["id"]]), ticket["id"]


def test_metric_sets(first: Done, world: World) -> None:
    """The metric sets inside the tickets are those of all tickets that are not deleted."""
    shown = exported(world).keys() & listed(world).keys()
    put = {metric["id"]: metric for metric in world["ticket_metrics"].values() if metric["ticket_id"] in shown}
    got = {metric["id"]: metric for metric in synced(first)["ticket_metrics"]}
    assert got.keys() == put.keys()
    assert all(same(got[id], put[id]) for id in put)


@pytest.mark.parametrize("stream", FULL_TABLES)
def test_other_streams(first: Done, world: World, stream: str) -> None:
    """Every record of the other streams is synced, each value as it was put in."""
    put = {
        record["id"]: record for record in world[stream].values() if not record.get("deleted")
    }  # lists have no such groups
    records = synced(first).get(stream, [])
    got = {record["id"]: record for record in records if record.get("email") != EMAIL}
    assert got.keys() == put.keys()
    for id, record in got.items():
        assert same(record, put[id]), record


@pytest.mark.skipif(not can_isolate(), reason="this system does not let a command be isolated")
def test_audits_and_comments(first: Done, world: World) -> None:
    """Every audit of the tickets that are not deleted is synced once, and every comment that is in one of them."""
    shown = exported(world).keys() & listed(world).keys()
    put = {audit["id"]: audit for audit in world["audits"].values() if audit["ticket_id"] in shown}
    for audit in put.values():  # a comment is shown with the time and the channel of its audit
        audit["events"] = [{"created_at": audit["created_at"], "via": audit["via"], **each} for each in audit["events"]]
    got = synced(first)
    assert sorted(audit["id"] for audit in got["ticket_audits"]) == sorted(put)
    assert all(same(audit, put[audit["id"]]) for audit in got["ticket_audits"])
    comments = {event["id"]: event for audit in put.values() for event in audit["events"] if event["type"] == "Comment"}
    assert sorted(comment["id"] for comment in got["ticket_comments"]) == sorted(comments)
    assert all(comment["body"] == comments[comment["id"]]["body"] for comment in got["ticket_comments"])


def test_tags(first: Done, world: World) -> None:
    """The tags are those of the tickets, deleted ones aside, that changed within some sixty days."""

    def names(days: int) -> set[str]:
        since = UNTIL - days * DAY
        kept = (ticket for ticket in listed(world).values() if ticket["generated_timestamp"] >= since)
        return {tag for ticket in kept for tag in ticket["tags"]}

    assert names(58) <= {tag["name"] for tag in synced(first)["tags"]} <= names(61)


def test_the_next_sync(folder: Path, catalog: Path, first: Done, world: World) -> None:
    """A second sync, from the state that the first one left, gives the tickets and the user that changed meanwhile."""
    states = [message["value"] for message in messages(first) if message["type"] == "STATE"]
    (folder / "state.json").write_text(json.dumps(states[-1]))
    changed = change_store(folder, world)
    got = synced(tap(folder, "--catalog", catalog.name, "--state", "state.json"))
    for kind in ("tickets", "users"):
        news = {id: record for id, record in changed[kind].items() if record != world[kind].get(id)}
        records = {record["id"]: record for record in got[kind]}
        assert news.keys() <= records.keys()
        assert len(records) < len(news) + 10
        assert all(same(records[id], record) for id, record in news.items())
