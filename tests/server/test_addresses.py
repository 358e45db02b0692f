"""Addresses that connectors ask: lists made of what is stored, empty ones, refusals, and what is written with them."""

from typing import Any

import pytest

from tests.server.desk import Desk, ids, tickets

V2 = "/api/v2"


@pytest.fixture
def desk() -> Desk:
    """A problem with its incident, people around them, and one of each setting."""
    desk = Desk()
    desk.put(
        "users",
        {"id": 5, "email": "ann@example.com", "organization_id": 7},
        {"id": 6, "email": "bo@example.com"},
        {"id": 8, "active": False},
    )
    desk.put("organizations", {"id": 7, "name": "North"})
    desk.put("organization_memberships", {"id": 70, "user_id": 5, "organization_id": 7, "default": True})
    desk.put("groups", {"id": 3, "name": "Support"}, {"id": 4, "deleted": True})
    desk.put("group_memberships", {"id": 30, "user_id": 1, "group_id": 3}, {"id": 31, "user_id": 1, "group_id": 4})
    desk.put("macros", {"id": 1, "active": True}, {"id": 2, "active": False})
    desk.put("ticket_fields", {"id": 1}, {"id": 2})
    people = {"requester_id": 5, "collaborator_ids": [6], "follower_ids": [1], "email_cc_ids": [6]}
    desk.put(
        "tickets",
        *tickets(1, **people, organization_id=7, type="problem", assignee_id=1, tags=["a", "b"]),
        *tickets(2, requester_id=6, problem_id=1, type="incident"),
        *tickets(3, 4, requester_id=6, status="deleted"),
    )
    comments = [{"id": 100 + n, "type": "Comment", "public": n == 1, "body": "x"} for n in (1, 2)]
    desk.put("audits", {"id": 11, "ticket_id": 1, "events": comments}, {"id": 12, "ticket_id": 2})
    desk.grant(5, "ann-token")
    return desk


# address, key of the list, ids in it
LISTS: list[tuple[str, str, list[int]]] = [
    ("/users/5/organizations", "organizations", [7]),
    ("/users/1/groups", "groups", [3]),
    ("/users/1/group_memberships", "group_memberships", [30, 31]),
    ("/organizations/7/users", "users", [5]),
    ("/organizations/7/organization_memberships", "organization_memberships", [70]),
    ("/organizations/7/tickets", "tickets", [1]),
    ("/users/5/tickets/requested", "tickets", [1]),
    ("/users/1/tickets/assigned", "tickets", [1]),
    ("/users/6/tickets/ccd", "tickets", [1]),
    ("/tickets/1/collaborators", "users", [6]),
    ("/tickets/1/followers", "users", [1]),
    ("/tickets/1/email_ccs", "users", [6]),
    ("/tickets/1/incidents", "tickets", [2]),
    ("/problems", "tickets", [1]),
    ("/groups/assignable", "groups", [3]),
    ("/macros/active", "macros", [1]),
    ("/deleted_users", "deleted_users", [8]),
]


def test_lists(desk: Desk) -> None:
    """Each list has what belongs there, by offset and by cursor, and 404 for what it would belong to."""
    for path, key, expected in LISTS:
        page = desk.page(f"{V2}{path}")
        assert (ids(page, key), page["count"]) == (expected, len(expected)), path
        page = desk.page(f"{V2}{path}.json?page[size]=1")
        assert (ids(page, key), page["meta"]["has_more"]) == (expected[:1], len(expected) > 1), path
        if any(part.isdigit() for part in path.split("/")):
            lacking = "/".join("999" if part.isdigit() else part for part in path.split("/"))
            assert desk.ask(f"{V2}{lacking}").status == 404, lacking
    assert sorted(ids(desk.page(f"{V2}/tickets/recent"))) == [1, 2]
    assert ids(desk.page(f"{V2}/ticket_fields/show_many?ids=1,2,9"), "ticket_fields") == [1, 2]


