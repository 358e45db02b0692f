"""Comments and ticket events add to the audits of a ticket, in any order and as often as they come."""

import asyncio
import io
import json
from itertools import permutations
from typing import Any

import pytest

from tests.server.desk import Desk
from ticketfeed.data import partial_audits
from ticketfeed.data.import_files import read_input
from ticketfeed.data.load import load_records

TIME = "2023-11-01T00:00:00Z"
COMMENT = {"id": 11, "audit_id": 10, "ticket_id": 5, "type": "Comment", "author_id": 3, "body": "b", "created_at": TIME}
CHANGE = {"id": 12, "type": "Change", "field_name": "status", "value": "open", "previous_value": "new"}
AUDIT = {
    "id": 10,
    "ticket_id": 5,
    "author_id": 3,
    "created_at": TIME,
    "metadata": {"system": {"ip": "kept"}},
    "events": [{"id": 11, "type": "Comment", "author_id": 3, "body": "b"}, CHANGE],
}
EVENT = {
    "id": 10,
    "ticket_id": 5,
    "updater_id": 3,
    "created_at": TIME,
    "via": "Mail",
    "child_events": [{"id": 12, "status": "open", "previous_value": "new", "event_type": "Change"}],
}
PAGES = [{"tickets": [{"id": 5}], "audits": [AUDIT]}, {"ticket_events": [EVENT]}, {"comments": [COMMENT]}]


def load(desk: Desk, *pages: dict[str, Any]) -> None:
    data = "\n".join(map(json.dumps, pages)).encode()
    work = load_records(desk.store, desk._account("acme"), read_input("f", io.BytesIO(data), None), now=desk.now)
    asyncio.run(work)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("at_once", [False, True])
def test_an_audit_is_never_replaced_by_less(order: tuple[int, ...], at_once: bool) -> None:
    """The audit itself is stored as it is, before or behind its comment and its event, in one load or several."""
    desk, pages = Desk(), [PAGES[number] for number in order]
    for part in [pages] if at_once else [[page] for page in pages]:
        load(desk, *part)
    load(desk, *pages[1:])
    (audit,) = desk.page("/api/v2/tickets/5/audits")["audits"]
    assert (audit["metadata"], audit["events"]) == (AUDIT["metadata"], AUDIT["events"])
    (comment,) = desk.page("/api/v2/tickets/5/comments")["comments"]
    assert (comment["id"], comment["body"]) == (11, "b")


def test_a_comment_and_an_event_of_one_audit() -> None:
    """Without the audit, what the two say is put together."""
    desk = Desk()
    load(desk, {"tickets": [{"id": 5}]}, {"comments": [COMMENT]}, {"ticket_events": [EVENT]})
    (audit,) = desk.page("/api/v2/tickets/5/audits")["audits"]
    assert sorted(event["id"] for event in audit["events"]) == [11, 12]


def test_comments_that_are_numbered_by_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tickets whose comments have the same ids keep their own; a second load of the file adds nothing."""
    monkeypatch.setattr(partial_audits, "_CHUNK", 2)
    desk = Desk()
    tickets = [
        {"id": id, "comments": [{"id": number, "author_id": 3, "body": f"{id}/{number}"} for number in (1, 2, 3)]}
        for id in (5, 6, 7)
    ]
    for _ in range(2):
        load(desk, {"tickets": tickets})
        for id in (5, 6, 7):
            comments = desk.page(f"/api/v2/tickets/{id}/comments")["comments"]
            assert [comment["body"] for comment in comments] == [f"{id}/{number}" for number in (1, 2, 3)]


def test_a_ticket_is_stored_without_its_comments() -> None:
    """The comments of a ticket are its history, so they are not in its body, and the count of them is right."""
    desk = Desk()
    load(desk, {"tickets": [{"id": 5, "comments": [{"id": 1, "author_id": 3, "body": "a"}]}]})
    ticket = desk.page("/api/v2/tickets/5?include=comment_count")["ticket"]
    assert ("comments" in ticket, ticket["comment_count"]) == (False, 1)
