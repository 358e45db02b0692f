"""The life of a ticket over the wire: what each request answers, and what the export shows of it."""

import asyncio
from typing import Any

import pytest

from tests.server.desk import NOON, Desk, tickets
from ticketfeed.data.integrity_check import check_store
from ticketfeed.inprocess import call_app

CREATED = {"ticket": {"subject": "Printer", "comment": {"body": "It is on fire."}}}


@pytest.fixture
def desk() -> Any:
    """An admin (1), an agent (20) of group 30, an end user (10) of organization 40; sound at the end."""
    desk = Desk()
    desk.put("groups", {"id": 30, "name": "Support"})
    desk.put("organizations", {"id": 40, "name": "ACME"})
    desk.put("users", {"id": 10, "email": "ann@example.com", "organization_id": 40, "name": "Ann"})
    desk.put("users", {"id": 20, "email": "bob@example.com", "role": "agent", "default_group_id": 30, "name": "Bob"})
    yield desk
    found: list[str] = []
    asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, found.append)))
    assert found == []


def create(desk: Desk, **values: Any) -> dict[str, Any]:
    given = {"comment": {"body": "It is on fire."}, **values}
    return dict(desk.send("POST", "/tickets", {"ticket": given}, expect=201)["ticket"])


def events(desk: Desk, ticket_id: int) -> list[tuple[Any, ...]]:
    """(type, field, previous value, value) of every event of every audit."""
    audits = desk.send("GET", f"/tickets/{ticket_id}/audits")["audits"]
    return [
        (event["type"], event.get("field_name"), event.get("previous_value"), event.get("value"))
        for audit in audits
        for event in audit["events"]
    ]


def test_create(desk: Desk) -> None:
    """201 with ticket, audit and Location; its second is 0 in the answer, and the real one in the export."""
    answer = desk.send("POST", "/tickets.json", CREATED, expect=201)
    ticket = answer["ticket"]
    assert desk.answer.headers["location"] == "http://acme.localhost/api/v2/tickets/1.json"
    assert (ticket["id"], ticket["status"], ticket["subject"]) == (1, "new", "Printer")
    assert (ticket["description"], ticket["generated_timestamp"]) == ("It is on fire.", 0)
    assert ticket["requester_id"] == ticket["submitter_id"] == 1
    assert answer["audit"]["ticket_id"] == 1
    assert answer["audit"]["events"][0]["body"] == "It is on fire."
    assert ("Create", "subject", None, "Printer") in events(desk, 1)
    assert desk.changes()[1] == {**ticket, "generated_timestamp": NOON}
    assert desk.send("GET", "/tickets/1")["ticket"]["generated_timestamp"] == NOON


def test_requester_and_assignee(desk: Desk) -> None:
    """A requester is found or made, and brings an organization; an agent brings a group, and opens a new ticket."""
    known = create(desk, requester={"email": "ANN@example.com"}, assignee_id=20)
    assert (known["requester_id"], known["organization_id"]) == (10, 40)
    assert (known["assignee_id"], known["group_id"], known["status"]) == (20, 30, "open")
    made = create(desk, requester={"name": "Eve", "email": "eve@example.com"}, assignee_email="bob@example.com")
    user = desk.send("GET", f"/users/{made['requester_id']}")["user"]
    assert (user["name"], user["email"], user["role"]) == ("Eve", "eve@example.com", "end-user")
    assert made["assignee_id"] == 20


def test_update(desk: Desk) -> None:
    """Fields change with one audit that says from what to what; nothing that changes nothing moves the ticket."""
    ticket_id = create(desk)["id"]
    before = desk.changes()[ticket_id]
    desk.now += 10
    given = {"priority": "high", "type": "problem", "tags": ["b", "A b"]}
    given |= {"comment": {"body": "Hm.", "public": False}}
    answer = desk.send("PUT", f"/tickets/{ticket_id}", {"ticket": given})
    assert answer["ticket"]["priority"] == "high"
    assert answer["ticket"]["tags"] == ["a_b", "b"]
    assert answer["ticket"]["is_public"]
    assert [event["type"] for event in answer["audit"]["events"]] == ["Comment", "Change", "Change", "Change"]
    assert ("Change", "priority", None, "high") in events(desk, ticket_id)
    after = desk.changes(before["generated_timestamp"] + 1)[ticket_id]
    assert after["updated_at"] > before["updated_at"]
    again = desk.send("PUT", f"/tickets/{ticket_id}", {"ticket": {"priority": "high"}})
    assert again["audit"] is None
    assert desk.changes()[ticket_id] == after
    comments = desk.send("GET", f"/tickets/{ticket_id}/comments")["comments"]
    assert [(comment["body"], comment["public"]) for comment in comments] == [("It is on fire.", True), ("Hm.", False)]


