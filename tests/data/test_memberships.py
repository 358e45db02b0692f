"""Organization memberships of users that were loaded without any."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ticketfeed.data.import_files import InputRecord
from ticketfeed.data.load import load_records
from ticketfeed.protocol.model import Slice
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore

NOW = 1_700_000_000
KIND = "organization_memberships"


def load(store: Store, kind: str, *records: dict[str, Any]) -> None:
    async def run() -> None:
        account = await store.create_account("acme")
        given = [InputRecord(("x", 1), kind, json.dumps(record).encode()) for record in records]
        await load_records(store, account, given, now=NOW)

    asyncio.run(run())


def listed(store: Store) -> list[dict[str, Any]]:
    async def run() -> Sequence[Any]:
        account = await store.create_account("acme")
        return await store.list_records(account, KIND, Slice(99))

    return [json.loads(row.body) for row in asyncio.run(run())]


def members(store: Store) -> list[tuple[int, int, int, bool]]:
    return [(each["id"], each["user_id"], each["organization_id"], each["default"]) for each in listed(store)]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    opened = MemoryStore(lambda: NOW) if request.param == "memory" else SqliteStore.open(tmp_path / "t.db", lambda: NOW)
    yield opened
    asyncio.run(opened.close())


def test_derived_and_replaced(store: Store) -> None:
    """A user's organization is a membership with the id of the user, until one is loaded that says the same.

    Also of a user who says to be made in the future.
    """
    future = {"created_at": "2990-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}
    left = {"id": 8, "organization_id": 7, "active": False}
    load(store, "users", {"id": 5, "organization_id": 7, **future}, {"id": 6}, left)
    assert members(store) == [(5, 5, 7, True)]
    load(store, KIND, {"id": 70, "user_id": 5, "organization_id": 7, "default": True})
    assert members(store) == [(70, 5, 7, True)]
    load(store, "users", {"id": 5, "organization_id": 7})
    assert members(store) == [(70, 5, 7, True)]


def test_an_id_that_is_taken(store: Store) -> None:
    """A membership is never replaced by a derived one."""
    load(store, KIND, {"id": 5, "user_id": 6, "organization_id": 9, "default": True})
    load(store, "users", {"id": 5, "organization_id": 7}, {"id": 6, "organization_id": 9})
    assert members(store) == [(5, 6, 9, True), (6, 5, 7, True)]
