"""Paths, numbers and comments as the wire has them, each kind in a table."""

import json
from typing import Any

import pytest

from tests.server.desk import ADMIN, NOON, Desk, tickets
from ticketfeed.settings import Settings

LONG = "9" * 5000
V2 = "/api/v2"


@pytest.fixture
def desk() -> Desk:
    desk = Desk(Settings())
    desk.put("users", {"id": 10, "email": "ann@example.com", "name": "Ann"})
    desk.put("tickets", *tickets(1, 2, requester_id=10))
    return desk


def shown(desk: Desk, path: str) -> tuple[int, Any]:
    answer = desk.ask(path, authorization=ADMIN)
    return answer.status, json.loads(answer.body)


def test_paths_are_normalized(desk: Desk) -> None:
    """Repeated slashes are one, slashes at the end none, with `.json` or without; links are normalized, too."""
    plain = shown(desk, f"{V2}/tickets.json?per_page=1")
    assert plain[0] == 200
    assert plain[1]["next_page"].startswith("http://acme.localhost/api/v2/tickets.json?")
    for path in ("//api/v2/tickets.json", "/api//v2///tickets.json/", "/api/v2/tickets.json//"):
        assert shown(desk, f"{path}?per_page=1") == plain
    for path in ("/users/10/", "//users//10.json", "/users/me/", "/job_statuses/", "/tickets/count.json/"):
        assert shown(desk, f"{V2}{path}")[0] == 200, path
    for path in ("/", "//", "/api/", "/api/v2/", "/api/v2//nothing/", "/api/v2/tickets.json.json", "//tickets"):
        assert shown(desk, path)[0] == 404, path


@pytest.mark.parametrize(
    ("method", "path", "attribute", "action"),
    [
        ("GET", "/users/abc", "id", "users/show"),
        ("GET", "/users/abc.json", "id", "users/show"),
        ("GET", "/users/1x", "id", "users/show"),
        ("GET", "/users/1.5", "id", "users/show"),
        ("GET", "/users/%D9%A3", "id", "users/show"),
        ("GET", "/users/1%00", "id", "users/show"),
        ("GET", "/tickets/null", "id", "tickets/show"),
        ("GET", "/slas/policies/x", "id", "slas/policies/show"),
        ("GET", "/ticket_audits/x", "id", "ticket_audits/show"),
        ("GET", "/tickets/x/audits", "ticket_id", "audits/index"),
        ("GET", "/tickets/x/comments.json", "ticket_id", "comments/index"),
        ("PUT", "/tickets/x", "id", "tickets/update"),
        ("DELETE", "/users/x", "id", "users/destroy"),
        ("POST", "/tickets/x/merge", "id", "tickets/merge"),
        ("PUT", "/deleted_tickets/x/restore", "id", "deleted_tickets/restore"),
        ("GET", "/users?page=text", "page", "users/index"),
        ("GET", "/tickets?per_page=1.5", "per_page", "tickets/index"),
        ("GET", "/tickets/1/audits?page=x", "page", "audits/index"),
        ("GET", "/search?query=x&page=y", "page", "search/index"),
    ],
)
def test_what_must_be_an_integer(desk: Desk, method: str, path: str, attribute: str, action: str) -> None:
    """An id in the path and a number of a list that are no integer are 400, in a shape of their own."""
    error = desk.send(method, path, {} if method in ("PUT", "POST") else None, expect=400)["error"]
    assert error == {
        "title": "Invalid attribute",
        "message": f"You passed an invalid value for the {attribute} attribute. "
        f"Invalid parameter: {attribute} must be an integer from api/v2/{action}",
    }


@pytest.mark.parametrize("id", ["0", "-1", str(2**63), str(2**64), LONG, f"-{LONG}"])
@pytest.mark.parametrize(
    "path", ["/users/{}", "/users/{}.json", "/tickets/{}", "/tickets/{}/comments", "/tickets/{}/tags"]
)
def test_integers_that_are_no_id(desk: Desk, path: str, id: str) -> None:
    """An integer that no record can have is not found, however many digits it has."""
    assert desk.send("GET", path.format(id), expect=404)["error"] == "RecordNotFound"


@pytest.mark.parametrize(
    "query",
    [
        "/users?page={}",
        "/tickets?page={}",
        "/incremental/tickets?start_time={}",
        "/users?page[size]={}",
        "/tickets?start_time={}",
        "/tickets?start_time={}&page[size]=5",
        "/satisfaction_ratings?start_time={}",
        "/satisfaction_ratings?end_time={}",
        "/users?permission_set={}",
        "/macros?group_id={}",
    ],
)
def test_numbers_beyond_any_range(desk: Desk, query: str) -> None:
    """A number that is beyond any range is 400."""
    for number in (str(2**63), str(2**200), LONG):
        assert shown(desk, V2 + query.format(number))[0] == 400


def test_cursors_beyond_any_range(desk: Desk) -> None:
    """A cursor whose number no ticket can have is 400."""
    for cursor in ("MWU5OTl8fDV8", "LTFlOTk5fHw1fA==", "NS4wfHw5MjIzMzcyMDM2ODU0Nzc1ODA4fA=="):
        assert desk.send("GET", f"/incremental/tickets/cursor?cursor={cursor}", expect=400)["error"] == "InvalidCursor"


