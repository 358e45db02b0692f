"""A store that connectors read, led there by `ticketfeed run`, and the changes that their next read must bring."""

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tests.process.conftest import Done, run
from ticketfeed.client.exporter import Exporter
from ticketfeed.world import generate_world

__all__ = [
    "DAY",
    "EMAIL",
    "TOKEN",
    "UNTIL",
    "World",
    "change_store",
    "exported",
    "fill_store",
    "listed",
    "read_with",
    "same",
]

EMAIL = "etl@example.com"
TOKEN = "etl-token-0123456789"
DAY = 86_400
UNTIL = int(time.time()) // DAY * DAY

# Kind -> the records as they were put in, by id.
World = dict[str, dict[int, dict[str, Any]]]


def fill_store(folder: Path, tickets: int) -> World:
    """Load a world into the account acme, and make a token of an admin."""
    world: World = {}
    for kind, record in generate_world(tickets, seed=3, until=UNTIL, account="acme"):
        world.setdefault(kind, {})[record["id"]] = msgspec.json.decode(msgspec.json.encode(record))
    _load(folder, {kind: list(records.values()) for kind, records in world.items()})
    done = run("token", "create", "--email", EMAIL, "--token", TOKEN, cwd=folder)
    assert done.code == 0, done.err
    return world


def change_store(folder: Path, world: World) -> World:
    """Change a ticket and a user, delete a ticket and add one; what the store holds then."""
    first, second, *_ = (id for id in listed(world) if id in exported(world))
    changed, deleted = world["tickets"][first], world["tickets"][second]
    user = next(user for user in world["users"].values() if user["active"])
    now = {"updated_at": datetime.fromtimestamp(int(time.time())).astimezone().isoformat()}
    news = {
        "tickets": [
            {**changed, "subject": "changed", **now},
            {**deleted, "status": "deleted", **now},
            {
                **changed,
                "id": 777_777,
                "url": f"{changed['url'].rpartition('/')[0]}/777777.json",
                "subject": "new",
                **now,
            },
        ],
        "users": [{**user, "name": "Changed", **now}],
    }
    _load(folder, news)
    time.sleep(1 - time.time() % 1 + 0.1)  # an export ends before the second that has not passed
    with Exporter(f"sqlite:///{folder}/ticketfeed.db", streams=["tickets"]) as exporter:
        stored = {ticket["id"]: ticket for page in exporter for ticket in page.decode()}
    for ticket in news["tickets"]:
        ticket["generated_timestamp"] = stored[ticket["id"]]["generated_timestamp"]
    return {kind: {**records, **{each["id"]: each for each in news.get(kind, ())}} for kind, records in world.items()}


def _load(folder: Path, pages: dict[str, list[Any]]) -> None:
    (folder / "world.ndjson").write_text("".join(json.dumps({kind: page}) + "\n" for kind, page in pages.items()))
    done = run("load", "--account", "acme", "world.ndjson", cwd=folder)
    assert done.code == 0, done.err


def read_with(folder: Path, *command: str | Path, env: dict[str, str] | None = None) -> Done:
    """Run a connector to its end, with this store for `https://acme.zendesk.com`."""
    paths = {"PATH": os.environ.get("PATH", ""), "XDG_STATE_HOME": str(folder / "state"), **(env or {})}
    done = run("run", "--", *map(str, command), cwd=folder, env=paths)
    assert done.code == 0, done.err[-3000:]
    return done


def listed(world: World) -> dict[int, dict[str, Any]]:
    """The tickets in lists."""
    return {id: ticket for id, ticket in world["tickets"].items() if ticket["status"] != "deleted"}


def exported(world: World) -> dict[int, dict[str, Any]]:
    """The tickets in exports, in their default scope, in their order."""
    return {id: ticket for id, ticket in world["tickets"].items() if ticket["support_type"] != "ai_agent"}


def same(got: Any, put: Any) -> bool:
    """Whether a connector's record is the one that was put in.

    Connectors drop keys that they do not know, and write times in their own way, numbers as their schema has them,
    and null as false.
    """
    if isinstance(got, dict) and isinstance(put, dict):
        return all(same(got[key], put.get(key)) for key in got)
    if isinstance(got, list) and isinstance(put, list):
        return len(got) == len(put) and all(map(same, got, put))
    if isinstance(got, str) and isinstance(put, str) and got != put:
        try:
            return datetime.fromisoformat(got) == datetime.fromisoformat(put)
        except ValueError:
            return False
    return got == put or str(got) == str(put) or (got is False and put is None)
