"""Documented keys of writes: each does what it says, or is refused by name."""

from typing import Any

import pytest

from tests.server.desk import Desk, tickets


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put("users", {"id": 10, "email": "ann@example.com", "name": "Ann"})
    desk.put("users", {"id": 20, "email": "bob@example.com", "name": "Bob", "role": "agent"})
    desk.put(
        "ticket_fields", {"id": 50, "type": "integer", "title": "Number"}, {"id": 51, "type": "text", "title": "T"}
    )
    desk.put("ticket_fields", {"id": 52, "type": "subject", "title": "Subject"})
    return desk


def create(desk: Desk, **values: Any) -> dict[str, Any]:
    return dict(desk.send("POST", "/tickets", {"ticket": {"comment": "Text", **values}}, expect=201))


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ({"requester": "ann@example.com"}, "requester_id", 10),
        ({"requester": 10}, "requester_id", 10),
        ({"requester": {"id": 10}}, "requester_id", 10),
        ({"requester": {"name": "Cid"}}, "requester_id", 21),
        ({"requester": "Cid"}, "requester_id", 21),
        ({"email_ccs": [{"user_id": "10"}, {"user_email": "bob@example.com"}]}, "email_cc_ids", [10, 20]),
        ({"email_ccs": [{"user_email": "new@example.com", "user_name": "New"}]}, "email_cc_ids", [21]),
        ({"followers": [{"user_id": 20, "action": "put"}]}, "follower_ids", [20]),
        ({"collaborators": [10, "bob@example.com", {"name": "C", "email": "c@x"}]}, "collaborator_ids", [10, 20, 21]),
        ({"collaborator_ids": [10], "additional_collaborators": [20]}, "collaborator_ids", [10, 20]),
        (
            {"fields": [{"id": 51, "value": "x"}]},
            "custom_fields",
            [{"id": 50, "value": None}, {"id": 51, "value": "x"}],
        ),
        ({}, "custom_fields", [{"id": 50, "value": None}, {"id": 51, "value": None}]),
        (
            {"custom_fields": [{"id": 50, "value": 7}, {"id": 51, "value": 1.5}]},
            "fields",
            [{"id": 50, "value": "7"}, {"id": 51, "value": "1.5"}],
        ),
    ],
)
def test_keys_of_a_new_ticket(desk: Desk, given: dict[str, Any], key: str, value: Any) -> None:
    """Each has the effect that is documented."""
    ticket = create(desk, **given)["ticket"]
    assert ticket[key] == value
    assert desk.send("GET", f"/tickets/{ticket['id']}")["ticket"][key] == value


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"requester": 99}, "requester"),
        ({"requester": {"email": "nobody"}}, "requester"),
        ({"via_followup_source_id": 99}, "via_followup_source_id"),
        ({"voice_comment": {"from": "+1"}}, "voice_comment"),
        ({"macro_ids": [1]}, "macro_ids"),
        ({"custom_fields": [{"id": 51, "value": {"a": 1}}]}, "custom_fields"),
        ({"custom_fields": [{"id": 51, "value": [1]}]}, "custom_fields"),
        ({"attribute_value_ids": ["a"]}, "attribute_value_ids"),
        ({"comment": {"body": "x", "uploads": ["t"]}}, "uploads"),
    ],
)
def test_keys_that_are_refused(desk: Desk, given: dict[str, Any], named: str) -> None:
    """422 with the name of the key."""
    answer = desk.send("POST", "/tickets", {"ticket": {"comment": "Text", **given}}, expect=422)
    assert list(answer["details"]) == [named]


def test_followers_are_put_and_deleted(desk: Desk) -> None:
    """A change adds and removes those that it names, and leaves the others."""
    create(desk, followers=[{"user_id": 20}, {"user_id": 1}])
    change = {"followers": [{"user_id": 20, "action": "delete"}, {"user_id": 10}]}
    assert desk.send("PUT", "/tickets/1", {"ticket": change})["ticket"]["follower_ids"] == [1, 10]


