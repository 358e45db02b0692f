"""tap-zendesk, unmodified, from the package index, led here by `ticketfeed run`.

Its audits and comments go through aiohttp, which reads no proxy: those two streams are read where it can be isolated.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.connectors.venvs import connector_bin
from tests.process.conftest import Done, run
from tests.process.walks import can_isolate
from ticketfeed.world import generate_world

TICKETS = 150
DAY = 86_400
UNTIL = int(time.time()) // DAY * DAY
TOKEN = "tap-token-0123456789"
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

World = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def world() -> World:
    found: World = {}
    for kind, record in generate_world(TICKETS, seed=3, until=UNTIL, account="acme"):
        found.setdefault(kind, []).append(json.loads(msgspec.json.encode(record)))
    return found


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that holds the world, a token, and the tap's config."""
    folder = tmp_path_factory.mktemp("tap")
    for kind, records in world.items():
        (folder / f"{kind}.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))
        done = run("load", "--account", "acme", "--kind", kind, f"{kind}.ndjson", cwd=folder)
        assert done.code == 0, done.err
    done = run("token", "create", "--email", "etl@example.com", "--token", TOKEN, cwd=folder)
    assert done.code == 0, done.err
    config = {"start_date": "2000-01-01T00:00:00Z", "subdomain": "acme", "access_token": TOKEN, "page_size": 50}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def tap(folder: Path, *arguments: str) -> Done:
    program = connector_bin("tap-zendesk", "tap-zendesk>=2.8,<2.9") / "tap-zendesk"
    paths = {"PATH": os.environ.get("PATH", ""), "XDG_STATE_HOME": str(folder / "state")}
    done = run("run", "--", str(program), "--config", "config.json", *arguments, cwd=folder, env=paths)
    assert done.code == 0, done.err[-3000:]
    return done


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


def synced(done: Done) -> World:
    found: World = {}
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


def same(got: Any, put: Any) -> bool:
    """The tap drops what its schema does not know, writes times with six decimals, numbers as its schema has them, and
    null as false."""
    if isinstance(got, dict) and isinstance(put, dict):
        return all(same(got[key], put.get(key)) for key in got)
    if isinstance(got, list) and isinstance(put, list):
        return len(got) == len(put) and all(map(same, got, put))
    if isinstance(got, str) and isinstance(put, str) and got != put:
        return datetime.fromisoformat(got) == datetime.fromisoformat(put)
    return got == put or str(got) == str(put) or (got is False and put is None)


def test_tickets(first: Done, world: World) -> None:
    """Every ticket of the default scope is synced once, deleted ones too, each value as it was put in."""
    put = {ticket["id"]: ticket for ticket in world["tickets"] if ticket["support_type"] != "ai_agent"}
    got = synced(first)["tickets"]
    assert [ticket["id"] for ticket in got] == list(put)
    for ticket in got:
        assert same(ticket, put[ticket["id"]]), ticket["id"]


def test_metric_sets(first: Done, world: World) -> None:
    """The metric sets inside the tickets are those of all tickets that are not deleted."""
    shown = {t["id"] for t in world["tickets"] if t["support_type"] != "ai_agent" and t["status"] != "deleted"}
    put = {metric["id"]: metric for metric in world["ticket_metrics"] if metric["ticket_id"] in shown}
    got = {metric["id"]: metric for metric in synced(first)["ticket_metrics"]}
    assert got.keys() == put.keys()
    assert all(same(got[id], put[id]) for id in put)


@pytest.mark.parametrize("stream", FULL_TABLES)
def test_other_streams(first: Done, world: World, stream: str) -> None:
    """Every record of the other streams is synced, each value as it was put in."""
    put = {record["id"]: record for record in world[stream] if not record.get("deleted")}  # lists have no such groups
    records = synced(first).get(stream, [])
    got = {record["id"]: record for record in records if record.get("email") != "etl@example.com"}
    assert got.keys() == put.keys()
    for id, record in got.items():
        assert same(record, put[id]), record


@pytest.mark.skipif(not can_isolate(), reason="this system does not let a command be isolated")
def test_audits_and_comments(first: Done, world: World) -> None:
    """Every audit of the tickets that are not deleted is synced once, and every comment that is in one of them."""
    shown = {t["id"] for t in world["tickets"] if t["support_type"] != "ai_agent" and t["status"] != "deleted"}
    put = {audit["id"]: audit for audit in world["audits"] if audit["ticket_id"] in shown}
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
        kept = (t for t in world["tickets"] if t["status"] != "deleted" and t["generated_timestamp"] >= since)
        return {tag for ticket in kept for tag in ticket["tags"]}

    assert names(58) <= {tag["name"] for tag in synced(first)["tags"]} <= names(61)


def test_the_next_sync(folder: Path, catalog: Path, first: Done) -> None:
    """A second sync, from the state that the first one left, gives the ticket that changed meanwhile."""
    states = [message["value"] for message in messages(first) if message["type"] == "STATE"]
    (folder / "state.json").write_text(json.dumps(states[-1]))
    (folder / "change.ndjson").write_text(json.dumps({"id": 777_777, "subject": "changed"}) + "\n")
    assert run("load", "--account", "acme", "change.ndjson", cwd=folder).code == 0
    done = tap(folder, "--catalog", catalog.name, "--state", "state.json")
    got = {ticket["id"]: ticket for ticket in synced(done)["tickets"]}
    assert got[777_777]["subject"] == "changed"
    assert len(got) < 10
