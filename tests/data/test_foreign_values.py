"""Values that Zendesk's enumerations do not have: stored and served as they are, counted, refused with is_strict."""

import asyncio
import io
import json
from collections import Counter
from typing import Any

import pytest

from tests.server.desk import Desk
from ticketfeed.data.import_files import read_input
from ticketfeed.data.load import LoadSummary, load_records
from ticketfeed.protocol.enumerations import ENUMERATIONS
from ticketfeed.protocol.errors import BadInput

TICKET = {"id": 5, "type": "request", "priority": "P1", "status": "in progress", "support_type": "robot"}


def load(desk: Desk, *records: dict[str, Any], kind: str = "tickets", is_strict: bool = False) -> LoadSummary:
    lines = read_input("f", io.BytesIO(b"\n".join(json.dumps(record).encode() for record in records)), kind)
    work = load_records(desk.store, desk._account("acme"), lines, now=desk.now, is_strict=is_strict)
    return asyncio.run(work)


def test_kept_and_counted() -> None:
    """Each value is counted with its kind and key; a known one, null or a missing one is not."""
    summary = load(
        Desk(), TICKET, {**TICKET, "id": 6, "status": "open"}, {"id": 7, "type": None}, {"id": 8, "type": "task"}
    )
    assert summary.foreign == Counter(
        {
            ("tickets", "type", "request"): 2,
            ("tickets", "priority", "P1"): 2,
            ("tickets", "support_type", "robot"): 2,
            ("tickets", "status", "in progress"): 1,
        }
    )


@pytest.mark.parametrize("key", ["type", "priority", "status", "support_type"])
def test_strict(key: str) -> None:
    """With is_strict the record is refused by file, line and field, and nothing is stored."""
    desk = Desk()
    with pytest.raises(BadInput, match=rf"^f, line 2: .*\$\.{key}"):
        load(desk, {"id": 1}, {"id": 5, key: "x"}, is_strict=True)
    assert desk.changes() == {}
    load(desk, *({"id": 1, name: value} for name in ENUMERATIONS["tickets"] for value in ENUMERATIONS["tickets"][name]))


def test_readers_are_not_hurt() -> None:
    """Exports, lists, search and writes take such a ticket for what it is: neither deleted nor closed, no ai_agent."""
    desk = Desk()
    load(desk, TICKET)
    load(desk, {"id": 9, "name": "n", "role": "owner"}, kind="users")
    assert {key: desk.changes()[5][key] for key in TICKET} == TICKET
    for target in ("tickets", "tickets?sort=status&page[size]=5", "search?query=created>2020-01-01 type:ticket"):
        page = desk.page(f"/api/v2/{target}")
        assert [ticket["id"] for ticket in page.get("tickets", page.get("results"))] == [5], target
    assert desk.page("/api/v2/users/9")["user"]["role"] == "owner"
    changed = desk.send("PUT", "/tickets/5.json", {"ticket": {"subject": "s"}})["ticket"]
    assert (changed["subject"], changed["type"], changed["status"]) == ("s", "request", "in progress")
    desk.send("DELETE", "/tickets/5.json", expect=204)
    desk.send("PUT", "/deleted_tickets/5/restore.json")
    assert desk.page("/api/v2/tickets/5")["ticket"]["status"] == "in progress"


def test_a_foreign_role_may_do_what_an_end_user_may() -> None:
    """A user whose role nobody knows can sign in, and reads no export."""
    desk = Desk()
    load(desk, {"id": 9, "email": "o@example.com", "role": "owner"}, kind="users")
    desk.grant(9, "t")
    assert desk.ask(authorization="Bearer t").status == 403
    assert desk.page("/api/v2/users/me", authorization="Bearer t")["user"]["id"] == 9