def test_single_answers(desk: Desk) -> None:
    """Counts, and what is shown one by one."""
    for path, count in (("/tickets/1/audits", 1), ("/tickets/1/comments", 2), ("/tags", 2), ("/deleted_users", 1)):
        assert desk.page(f"{V2}{path}/count")["count"]["value"] == count, path
    assert desk.page(f"{V2}/tickets/1/audits/11")["audit"]["id"] == 11
    assert desk.ask(f"{V2}/tickets/1/audits/12").status == 404
    assert desk.page(f"{V2}/tickets/1/related")["ticket_related"]["incidents"] == 1
    related = desk.page(f"{V2}/users/6/related")["user_related"]
    assert [related[f"{role}_tickets"] for role in ("requested", "assigned", "ccd")] == [1, 0, 1]
    related = desk.page(f"{V2}/organizations/7/related")["organization_related"]
    assert (related["users_count"], related["tickets_count"]) == (1, 1)
    assert desk.page(f"{V2}/deleted_users/8")["deleted_user"]["id"] == 8
    assert desk.ask(f"{V2}/deleted_users/5").status == 404
    for named in ("1", "en-US", "en-US.json"):
        assert desk.page(f"{V2}/locales/{named}")["locale"]["locale"] == "en-US"


def test_requests(desk: Desk) -> None:
    """A requester sees the own tickets, without what is for agents, and no others; an agent any by id."""
    ann = {"authorization": "Bearer ann-token"}
    page = desk.page(f"{V2}/requests", **ann)
    assert ids(page, "requests") == [1]
    assert not {"tags", "submitter_id"} & page["requests"][0].keys()
    assert ids(desk.page(f"{V2}/requests/1/comments", **ann), "comments") == [101]
    assert desk.ask(f"{V2}/requests/2", **ann).status == 404
    assert desk.page(f"{V2}/requests/2")["request"]["id"] == 2


def test_many_tickets(desk: Desk) -> None:
    """Deleted tickets are restored together or not at all; tickets are marked as spam by a job."""
    desk.send("PUT", "/deleted_tickets/restore_many?ids=3,2", expect=404)
    assert desk.ask(f"{V2}/tickets/3").status == 404
    desk.send("PUT", "/deleted_tickets/restore_many?ids=3,4")
    assert desk.page(f"{V2}/tickets/count")["count"]["value"] == 4
    desk.send("PUT", "/tickets/mark_many_as_spam?ids=3,4")
    desk.run_jobs()
    assert desk.page(f"{V2}/tickets/count")["count"]["value"] == 2
    assert desk.page(f"{V2}/users/6")["user"]["suspended"] is True


def test_empty_lists() -> None:
    """What there is nothing of is an empty list in its envelope: by offset, by cursor, or bare."""
    desk = Desk()
    offset: dict[str, Any] = {"next_page": None, "previous_page": None, "count": 0}
    no_more = {"has_more": False, "after_cursor": None, "before_cursor": None}
    cursor = {"meta": no_more, "links": {"prev": None, "next": None}}
    cases = [
        ("automations", "automations", offset),
        ("views?page[size]=5&sort=-id", "views", cursor),
        ("webhooks", "webhooks", cursor),
        ("guide/content_tags", "records", cursor),
        ("help_center/de/articles.json?page=2", "articles", {**offset, "previous_page": None}),
        ("help_center/sections", "sections", offset),
        ("business_hours/schedules.json", "schedules", {}),
        ("routing/attributes", "attributes", offset),
    ]
    for path, key, ends in cases:
        page = desk.page(f"{V2}/{path}")
        assert page[key] == []
        assert page.keys() == {key, *ends}, path
    page = desk.page(f"{V2}/help_center/incremental/articles?start_time=5")
    assert (page["articles"], page["end_time"], page["count"], page["next_page"]) == ([], 5, 0, None)
    assert desk.page(f"{V2}/routing/attributes/definitions")["definitions"]["conditions_all"] == []


def test_refusals() -> None:
    """What is refused says so in the words that clients look for."""
    desk = Desk()
    cases = [
        ("audit_logs", 403, b"You do not have access to this page."),
        ("community/posts", 404, b"The page you were looking for doesn't exist"),
        ("channels/voice/stats/incremental/calls", 403, b"Access to this resource is restricted"),
    ]
    for path, status, words in cases:
        answer = desk.ask(f"{V2}/{path}")
        assert (answer.status, words in answer.body) == (status, True), path