def test_a_reply_reopens(desk: Desk) -> None:
    """The requester's public reply opens a pending or solved ticket; an agent's does not, nor does a private one."""
    ticket_id = create(desk, requester_id=10, assignee_id=20)["id"]

    def say(author: int, public: bool = True, **values: Any) -> str:
        given = {"comment": {"body": "So.", "author_id": author, "public": public}, **values}
        return str(desk.send("PUT", f"/tickets/{ticket_id}", {"ticket": given})["ticket"]["status"])

    assert say(20, status="pending") == "pending"
    assert say(20) == "pending"
    assert say(10, public=False) == "pending"
    assert say(10) == "open"
    assert say(20, status="solved") == "solved"
    assert say(10) == "open"
    metric = desk.send("GET", f"/tickets/{ticket_id}/metrics")["ticket_metric"]
    assert (metric["reopens"], metric["replies"]) == (1, 3)


def test_drop_downs_are_tags(desk: Desk) -> None:
    """The option that is chosen is a tag, in place of the one before; other fields are no tags, and none is lost."""
    options = [{"id": 1, "name": "Red", "value": "red"}, {"id": 2, "name": "Blue", "value": "blue"}]
    desk.put("ticket_fields", {"id": 50, "type": "tagger", "custom_field_options": options}, {"id": 51, "type": "text"})
    given = [{"id": 50, "value": "red"}, {"id": 51, "value": "blue"}]
    ticket = create(desk, custom_fields=given, tags=["own"])
    assert ticket["tags"] == ["own", "red"]
    changed = {"ticket": {"custom_fields": [{"id": 50, "value": "blue"}]}}
    after = desk.send("PUT", f"/tickets/{ticket['id']}", changed)["ticket"]
    assert after["tags"] == ["blue", "own"]
    assert after["custom_fields"] == after["fields"] == [{"id": 50, "value": "blue"}, {"id": 51, "value": "blue"}]


def test_delete_and_restore(desk: Desk) -> None:
    """Deleted: gone from all reads, there in the export with its old values. Restored: as before, moved again."""
    ticket_id = create(desk, status="pending", priority="low")["id"]
    before = desk.changes()[ticket_id]
    desk.now += 5
    desk.send("DELETE", f"/tickets/{ticket_id}", expect=204)
    assert desk.answer.body == b""
    desk.send("GET", f"/tickets/{ticket_id}", expect=404)
    desk.send("PUT", f"/tickets/{ticket_id}", {"ticket": {"priority": "high"}}, expect=404)
    desk.send("DELETE", f"/tickets/{ticket_id}", expect=404)
    gone = desk.changes()[ticket_id]
    moved = {"status": "deleted", "updated_at": gone["updated_at"], "generated_timestamp": gone["generated_timestamp"]}
    assert gone == {**before, **moved}
    assert gone["updated_at"] > before["updated_at"]
    assert [t["id"] for t in desk.send("GET", "/deleted_tickets")["deleted_tickets"]] == [ticket_id]
    desk.now += 5
    assert desk.send("PUT", f"/deleted_tickets/{ticket_id}/restore") == {}
    back = desk.changes()[ticket_id]
    assert back["status"] == "pending"
    assert back["generated_timestamp"] > gone["generated_timestamp"]
    desk.send("PUT", f"/deleted_tickets/{ticket_id}/restore", expect=404)


def test_closed_tickets_are_read_only(desk: Desk) -> None:
    """422 under `status`, and nothing was stored; deleting is possible."""
    ticket_id = create(desk, status="closed", assignee_id=20)["id"]
    answer = desk.send("PUT", f"/tickets/{ticket_id}", {"ticket": {"comment": {"body": "But!"}}}, expect=422)
    assert answer["error"] == "RecordInvalid"
    assert "closed prevents ticket update" in answer["details"]["status"][0]["description"]
    assert len(desk.send("GET", f"/tickets/{ticket_id}/comments")["comments"]) == 1
    desk.send("DELETE", f"/tickets/{ticket_id}", expect=204)


