"""What time alone does: solved tickets are closed, deleted ones scrubbed, closed ones no longer listed."""

import asyncio
from typing import Any

import pytest

from tests.server.desk import Desk, tickets
from ticketfeed.data.maintenance import maintain
from ticketfeed.settings import Settings

DAY = 86400


def upkeep(desk: Desk, **days: int) -> dict[str, int]:
    return asyncio.run(maintain(desk.store, desk._account("acme"), now=desk.now, **days))


@pytest.fixture
def desk() -> Desk:
    desk = Desk(Settings(archive_days=120))
    desk.put("users", {"id": 10, "email": "ann@example.com"})
    for status in ("solved", "pending", "closed"):
        given = {"comment": status, "status": status, "requester_id": 10, "subject": "S"}
        desk.send("POST", "/tickets", {"ticket": given}, expect=201)
    desk.send("DELETE", "/tickets/2", expect=204)
    return desk


def test_changes_of_the_system(desk: Desk) -> None:
    """Each moves generated_timestamp and not updated_at, and only when it is due; a second time there is nothing."""
    before = desk.changes()
    assert upkeep(desk, close_solved_days=4, scrub_deleted_days=30) == {"closed": 0, "scrubbed": 0}
    desk.now += 5 * DAY
    assert upkeep(desk) == {"closed": 0, "scrubbed": 0}
    assert upkeep(desk, close_solved_days=4, scrub_deleted_days=30) == {"closed": 1, "scrubbed": 0}
    closed = desk.changes()[1]
    assert (closed["status"], closed["updated_at"]) == ("closed", before[1]["updated_at"])
    assert closed["generated_timestamp"] > before[1]["generated_timestamp"]
    desk.now += 30 * DAY
    assert upkeep(desk, close_solved_days=4, scrub_deleted_days=30) == {"closed": 0, "scrubbed": 1}
    scrubbed = desk.changes()[2]
    assert (scrubbed["status"], scrubbed["subject"], scrubbed["description"]) == ("deleted", "SCRUBBED", "X")
    assert scrubbed["updated_at"] == before[2]["updated_at"]
    desk.now += 40 * DAY
    assert upkeep(desk, close_solved_days=4, scrub_deleted_days=30) == {"closed": 0, "scrubbed": 0}


def test_archived_tickets(desk: Desk) -> None:
    """Closed and untouched for long: not in lists, but shown by id, and exported."""

    def listed() -> list[Any]:
        assert desk.send("GET", "/tickets/count")["count"]["value"] == len(desk.send("GET", "/tickets")["tickets"])
        return [ticket["id"] for ticket in desk.send("GET", "/tickets")["tickets"]]

    assert listed() == [1, 3]
    desk.now += 121 * DAY
    assert listed() == [1]
    assert desk.send("GET", "/tickets/3")["ticket"]["status"] == "closed"
    assert 3 in desk.changes()


def test_many(desk: Desk) -> None:
    """More than one write holds."""
    desk.put("tickets", *tickets(*range(10, 260), status="solved", requester_id=10))
    desk.now += 5 * DAY
    assert upkeep(desk, close_solved_days=4)["closed"] == 251
    assert {ticket["status"] for ticket in desk.changes().values()} == {"closed", "deleted"}
