"""Accounts that are being moved, or were erased, as a client meets them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.desk import NOON, Desk, closing_stores, use_engine
from ticketfeed.storage.sql_accounts import MOVED

JSON = [("Content-Type", "application/json")]
TICKET = {"ticket": {"comment": {"body": "Hello"}}}


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[str]:
    """Accounts in memory are neither copied nor erased."""
    use_engine("sqlite")
    with closing_stores():
        yield "sqlite"
    use_engine("memory")


def store_of(desk: Desk) -> Any:
    return desk.store


def ids(desk: Desk) -> list[int]:
    return [ticket["id"] for ticket in json.loads(desk.ask().body)["tickets"]]


def test_a_frozen_account_is_read_and_not_written() -> None:
    """Writes get 503 with Retry-After in the wire's shape, reads and other accounts go on; then it ends by itself."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("tickets", {"id": 1, "generated_timestamp": NOON - 100})
    account, _ = asyncio.run(desk.store.list_accounts())
    for until, retry_after in ((desk.now + 30, "1"), (MOVED, "30")):
        asyncio.run(store_of(desk).freeze(account, until))
        for method, path, body in (
            ("POST", "/tickets", TICKET),
            ("PUT", "/tickets/1", TICKET),
            ("DELETE", "/tickets/1", {}),
            ("POST", "/tickets/create_many", {"tickets": [TICKET["ticket"]]}),
            ("POST", "/users", {"user": {"name": "a", "email": "a@example.com"}}),
        ):
            answer = desk.ask(f"/api/v2{path}", method=method, body=json.dumps(body).encode(), headers=JSON)
            assert (answer.status, answer.headers["retry-after"]) == (503, retry_after), (method, path)
            assert json.loads(answer.body) == {
                "error": "ServiceUnavailable",
                "description": "The account is being moved, and takes no changes. Try again later",
            }
        assert ids(desk) == [1]
        answer = desk.ask(
            "/api/v2/tickets",
            method="POST",
            body=json.dumps(TICKET).encode(),
            headers=JSON,
            host="other.localhost",
        )
        assert answer.status == 201
        desk.now += 31
        status = 201 if until != MOVED else 503
        desk.send("POST", "/tickets", TICKET, expect=status)
    assert asyncio.run(store_of(desk).unfreeze(account))
    desk.send("POST", "/tickets", TICKET, expect=201)


def test_an_erased_account_is_forgotten() -> None:
    """A server that has served an account finds it no more once it is erased, and finds another one of its name."""
    desk = Desk(accounts=("acme", "other", "third"))
    desk.put("tickets", {"id": 1, "generated_timestamp": NOON - 100})
    tracker = desk.app.state.service.usage_tracker
    assert ids(desk) == [1]
    asyncio.run(tracker.flush())
    desk.ask()
    asyncio.run(store_of(desk).erase_account("acme"))
    assert desk.ask().status in (401, 503)
    asyncio.run(tracker.flush())  # as every second
    assert desk.ask().status == 404
    assert asyncio.run(desk.store.read_all_consumers()) == {}
    account = asyncio.run(desk.store.create_account("acme"))
    assert account.account_id == 4
    desk.put("users", {"id": 1, "email": "admin@example.com", "role": "admin"})
    desk.grant(1, "admin-token")
    assert ids(desk) == []