def test_safe_update(desk: Desk) -> None:
    """A change made for an older state is refused with 409; without safe_update the last one wins."""
    ticket = create(desk)
    desk.now += 5
    given = {"priority": "low", "safe_update": True, "updated_stamp": ticket["updated_at"]}
    desk.send("PUT", f"/tickets/{ticket['id']}", {"ticket": given})
    desk.now += 5
    refused = desk.send("PUT", f"/tickets/{ticket['id']}", {"ticket": {**given, "priority": "high"}}, expect=409)
    assert refused["error"] == "UpdateConflict"
    desk.send("PUT", f"/tickets/{ticket['id']}", {"ticket": {"priority": "high"}})


def test_tags(desk: Desk) -> None:
    """POST sets, PUT adds, DELETE takes away."""
    path = f"/tickets/{create(desk)['id']}/tags"
    assert desk.send("POST", path, {"tags": ["b", "a"]}, expect=201) == {"tags": ["a", "b"]}
    assert desk.send("PUT", path, {"tags": ["c"]}) == {"tags": ["a", "b", "c"]}
    assert desk.send("DELETE", path, {"tags": ["b", "x"]}) == {"tags": ["a", "c"]}
    assert desk.send("GET", path) == {"tags": ["a", "c"]}
    desk.send("PUT", path, {"tags": "c"}, expect=400)


def test_import(desk: Desk) -> None:
    """History keeps its times and authors; the ticket stands at the end of the export all the same."""
    given = {
        "subject": "Old",
        "requester_id": 10,
        "assignee_id": 20,
        "status": "closed",
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-03T00:00:00Z",
        "comments": [
            {"author_id": 10, "value": "Help", "created_at": "2020-01-01T00:00:00Z"},
            {"author_id": 20, "body": "Done", "created_at": "2020-01-02T00:00:00Z", "public": False},
        ],
    }
    ticket = desk.send("POST", "/imports/tickets", {"ticket": given}, expect=201)["ticket"]
    shown = desk.changes()[ticket["id"]]
    assert (shown["created_at"], shown["updated_at"]) == ("2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z")
    assert shown["generated_timestamp"] == NOON
    comments = desk.send("GET", f"/tickets/{ticket['id']}/comments")["comments"]
    assert [(c["author_id"], c["body"], c["created_at"], c["public"]) for c in comments] == [
        (10, "Help", "2020-01-01T00:00:00Z", True),
        (20, "Done", "2020-01-02T00:00:00Z", False),
    ]


def test_an_import_has_no_future(desk: Desk) -> None:
    """Comments from before the ticket or after now are as old as the ticket, or of now."""
    moments = ("2019-01-01T00:00:00Z", "2030-01-01T00:00:00Z")
    comments = [{"value": "x"}, *({"value": "x", "created_at": moment} for moment in moments)]
    given = {"requester_id": 10, "created_at": "2020-01-01T00:00:00Z", "comments": comments}
    id = desk.send("POST", "/imports/tickets", {"ticket": given}, expect=201)["ticket"]["id"]
    shown = [comment["created_at"] for comment in desk.send("GET", f"/tickets/{id}/comments")["comments"]]
    assert shown == ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "2023-11-14T22:13:20Z"]


def test_mark_as_spam(desk: Desk) -> None:
    """The ticket is deleted and its requester suspended."""
    ticket_id = create(desk, requester_id=10)["id"]
    desk.send("PUT", f"/tickets/{ticket_id}/mark_as_spam")
    assert desk.changes()[ticket_id]["status"] == "deleted"
    assert desk.send("GET", "/users/10")["user"]["suspended"]


def test_idempotency(desk: Desk) -> None:
    """The same key and request give the same answer and make nothing; with another: 400."""

    def post(key: str, expect: int = 201, value: Any = CREATED) -> tuple[Any, str | None]:
        answer = desk.send("POST", "/tickets", value, expect=expect, headers=[("Idempotency-Key", key)])
        return answer, desk.answer.headers.get("x-idempotency-lookup")

    first, miss = post("k")
    again, hit = post("k")
    assert (again, miss, hit) == (first, "miss", "hit")
    assert post("other")[0]["ticket"]["id"] == 2
    refused, _ = post("k", 400, {"ticket": {"comment": {"body": "Something else"}}})
    assert refused["error"] == "IdempotentRequestError"
    desk.now += 2 * 3600
    assert post("k")[0]["ticket"]["id"] == 3
    assert len(desk.changes()) == 3


