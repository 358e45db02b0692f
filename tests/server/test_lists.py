"""Lists, single records, counts and the small reads with which connectors start."""

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.desk import NOON, Desk, basic, ids, tickets
from ticketfeed.protocol.resources import RESOURCES

V2 = "/api/v2"
LISTED = [resource for resource in RESOURCES.values() if resource.is_listed]
STATUSES = ("new", "open", "solved", "deleted")
# What a record of these kinds cannot do without.
NEEDED: dict[str, dict[str, Any]] = {kind: {"ticket_id": 4} for kind in ("audits", "satisfaction_ratings")}
NEEDED["organization_memberships"] = {"user_id": 8, "organization_id": 5}


@pytest.fixture(scope="module")
def desk() -> Desk:
    """Twenty tickets, every fourth deleted; two of every other kind, but metric sets: one a ticket."""
    desk = Desk()
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"}, {"id": 8, "email": "end@example.com"})
    desk.grant(9, "agent-token")
    desk.grant(8, "end-token")
    desk.put(
        "tickets",
        *({"id": n, "generated_timestamp": NOON - 900 + n * 7 % 5, "status": STATUSES[n % 4]} for n in range(1, 21)),
    )
    for resource in LISTED:
        if resource.kind == "ticket_metrics":
            desk.put("ticket_metrics", {"id": 501, "ticket_id": 4}, {"id": 502, "ticket_id": 5})
        else:
            extra = NEEDED.get(resource.kind, {})
            desk.put(resource.kind, {"id": 301, **extra}, {"id": 302, **extra})
    return desk


ALIVE = [n for n in range(1, 21) if STATUSES[n % 4] != "deleted"]


def local(url: str) -> str:
    return url.partition("acme.localhost")[2]


@pytest.mark.parametrize("resource", LISTED, ids=lambda resource: resource.kind)
def test_every_list(desk: Desk, resource: Any) -> None:
    """Every kind is listed both ways, counted, and shown one by one; what is not there is not found."""
    page = desk.page(f"{V2}{resource.path}.json?page=1")
    count = len(page[resource.kind])
    assert page["count"] == count >= 2
    assert (page["next_page"], page["previous_page"]) == (None, None)
    assert desk.page(f"{V2}{resource.path}/count")["count"]["value"] == count
    first = desk.page(f"{V2}{resource.path}?page[size]=1")
    assert first["meta"]["has_more"] is True
    id = 4 if resource.kind == "ticket_metrics" else 301
    shown = desk.page(f"{V2}{resource.path}/{id}.json")
    assert list(shown) == [resource.singular]
    answer = desk.ask(f"{V2}{resource.path}/999")
    assert (answer.status, answer.body) == (404, b'{"error":"RecordNotFound","description":"Not found"}')


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 25),
    sort=st.sampled_from(["", "id", "-id", "updated_at", "-updated_at", "status", "-status"]),
)
def test_10_2_by_cursor_forwards_and_back(desk: Desk, size: int, sort: str) -> None:
    """Following links.next gives every ticket once; following links.prev from the end gives them once more."""
    target = f"{V2}/tickets?page[size]={size}" + (f"&sort={sort}" if sort else "")
    forwards, last_page, last = list[int](), list[int](), ""
    while target:
        page = desk.page(target)
        forwards += ids(page)
        if ids(page):
            last_page, last = ids(page), page["links"]["prev"]
        target = local(page["links"]["next"] or "")
        assert page["meta"]["has_more"] == (len(forwards) < len(ALIVE)) or not target
    assert sorted(forwards) == ALIVE
    if sort in ("", "id", "-id"):
        assert forwards == (ALIVE[::-1] if sort == "-id" else ALIVE)
    backwards, target = last_page, local(last)
    while target:
        page = desk.page(target)
        backwards = [*ids(page), *backwards]
        target = local(page["links"]["prev"] or "")
    assert backwards == forwards