@pytest.mark.parametrize("value", ["text", None, 5, True])
@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("POST", "/tickets", "ticket"),
        ("PUT", "/tickets/1", "ticket"),
        ("POST", "/imports/tickets", "ticket"),
        ("POST", "/users", "user"),
        ("PUT", "/users/10", "user"),
        ("POST", "/organizations/create_or_update", "organization"),
        ("POST", "/tickets/create_many", "tickets"),
        ("PUT", "/tickets/update_many?ids=1", "ticket"),
    ],
)
def test_an_envelope_without_a_record(desk: Desk, method: str, path: str, key: str, value: Any) -> None:
    """What stands in place of a record is 400, not a record with errors."""
    assert "error" in desk.send(method, path, {key: value}, expect=400)


def test_small_shapes(desk: Desk) -> None:
    """Keys that descriptions of the wire have, with their values where nothing says otherwise."""
    desk.put("ticket_forms", {"id": 1, "name": "F"})
    desk.put("ticket_fields", {"id": 2, "title": "T"})
    desk.put("satisfaction_ratings", {"id": 3, "ticket_id": 1})
    event = {"id": 4, "ticket_id": 1, "metric": "reply_time", "instance_id": 1, "type": "activate"}
    desk.put("ticket_metric_events", {**event, "time": "2023-11-01T00:00:00Z"})
    field = desk.send("GET", "/ticket_fields/2")["ticket_field"]
    assert (field["raw_agent_description"], field["sub_type_id"]) == (None, None)
    assert desk.send("GET", "/ticket_forms/1")["ticket_form"]["form_type"] == "standard"
    assert "reason_code" not in desk.send("GET", "/satisfaction_ratings/3")["satisfaction_rating"]
    desk.now += 100
    (shown,) = desk.send("GET", "/incremental/ticket_metric_events?start_time=0")["ticket_metric_events"]
    assert shown["deleted"] is False
    settings = desk.send("GET", "/account/settings")["settings"]
    assert settings["active_features"]["organization_access_enabled"] is True


def test_metric_sets_by_both_ids(desk: Desk) -> None:
    """A metric set is found by its own id, as its url says, and by that of its ticket, where no other set has it."""
    desk.put("ticket_metrics", {"id": 901, "ticket_id": 1}, {"id": 1, "ticket_id": 2})
    for id, ticket_id in ((901, 1), (1, 2), (2, 2)):
        assert desk.send("GET", f"/ticket_metrics/{id}")["ticket_metric"]["ticket_id"] == ticket_id
    desk.send("GET", "/ticket_metrics/902", expect=404)
    made = desk.send("POST", "/tickets", {"ticket": {"comment": "x"}}, expect=201)["ticket"]
    url = desk.send("GET", f"/tickets/{made['id']}/metrics")["ticket_metric"]["url"]
    path = url.partition("/api/v2")[2]
    assert desk.send("GET", path)["ticket_metric"]["ticket_id"] == made["id"]


@pytest.mark.parametrize(
    ("brands", "default"),
    [([], None), ([{"id": 7}, {"id": 8}], 7), ([{"id": 7}, {"id": 8, "default": True}], 8)],
)
def test_the_default_brand(desk: Desk, brands: list[Any], default: int | None) -> None:
    """That which says so, else the oldest."""
    desk.put("brands", *brands)
    assert desk.send("GET", "/account/settings")["settings"]["brands"]["default_brand_id"] == default


def test_voice_comments_are_comments(desk: Desk) -> None:
    """In the list of comments, their number, the export of ticket events and the metrics."""
    when = "2023-11-01T00:00:00Z"
    events: list[dict[str, Any]] = [{"id": 201, "type": "Create", "field_name": "status", "value": "open"}]
    desk.put("audits", {"id": 200, "ticket_id": 1, "author_id": 10, "created_at": when, "events": events})
    voice = {"id": 301, "type": "VoiceComment", "author_id": 1, "body": "Call", "public": True, "data": {"from": "+1"}}
    desk.put("audits", {"id": 300, "ticket_id": 1, "author_id": 1, "created_at": when, "events": [voice]})
    comments = desk.send("GET", "/tickets/1/comments")["comments"]
    assert [(each["id"], each["type"], each["data"], each["audit_id"]) for each in comments] == [
        (301, "VoiceComment", {"from": "+1"}, 300)
    ]
    assert desk.send("GET", "/tickets/1?include=comment_count")["ticket"]["comment_count"] == 1
    desk.now = NOON + 100
    path = "/incremental/ticket_events?start_time=0"
    assert [child["comment_present"] for child in children(desk, path) if "comment_present" in child] == [True]
    with_text = [child for child in children(desk, f"{path}&include=comment_events") if "body" in child]
    assert [(child["event_type"], child["body"]) for child in with_text] == [("VoiceComment", "Call")]
    desk.send("PUT", "/tickets/1", {"ticket": {"status": "pending"}})
    assert desk.send("GET", "/tickets/1/metrics")["ticket_metric"]["replies"] == 1


def children(desk: Desk, path: str) -> list[dict[str, Any]]:
    return [child for event in desk.send("GET", path)["ticket_events"] for child in event["child_events"]]