def test_an_idempotency_key_is_of_one_user(desk: Desk) -> None:
    """Another user who sends the same key is not given the answer of the first, and makes a ticket."""
    desk.put("users", {"id": 30, "email": "other@example.com", "role": "admin"})
    desk.grant(30, "other-token")
    keyed, other = [("Idempotency-Key", "k")], "Bearer other-token"
    first = desk.send("POST", "/tickets", CREATED, expect=201, headers=keyed)
    theirs = desk.send("POST", "/tickets", CREATED, expect=201, headers=keyed, authorization=other)
    assert desk.answer.headers["x-idempotency-lookup"] == "miss"
    assert (first["ticket"]["id"], theirs["ticket"]["id"], theirs["ticket"]["submitter_id"]) == (1, 2, 30)
    different = {"ticket": {"comment": "Something else"}}
    desk.send("POST", "/tickets", different, expect=201, headers=[("Idempotency-Key", "l")])
    desk.send("POST", "/tickets", CREATED, expect=201, headers=[("Idempotency-Key", "l")], authorization=other)


BAD = [
    ("POST", "/tickets", b"{", 400, "error"),
    ("POST", "/tickets", b'{"ticket":{"comment":{"body":"x"}}', 400, "error"),
    ("POST", "/tickets", b"[]", 400, "error"),
    ("POST", "/tickets", b'{"other":{}}', 400, "error"),
    ("POST", "/tickets", b"\xff", 400, "error"),
    ("POST", "/tickets", b'{"ticket":[]}', 422, "base"),
    ("POST", "/tickets", b'{"ticket":{}}', 422, "base"),
    ("POST", "/tickets", b'{"ticket":{"comment":{"body":" "}}}', 422, "base"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","priority":"soon"}}', 422, "priority"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","status":"deleted"}}', 422, "status"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","requester_id":"7"}}', 422, "requester_id"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","requester_id":777}}', 422, "requester_id"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","assignee_id":10}}', 422, "assignee_id"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","group_id":777}}', 422, "group_id"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","requester":{"email":"nobody"}}}', 422, "requester"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","due_at":"tomorrow"}}', 422, "due_at"),
    ("POST", "/tickets", b'{"ticket":{"comment":"x","due_at":"0001-01-01T00:00:00+10:00"}}', 422, "due_at"),
    ("POST", "/tickets", b"[" * 100_000, 400, "error"),
    ("POST", "/tickets", b" " * (5 * 1024 * 1024 + 1), 413, "error"),
    ("PUT", "/tickets/1", b"", 400, "error"),
    ("PUT", "/tickets/777", b'{"ticket":{}}', 404, "error"),
    ("DELETE", "/tickets/777", b"", 404, "error"),
    ("PATCH", "/tickets/1", b"{}", 404, "error"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "told"), BAD)
def test_bad_input(desk: Desk, method: str, path: str, body: bytes, status: int, told: str) -> None:
    """Each gets its status in the wire's shape, says which field is at fault, and leaves nothing behind."""
    desk.put("tickets", *tickets(1, requester_id=10))
    before = desk.changes()
    answer = desk.send(method, path, body, expect=status)
    assert told in (answer["details"] if status == 422 else answer)
    assert desk.changes() == before


def test_end_users_may_not_write(desk: Desk) -> None:
    """403 for them, and for imports by agents."""
    desk.grant(10, "ann-token")
    desk.grant(20, "bob-token")
    for token, path, status in (("ann", "/tickets", 403), ("bob", "/tickets", 201), ("bob", "/imports/tickets", 403)):
        headers = [("Authorization", f"Bearer {token}-token")]
        body = b'{"ticket":{"comment":"x"}}'
        asked = call_app(desk.app, f"/api/v2{path}", host="acme.localhost", method="POST", headers=headers, body=body)
        assert asyncio.run(asked).status == status


def test_no_update_is_lost(desk: Desk) -> None:
    """Of many that arrive at the same moment, each is done, one after the other."""
    ticket_id = create(desk)["id"]

    async def all_at_once() -> None:
        def ask(number: int) -> Any:
            body = b'{"ticket":{"comment":{"body":"%d"},"additional_tags":["t%d"]}}' % (number, number)
            headers = [("Authorization", "Bearer admin-token")]
            path = f"/api/v2/tickets/{ticket_id}"
            return call_app(desk.app, path, host="acme.localhost", method="PUT", headers=headers, body=body)

        answers = await asyncio.gather(*(ask(number) for number in range(40)))
        assert {answer.status for answer in answers} == {200}

    asyncio.run(all_at_once())
    comments = desk.send("GET", f"/tickets/{ticket_id}/comments")["comments"]
    assert {comment["body"] for comment in comments[1:]} == {str(number) for number in range(40)}
    assert len(desk.changes()[ticket_id]["tags"]) == 40