@pytest.mark.parametrize("per_page", [1, 4, 15, 100])
def test_10_2_by_offset(desk: Desk, per_page: int) -> None:
    """Following next_page gives every ticket once; previous_page leads back; count is that of all."""
    target, found, number = f"{V2}/tickets.json?per_page={per_page}", list[int](), 0
    while target:
        page = desk.page(target)
        number += 1
        found += ids(page)
        assert page["count"] == len(ALIVE)
        assert (page["previous_page"] is None) == (number == 1)
        target = local(page["next_page"] or "")
    assert found == ALIVE


def test_10_2_what_a_list_shows(desk: Desk) -> None:
    """A listed ticket lacks `fields`, a single one has them; deleted ones are not there."""
    assert "fields" not in desk.page(f"{V2}/tickets")["tickets"][0]
    assert "fields" in desk.page(f"{V2}/tickets/1")["ticket"]
    assert "fields" in desk.page(f"{V2}/tickets/show_many?ids=1")["tickets"][0]
    assert desk.ask(f"{V2}/tickets/3").status == 404
    assert desk.page(f"{V2}/tickets/count.json")["count"]["value"] == len(ALIVE)


def test_10_2_conditions_and_sideloads() -> None:
    """A list of tickets can be of one external id, support type, or since a time, and carries sideloads."""
    desk = Desk()
    desk.put("users", {"id": 5})
    desk.put(
        "tickets",
        *tickets(1, external_id="a b", requester_id=5),
        *tickets(2, second=NOON - 10, support_type="ai_agent"),
    )
    assert ids(desk.page(f"{V2}/tickets?external_id=a%20b")) == [1]
    assert ids(desk.page(f"{V2}/tickets?support_type_scope=ai_agent")) == [2]
    assert ids(desk.page(f"{V2}/tickets?start_time={NOON - 10}")) == [2]
    page = desk.page(f"{V2}/tickets?include=users,comment_count&page[size]=1&external_id=a%20b")
    assert (ids(page, "users"), page["tickets"][0]["comment_count"]) == ([5], 0)
    assert ids(desk.page(f"{V2}/tickets/1?include=users"), "users") == [5]
    assert desk.ask(f"{V2}/tickets?start_time=x").status == 400
    assert desk.ask(f"{V2}/tickets?external_id=%00").status == 200


BAD = [
    ("page=1&page[size]=5", "InvalidPaginationParameter"),
    ("page[after]=x&page[before]=y", "InvalidPaginationParameter"),
    ("page[size]=0", "InvalidPaginationParameter"),
    ("page[size]=101", "InvalidPaginationParameter"),
    ("page[size]=x", "InvalidPaginationParameter"),
    ("page[after]=eA==", "InvalidPaginationParameter"),
    ("page=0", "InvalidPaginationParameter"),
    ("per_page=-1", "InvalidPaginationParameter"),
    ("sort=subject&page[size]=2", "InvalidPaginationParameter"),
    ("page=101", "InvalidPaginationDepth"),
    ("page=" + "9" * 40, "InvalidPaginationDepth"),
]


@pytest.mark.parametrize(("query", "code"), BAD)
def test_10_2_refused(desk: Desk, query: str, code: str) -> None:
    """Mixed styles, sizes out of range, cursors of another list and too deep pages are refused in the newer shape."""
    answer = desk.ask(f"{V2}/tickets?{query}")
    assert answer.status == 400
    assert b'{"errors":[{"code":"%s","title":' % code.encode() in answer.body


def test_10_2_a_cursor_of_another_order(desk: Desk) -> None:
    """A cursor belongs to its order; more than a hundred by number counts as a hundred."""
    cursor = desk.page(f"{V2}/tickets?page[size]=1")["meta"]["after_cursor"]
    assert desk.ask(f"{V2}/tickets?page[size]=1&sort=status&page[after]={quote(cursor)}").status == 400
    assert desk.page(f"{V2}/tickets?per_page=5000")["count"] == len(ALIVE)


