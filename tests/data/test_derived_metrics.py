"""A ticket that is loaded without its metric set has one: what the ticket and its audits say."""

import asyncio
import io
import json
from typing import Any

import pytest

from tests.server.desk import NOON, Desk
from ticketfeed.data.import_files import read_input
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.load import load_records

CREATED, ASSIGNED, SOLVED = "2023-11-01T00:00:00Z", "2023-11-02T00:00:00Z", "2023-11-03T00:00:00Z"
TICKET = {
    "id": 5,
    "status": "solved",
    "created_at": CREATED,
    "updated_at": SOLVED,
    "requester_id": 3,
    "assignee_id": 2,
    "group_id": 4,
}


def audit(id: int, created_at: str, author_id: int, *events: dict[str, Any]) -> dict[str, Any]:
    numbered = [{"id": id + number, **event} for number, event in enumerate(events, 1)]
    return {"id": id, "ticket_id": 5, "created_at": created_at, "author_id": author_id, "events": numbered}


def change(name: str, value: Any, before: Any) -> dict[str, Any]:
    return {"type": "Change", "field_name": name, "value": value, "previous_value": before}


COMMENT = {"type": "Comment", "author_id": 3, "body": "b", "public": True}
CREATION = audit(1000, CREATED, 3, COMMENT, {"type": "Create", "field_name": "status", "value": "new"})
REPLY = audit(2000, ASSIGNED, 2, {**COMMENT, "author_id": 2}, change("assignee_id", "2", None))
SOLUTION = audit(3000, SOLVED, 2, change("status", "solved", "open"))


def load(desk: Desk, page: dict[str, Any]) -> None:
    records = read_input("f", io.BytesIO(json.dumps(page).encode()), None)
    asyncio.run(load_records(desk.store, desk._account("acme"), records, now=desk.now))


def metric_set(desk: Desk) -> dict[str, Any]:
    """The metric set of ticket 5, the same wherever it is asked for."""
    page = desk.page("/api/v2/tickets/5.json?include=metric_sets,dates")
    shown: dict[str, Any] = desk.page("/api/v2/tickets/5/metrics.json")["ticket_metric"]
    assert page["ticket"]["metric_set"] == shown
    assert page["ticket"]["dates"] == {name: shown[name] for name in page["ticket"]["dates"]}
    assert desk.page("/api/v2/ticket_metrics.json")["ticket_metrics"] == [shown]
    found: list[str] = []
    asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, found.append, now=lambda _account: desk.now)))
    assert found == []
    return shown


# What is loaded, one page after the other -> what the metric set says of it.
CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    (
        "the ticket alone",
        [{"tickets": [TICKET]}],
        {
            "initially_assigned_at": CREATED,
            "assigned_at": CREATED,
            "solved_at": SOLVED,
            "status_updated_at": SOLVED,
            "group_stations": 1,
            "assignee_stations": 1,
            "replies": 0,
            "reopens": 0,
        },
    ),
    (
        "an open ticket",
        [{"tickets": [{**TICKET, "status": "open", "assignee_id": None, "group_id": None}]}],
        {
            "assigned_at": None,
            "solved_at": None,
            "status_updated_at": CREATED,
            "group_stations": 0,
            "assignee_stations": 0,
        },
    ),
    ("a closed ticket", [{"tickets": [{**TICKET, "status": "closed"}]}], {"solved_at": SOLVED, "reopens": 0}),
    (
        "with all its audits",
        [{"tickets": [TICKET], "audits": [CREATION, REPLY, SOLUTION]}],
        {
            "assigned_at": ASSIGNED,
            "solved_at": SOLVED,
            "replies": 1,
            "latest_comment_added_at": ASSIGNED,
            "reply_time_in_minutes": {"calendar": 1440, "business": 480},
        },
    ),
    (
        "before its audits",
        [{"tickets": [TICKET]}, {"audits": [CREATION, REPLY]}, {"audits": [SOLUTION]}],
        {"assigned_at": ASSIGNED, "solved_at": SOLVED, "replies": 1},
    ),
    (
        "behind its audits",
        [{"audits": [CREATION, REPLY, SOLUTION]}, {"tickets": [TICKET]}],
        {"assigned_at": ASSIGNED, "solved_at": SOLVED, "replies": 1},
    ),
    (
        "with the audits after its creation",
        [{"tickets": [TICKET], "audits": [REPLY, SOLUTION]}],
        {"initially_assigned_at": ASSIGNED, "solved_at": SOLVED, "replies": 1, "assignee_stations": 1},
    ),
    (
        "with comments inside",
        [
            {
                "tickets": [
                    {
                        **TICKET,
                        "comments": [
                            {"id": 7, "author_id": 3, "body": "a", "public": True},
                            {"id": 8, "author_id": 2, "body": "b", "public": True, "created_at": ASSIGNED},
                        ],
                    }
                ]
            }
        ],
        {"replies": 1, "latest_comment_added_at": ASSIGNED, "solved_at": SOLVED},
    ),
    (
        "changed by a later load",
        [{"tickets": [{**TICKET, "status": "open", "updated_at": ASSIGNED}]}, {"tickets": [TICKET]}],
        {"solved_at": SOLVED, "updated_at": SOLVED},
    ),
    (
        "with a time in the future",
        [{"tickets": [{**TICKET, "generated_timestamp": NOON, "updated_at": "2990-01-01T00:00:00Z"}]}],
        {"solved_at": "2990-01-01T00:00:00Z"},
    ),
]


@pytest.mark.parametrize(("pages", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_derived_from_what_is_known(pages: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """Created and updated are the ticket's; the rest comes from its audits where there are any."""
    desk = Desk()
    for page in pages:
        load(desk, page)
        desk.now += 5
    found = metric_set(desk)
    assert {key: found[key] for key in expected} == expected
    last = pages[-1].get("tickets", [TICKET])[0]
    assert (found["ticket_id"], found["created_at"], found["updated_at"]) == (5, CREATED, last["updated_at"])


@pytest.mark.parametrize("metrics_first", [False, True])
def test_a_metric_set_that_is_given_is_kept(metrics_first: bool) -> None:
    """A metric set that was loaded replaces a derived one, and is never replaced by it."""
    desk, given = Desk(), {"id": 70, "ticket_id": 5, "replies": 9, "created_at": CREATED, "updated_at": CREATED}
    pages: list[dict[str, Any]] = [{"tickets": [TICKET]}, {"metric_sets": [given]}]
    for page in reversed(pages) if metrics_first else pages:
        load(desk, page)
    load(desk, {"tickets": [{**TICKET, "subject": "changed"}], "audits": [REPLY]})
    assert (metric_set(desk)["id"], metric_set(desk)["replies"]) == (70, 9)


def test_writes_go_on_from_a_derived_metric_set() -> None:
    """A change over the wire counts, on top of what was derived."""
    desk = Desk()
    load(desk, {"tickets": [{**TICKET, "status": "solved"}], "users": [{"id": 2, "role": "agent"}, {"id": 3}]})
    desk.now += 60
    desk.send("PUT", "/tickets/5.json", {"ticket": {"status": "open", "comment": {"body": "again"}}})
    found = metric_set(desk)
    assert (found["reopens"], found["replies"], found["solved_at"]) == (1, 1, SOLVED)
    load(desk, {"audits": [REPLY]})
    desk.now += 60
    desk.send("PUT", "/tickets/5.json", {"ticket": {"status": "solved"}})
    assert metric_set(desk)["solved_at"] == "2023-11-14T22:15:20Z"
    assert desk.now == NOON + 120