def test_audits_of_what_was_sent(desk: Desk) -> None:
    """Metadata stands in the audit; a change of a custom field is an event named by the field's id."""
    audit = create(desk, metadata={"custom": {"a": "b"}}, custom_fields=[{"id": 51, "value": "x"}])["audit"]
    assert audit["metadata"]["custom"] == {"a": "b"}
    change = {"custom_fields": [{"id": 50, "value": 7}], "metadata": {"time": "5"}}
    audit = desk.send("PUT", "/tickets/1", {"ticket": change})["audit"]
    assert audit["metadata"]["custom"] == {"time": "5"}
    event = audit["events"][0]
    assert [event[key] for key in ("type", "field_name", "previous_value", "value")] == ["Change", "50", None, "7"]


def test_follow_ups(desk: Desk) -> None:
    """A ticket that follows a closed one names it, and is named by it."""
    desk.put("tickets", *tickets(1, status="closed", subject="Old"))
    via = create(desk, via_followup_source_id=1)["ticket"]["via"]
    assert (via["source"]["rel"], via["source"]["from"]["ticket_id"]) == ("follow_up", 1)
    assert desk.send("GET", "/tickets/1")["ticket"]["followup_ids"] == [2]


def test_voice_comments(desk: Desk) -> None:
    """A call is a comment of its own type."""
    create(desk)
    desk.send("PUT", "/tickets/1", {"ticket": {"voice_comment": {"from": "+1", "to": "+2"}}})
    comment = desk.send("GET", "/tickets/1/comments")["comments"][-1]
    assert (comment["type"], comment["data"], comment["body"]) == (
        "VoiceComment",
        {"from": "+1", "to": "+2"},
        "Call from: +1\nCall to: +2",
    )


@pytest.mark.parametrize(
    "key", ["requester_id", "submitter_id", "assignee_id", "group_id", "organization_id", "brand_id"]
)
def test_imports_of_what_is_not_there(desk: Desk, key: str) -> None:
    """Whoever imports takes the place of people who are not there; other records are left out."""
    ticket = {"comments": [{"body": "a", "author_id": 98}, {"body": "b", "author_id": 99}], key: 97}
    made = desk.send("POST", "/imports/tickets", {"ticket": ticket}, expect=201)["ticket"]
    assert made[key] == (1 if key in ("requester_id", "submitter_id", "assignee_id") else None)
    comments = desk.send("GET", f"/tickets/{made['id']}/comments")["comments"]
    assert [comment["author_id"] for comment in comments] == [1, 1]


def test_names_of_organizations(desk: Desk) -> None:
    """They are unique, name the one to update, and that of a user."""
    given = {"organization": {"name": "ACME"}}
    desk.send("POST", "/organizations/create_or_update", given, expect=201)
    desk.send("POST", "/organizations/create_or_update", given, expect=200)
    details = desk.send("POST", "/organizations", {"organization": {"name": "acme"}}, expect=422)["details"]
    assert details["name"] == [{"description": "Name: acme has already been taken", "error": "DuplicateValue"}]
    user = desk.send("POST", "/users", {"user": {"name": "X", "organization": {"name": "ACME"}}}, expect=201)["user"]
    assert user["organization_id"] == 1


def test_shapes_of_jobs(desk: Desk) -> None:
    """Results of tickets name the account, those of users no index; a permanent deletion is told by itself alone."""
    answer = desk.send("POST", "/users/create_many", {"users": [{}] * 101}, expect=400)
    assert answer == {"error": "TooManyValues", "description": "Maximum 100 users may be created per call"}
    assert job(desk, "POST", "/users/create_many", {"users": [{"name": "X"}]})["results"] == [
        {"id": 21, "status": "Created"}
    ]
    made = job(desk, "POST", "/tickets/create_many", {"tickets": [{"comment": "x"}]})
    assert made["results"] == [{"index": 0, "id": 1, "account_id": 1}]
    desk.send("DELETE", "/tickets/1", expect=204)
    deleted = job(desk, "DELETE", "/deleted_tickets/1", None)
    assert (deleted["status"], deleted["total"], deleted["results"]) == ("completed", None, {"success": True})


def job(desk: Desk, method: str, path: str, value: Any) -> dict[str, Any]:
    id = desk.send(method, path, value)["job_status"]["id"]
    desk.run_jobs()
    return dict(desk.send("GET", f"/job_statuses/{id}")["job_status"])