@settings(deadline=None, max_examples=80)
@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
def test_any_list_cursor(desk: Desk, text: str) -> None:
    """Any text as a cursor of a list is a page or a refusal."""
    for name in ("after", "before"):
        assert desk.ask(f"{V2}/users?page[{name}]={quote(text)}&page[size]=2").status in (200, 400)


def test_show_many(desk: Desk) -> None:
    """Several at once, those missing left out; a hundred at most."""
    page = desk.page(f"{V2}/tickets/show_many.json?ids=2,1,3,999,2")
    assert (ids(page), page["count"], page["next_page"]) == ([1, 2], 2, None)
    assert ids(desk.page(f"{V2}/users/show_many?ids=9,1"), "users") == [1, 9]
    answer = desk.ask(f"{V2}/tickets/show_many?ids={','.join(map(str, range(1, 102)))}")
    assert (answer.status, b'"max_count":100' in answer.body) == (400, True)
    for bad in ("", "x", "1;2", "1,,x"):
        assert desk.ask(f"{V2}/tickets/show_many?ids={bad}").status == 400


def test_what_belongs_to_a_ticket() -> None:
    """Audits, comments oldest first or newest, the metric set and tags; none of a deleted ticket."""
    desk = Desk()
    desk.put("tickets", *tickets(1, tags=["a", "b"]), *tickets(2, status="deleted"))
    events = [{"id": n, "type": "Comment", "public": True, "body": str(n)} for n in (21, 22)]
    desk.put("audits", {"id": 20, "ticket_id": 1, "author_id": 1, "events": events})
    desk.put(
        "audits", {"id": 30, "ticket_id": 1, "events": [{"id": 31, "type": "Comment"}, {"id": 32, "type": "Change"}]}
    )
    desk.put("ticket_metrics", {"id": 77, "ticket_id": 1})
    assert ids(desk.page(f"{V2}/tickets/1/audits.json"), "audits") == [20, 30]
    comments = desk.page(f"{V2}/tickets/1/comments")
    assert (ids(comments, "comments"), comments["count"]) == ([21, 22, 31], 3)
    assert comments["comments"][0]["audit_id"] == 20
    assert ids(desk.page(f"{V2}/tickets/1/comments?sort=-created_at&page[size]=2"), "comments") == [31, 22]
    assert ids(desk.page(f"{V2}/tickets/1/comments?sort_order=desc"), "comments") == [31, 22, 21]
    assert desk.page(f"{V2}/tickets/1/metrics")["ticket_metric"]["id"] == 77
    assert desk.page(f"{V2}/tickets/1/tags") == {"tags": ["a", "b"]}
    for what in ("audits", "comments", "metrics", "tags"):
        assert desk.ask(f"{V2}/tickets/2/{what}").status == desk.ask(f"{V2}/tickets/9/{what}").status == 404


def test_deleted_tickets() -> None:
    """Deleted tickets say who deleted them, when, and what they were before, as far as their audits tell."""
    desk = Desk()
    desk.put("tickets", *tickets(1, status="deleted", subject="x"), *tickets(2), *tickets(3, status="deleted"))
    changes = [
        {"id": n, "type": "Change", "field_name": "status", "value": v} for n, v in ((11, "solved"), (12, "deleted"))
    ]
    desk.put("audits", {"id": 10, "ticket_id": 1, "author_id": 1, "events": changes})
    first, second = desk.page(f"{V2}/deleted_tickets.json")["deleted_tickets"]
    assert (first["id"], first["subject"], first["actor"]["id"], first["previous_state"]) == (1, "x", 1, "solved")
    assert (second["id"], second["actor"]["name"]) == (3, "System")


def test_6_1_users_me(desk: Desk) -> None:
    """users/me is the caller; a stranger, or a wrong password, is the anonymous user; a wrong token is a 401."""
    assert desk.page(f"{V2}/users/me.json")["user"]["email"] == "admin@example.com"
    for wrong in (None, basic("admin@example.com:wrong"), "Nonsense"):
        user = desk.page(f"{V2}/users/me", authorization=wrong)["user"]
        assert (user["id"], user["name"], user["email"]) == (None, "Anonymous user", "invalid@example.com")
    assert desk.ask(f"{V2}/users/me", authorization=basic("admin@example.com/token:wrong")).status == 401
    assert desk.ask(f"{V2}/users/me", authorization="Bearer wrong").status == 401


