"""Airbyte's source-zendesk-support, unmodified, from the package index.

Its environment takes minutes and 350 MB, so this runs with `make connectors` alone. The records of its streams are
always checked, in test_schemas.py.
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.store import EMAIL, TOKEN, World, change_store, exported, fill_store, read_with, same
from tests.connectors.venvs import connector_bin
from tests.process.conftest import Done

CONFIG = {
    "subdomain": "acme",
    "start_date": "2000-01-01T00:00:00Z",
    "credentials": {"credentials": "api_token", "email": EMAIL, "api_token": TOKEN},
}
# Streams that an account without these products is refused, and those that are read through them.
REFUSED = {"audit_logs", "posts", "post_comments", "post_votes", "post_comment_votes"}
KINDS = (
    *("users", "organizations", "groups", "group_memberships", "organization_memberships", "macros", "brands"),
    *("ticket_fields", "user_fields", "organization_fields", "sla_policies", "satisfaction_ratings"),
    *("tickets", "audits", "ticket_metrics", "ticket_metric_events"),
)
Streams = dict[str, dict[int, dict[str, Any]]]


@pytest.mark.skipif(
    os.environ.get("CONNECTORS") != "all", reason="runs with `make connectors`: its installation is large"
)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the source needs Python 3.10 or 3.11")
def test_airbyte(tmp_path: Path) -> None:
    """Check, discovery, and a read of every stream value for value; the next read goes on from its state."""
    world = fill_store(tmp_path, 120)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    [status] = messages(source(tmp_path, "check"), "CONNECTION_STATUS")
    assert status["connectionStatus"]["status"] == "SUCCEEDED"
    [found] = messages(source(tmp_path, "discover"), "CATALOG")
    chosen = [configure(stream) for stream in found["catalog"]["streams"] if stream["name"] not in REFUSED]
    (tmp_path / "catalog.json").write_text(json.dumps({"streams": chosen}))

    done = source(tmp_path, "read", "--catalog", "catalog.json")
    records = synced(done)
    for kind, wanted in expected(world).items():
        assert records[kind].keys() == wanted.keys(), kind
        assert all(same(records[kind][id], wanted[id]) for id in wanted), kind

    states = {each["state"]["stream"]["stream_descriptor"]["name"]: each["state"] for each in messages(done, "STATE")}
    (tmp_path / "state.json").write_text(json.dumps(list(states.values())))
    changed = change_store(tmp_path, world)
    records = synced(source(tmp_path, "read", "--catalog", "catalog.json", "--state", "state.json"))
    for kind in ("tickets", "users"):
        news = {id: record for id, record in changed[kind].items() if record != world[kind].get(id)}
        assert news.keys() <= records[kind].keys()
        assert len(records[kind]) < len(news) + 10
        assert all(same(records[kind][id], record) for id, record in news.items()), kind


def source(folder: Path, *arguments: str) -> Done:
    program = connector_bin("airbyte") / "source-zendesk-support"
    return read_with(folder, program, *arguments, "--config", "config.json")


def messages(done: Done, type: str) -> list[dict[str, Any]]:
    return [message for message in map(json.loads, done.out.splitlines()) if message["type"] == type]


def configure(stream: dict[str, Any]) -> dict[str, Any]:
    mode = "incremental" if "incremental" in stream["supported_sync_modes"] else "full_refresh"
    cursor = stream.get("default_cursor_field", [])
    return {"stream": stream, "sync_mode": mode, "destination_sync_mode": "append", "cursor_field": cursor}


def synced(done: Done) -> Streams:
    found: Streams = {}
    for message in messages(done, "RECORD"):
        kind = {"ticket_audits": "audits"}.get(message["record"]["stream"], message["record"]["stream"])
        record = {key: value for key, value in message["record"]["data"].items() if not key.startswith("_ab_")}
        if record.get("email") != EMAIL:
            found.setdefault(kind, {})[record.get("id", record.get("name"))] = record
    return found


def expected(world: World) -> Streams:
    return {
        **{kind: world[kind] for kind in KINDS},
        "tickets": exported(world),
        "groups": {id: group for id, group in world["groups"].items() if not group["deleted"]},
        "ticket_comments": {
            event["id"]: {
                "via": audit["via"],
                **event,
                "event_type": "Comment",
                "ticket_id": audit["ticket_id"],
                "created_at": audit["created_at"],
                "timestamp": int(datetime.fromisoformat(audit["created_at"]).timestamp()),
            }
            for audit in world["audits"].values()
            for event in audit["events"]
            if event["type"] == "Comment"
        },
    }
