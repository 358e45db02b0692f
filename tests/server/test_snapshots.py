"""Snapshots over the wire: an account saved, rewound and forked by its admins; no cache answers with what was."""

import json
from typing import Any

import pytest

from tests.server.desk import ADMIN, ALL, NOON, Desk, basic
from ticketfeed.inprocess import Answer
from ticketfeed.settings import Settings

SNAPSHOTS = "/_ticketfeed/snapshots"
AGENT = basic("agent@example.com/token:agent-token")
JSON = [("content-type", "application/json")]


def make_desk(**rules: Any) -> Desk:
    desk = Desk(Settings(test_clock=True, page_cache_mib=8, **rules), accounts=("acme", "other"))
    desk.put("users", {"id": 77, "email": "agent@example.com", "role": "agent"})
    desk.grant(77, "agent-token")
    desk.put(
        "tickets",
        *({"id": id, "subject": f"ticket {id}", "generated_timestamp": NOON - 999 + id} for id in range(1, 301)),
    )
    desk.now += 10
    return desk


def do(desk: Desk, what: str, name: str = "a", **options: Any) -> Answer:
    body = json.dumps({"do": what, "name": name, **options}).encode()
    return desk.ask(SNAPSHOTS, method="POST", body=body, headers=JSON)


def pages(desk: Desk, host: str = "acme.localhost", authorization: str = ADMIN) -> dict[int, str]:
    """Subjects by id, in pages that the cache takes; each is read twice."""
    found: dict[int, str] = {}
    target = f"{ALL}&per_page=100"
    while True:
        first, second = (desk.ask(target, host=host, authorization=authorization) for _ in range(2))
        assert (first.status, first.body) == (200, second.body)
        page = json.loads(first.body)
        found |= {ticket["id"]: ticket["subject"] for ticket in page["tickets"]}
        if page["end_of_stream"]:
            return found
        target = f"{ALL.partition('?')[0]}?per_page=100&cursor={page['after_cursor'].replace('=', '%3D')}"


def test_no_cache_answers_with_what_was() -> None:
    """After a rewind, with a fence or without, and in a fork, pages, single tickets, searches and credentials are what
    was saved; what is written then is read by who goes on."""
    desk = make_desk()
    saved = pages(desk)
    assert do(desk, "save").status == 200
    for with_consumers in (False, True, False):
        assert pages(desk) == saved
        desk.put("tickets", {"id": 5, "subject": "changed"}, {"id": 999, "subject": "new"})
        desk.put("users", {"id": 77, "email": "agent@example.com", "role": "admin"})
        desk.grant(1, "another-token")
        desk.now += 10
        changed = pages(desk, authorization=basic("admin@example.com/token:another-token"))
        assert changed == {**saved, 5: "changed", 999: "new"}
        assert pages(desk, authorization=AGENT) == changed
        assert do(desk, "rewind", with_consumers=with_consumers).status == 200
        assert pages(desk) == saved
        assert desk.ask("/api/v2/tickets/999").status == 404
        assert json.loads(desk.ask("/api/v2/search/count?query=changed").body)["count"] == 0
        assert desk.ask(ALL, authorization=basic("admin@example.com/token:another-token")).status == 401
        assert desk.ask(ALL, authorization=AGENT).status == 403
        desk.now += 10
    desk.put("tickets", {"id": 7, "subject": "later"})
    desk.now += 100
    assert pages(desk) == {**saved, 7: "later"}
    assert do(desk, "fork", account="copy").status == 200
    assert pages(desk, "copy.localhost") == saved
    listed = json.loads(desk.ask(SNAPSHOTS).body)
    assert (listed["account"], [(each["name"], each["tickets"]) for each in listed["snapshots"]]) == (
        "acme",
        [("a", 300)],
    )
    deleted = desk.ask(f"{SNAPSHOTS}?name=a", method="DELETE")
    assert json.loads(deleted.body)["snapshots"] == []


def test_clock_is_rewound() -> None:
    """The account's clock is what it was, at once."""
    desk = make_desk()
    do(desk, "save")
    desk.ask("/_ticketfeed/clock", method="POST", body=b'{"advance": "30d"}', headers=JSON)
    assert json.loads(desk.ask("/_ticketfeed/clock").body)["offset_seconds"] == 30 * 86400
    assert do(desk, "rewind", with_consumers=True).status == 200
    assert json.loads(desk.ask("/_ticketfeed/clock").body)["offset_seconds"] == 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"do":"save"}', "name"),
        (b'{"do":"undo","name":"a"}', "undo"),
        (b'{"do":"save","name":"a","size":1}', "size"),
        (b'{"do":"save","name":"a b"}', "a b"),
        (b'{"do":"save","name":"a","account":"copy"}', "account"),
        (b'{"do":"fork","name":"a"}', "account"),
        (b'{"do":"fork","name":"a","account":"No_Name"}', "No_Name"),
        (b'{"do":"fork","name":"a","account":"other"}', "other"),
        (b'{"do":"save","name":"b","with_consumers":true}', "with_consumers"),
        (b'{"do":"rewind","name":"z"}', "there are: a"),
        (b'{"do":"save","name":"a"}', "already"),
    ],
)
def test_bad_input(body: bytes, text: str) -> None:
    """A wrong body is refused with what is wrong in it."""
    desk = make_desk()
    do(desk, "save")
    answer = desk.ask(SNAPSHOTS, method="POST", body=body, headers=JSON)
    assert answer.status == 400
    assert text in answer.body.decode()


def test_who_may() -> None:
    """Admins of the account, on test servers; other sites' pages never."""
    desk = make_desk()
    assert do(desk, "save").status == 200
    assert desk.ask(SNAPSHOTS, authorization=AGENT).status == 403
    assert desk.ask(SNAPSHOTS, authorization=None).status == 401
    body = b'{"do":"rewind","name":"a"}'
    foreign = [("content-type", "text/plain"), ("sec-fetch-site", "cross-site")]
    assert desk.ask(SNAPSHOTS, method="POST", body=body, headers=foreign).status == 403
    assert json.loads(desk.ask(SNAPSHOTS, host="other.localhost").body)["snapshots"] == []
    fixed = Desk(Settings())
    for method, target in (("POST", SNAPSHOTS), ("DELETE", f"{SNAPSHOTS}?name=a")):
        answer = fixed.ask(target, method=method, body=body, headers=JSON)
        assert (answer.status, "test servers" in answer.body.decode()) == (403, True)