def test_6_1_what_connectors_ask_first(desk: Desk) -> None:
    """The token, for tap-zendesk; the settings, for Airbyte."""
    token = desk.page(f"{V2}/oauth/tokens/current.json")["token"]
    assert (token["expires_at"], token["scopes"], token["user_id"]) == (None, ["read"], 1)
    assert desk.page(f"{V2}/account/settings.json")["settings"]["active_features"]["ticket_forms"] is True


@pytest.mark.parametrize(
    ("path", "agent", "end_user"),
    [
        ("/tickets", 200, 403),
        ("/tickets/1", 200, 403),
        ("/users", 200, 403),
        ("/deleted_tickets", 200, 403),
        ("/brands", 403, 403),
        ("/incremental/tickets/cursor?start_time=0", 403, 403),
        ("/users/me", 200, 200),
        ("/oauth/tokens/current", 200, 200),
        ("/channels/voice/phone_numbers", 403, 403),
    ],
)
def test_6_2_who_may(desk: Desk, path: str, agent: int, end_user: int) -> None:
    """Exports are for admins, lists for agents too, and an end user may know who they are."""
    assert desk.ask(V2 + path, authorization="Bearer agent-token").status == agent
    assert desk.ask(V2 + path, authorization="Bearer end-token").status == end_user


def test_6_3_a_feature_that_is_missing(desk: Desk) -> None:
    """The telephone is no part of this help desk: the refusal of a plan that lacks it, which connectors know."""
    answer = desk.ask(f"{V2}/channels/voice/phone_numbers.json")
    assert (answer.status, b"Access to this resource is restricted." in answer.body) == (403, True)


def test_tags() -> None:
    """Tags of recently changed tickets, the most used first."""
    desk = Desk()
    old = NOON - 61 * 86_400
    desk.put("tickets", *tickets(1, 2, tags=["a"]), *tickets(3, tags=["b", "a"]), *tickets(4, tags=["old"], second=old))
    desk.put("tickets", *tickets(5, status="deleted", tags=["gone"]))
    desk.now += 2
    assert desk.page(f"{V2}/tags.json")["tags"] == [{"name": "a", "count": 3}, {"name": "b", "count": 1}]
    assert desk.page(f"{V2}/tags?page[size]=1")["meta"]["has_more"] is True


def test_search() -> None:
    """A search knows the type and times; what it does not know it refuses."""
    desk = Desk()
    desk.put("users", *({"id": 10 + n, "updated_at": f"2020-01-0{n}T00:00:00Z"} for n in range(1, 6)))
    desk.put("tickets", *tickets(1, updated_at="2020-01-03T00:00:00Z", created_at="2019-01-01T00:00:00Z"))
    between = quote("type:user updated>2020-01-01T00:00:00Z updated<=2020-01-03")
    page = desk.page(f"{V2}/search.json?query={between}")
    assert (ids(page, "results"), page["count"]) == ([12, 13], 2)
    assert page["results"][0]["result_type"] == "user"
    assert desk.page(f"{V2}/search/count?query={between}") == {"count": 2}
    assert ids(desk.page(f"{V2}/search?query={quote('created:2019-01-01 type:ticket')}"), "results") == [1]
    second = desk.page(f"{V2}/search?per_page=1&page=2&query={between}")
    assert (ids(second, "results"), second["next_page"]) == ([13], None)
    assert desk.page(f"{V2}/search?query={quote('type:user status:open')}")["results"] == []
    for query in ("colour:red", "type:entry", "updated>soon", "tags>a"):
        answer = desk.ask(f"{V2}/search?query={quote(query)}")
        assert (answer.status, b"InvalidValue" in answer.body) == (400, True)
    assert desk.ask(f"{V2}/search?query={between}&page[size]=2").status == 400
