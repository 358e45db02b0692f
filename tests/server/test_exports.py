"""The exports beside that of tickets by cursor: their envelopes, where their pages end, and that nothing is missed."""

import gzip
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.desk import NOON, Desk, closing_stores, ids, tickets
from tests.server.test_usage_tracker import consumers
from ticketfeed.protocol import paging
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.history_input import audit_of_ticket_event
from ticketfeed.settings import Settings

API = "/api/v2/incremental"
SECOND = NOON - 5000


def at(second: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def filled(seconds: list[int], kind: str = "tickets", settings: Settings | None = None) -> Desk:
    """One record for each second, with ids from 1."""
    desk = Desk(settings)
    if kind == "tickets":
        desk.put(kind, *({"id": id, "generated_timestamp": second} for id, second in enumerate(seconds, 1)))
    elif kind == "audits":
        desk.put(kind, *({"id": id, "ticket_id": 1, "created_at": at(s)} for id, s in enumerate(seconds, 1)))
    elif kind == "ticket_metric_events":
        event = {"ticket_id": 1, "metric": "reply_time", "instance_id": 1, "type": "activate"}
        desk.put(kind, *({"id": id, "time": at(s), **event} for id, s in enumerate(seconds, 1)))
    else:
        desk.put(kind, *({"id": id + 100, "updated_at": at(s)} for id, s in enumerate(seconds, 1)))
    desk.now += 2
    return desk


def walk_by_time(desk: Desk, path: str, name: str, per_page: int) -> list[int]:
    """Follows `next_page` until the end of the stream, as clients do."""
    target, found = f"{API}/{path}?start_time=0&per_page={per_page}", list[int]()
    for _ in range(200):
        page = desk.page(target)
        assert page["count"] == len(page[name])
        found += ids(page, name)
        if page["end_of_stream"]:
            return found
        target = page["next_page"].partition("acme.localhost")[2]
    raise AssertionError("it never came to an end")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(SECOND, SECOND + 6), max_size=40), st.integers(1, 12))
def test_9_walking_by_time_misses_nothing(seconds: list[int], per_page: int) -> None:
    """Whatever seconds tickets share, and however small the pages, a walk by time ends and gives every ticket."""
    with closing_stores():
        found = set(walk_by_time(filled(seconds), "tickets.json", "tickets", per_page))
    assert found == set(range(1, len(seconds) + 1))


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("users", "users", "users"),
        ("organizations.json", "organizations", "organizations"),
        ("ticket_events", "audits", "ticket_events"),
        ("ticket_metric_events.json", "ticket_metric_events", "ticket_metric_events"),
    ],
)
@pytest.mark.parametrize("per_page", [1, 2, 3, 50])
def test_9_other_exports_miss_nothing(path: str, kind: str, name: str, per_page: int) -> None:
    """Users, organizations and events by time: every record, same seconds or not."""
    desk = filled([SECOND, SECOND, SECOND, SECOND + 1, SECOND + 3, SECOND + 3, SECOND + 9], kind)
    offset = 100 if kind in ("users", "organizations") else 0
    assert set(walk_by_time(desk, path, name, per_page)) - {1 if offset else 0} == {id + offset for id in range(1, 8)}


def test_9_a_page_of_one_second_is_whole() -> None:
    """A page within one second holds all of it, beyond per_page, and goes on at the second after."""
    desk = filled([SECOND] * 7 + [SECOND + 5])
    page = desk.page(f"{API}/tickets.json?start_time=0&per_page=1")
    assert (ids(page), page["count"], page["end_time"]) == ([1, 2, 3, 4, 5, 6, 7], 7, SECOND + 1)
    assert page["end_of_stream"] is False


def test_9_a_page_may_end_within_a_second() -> None:
    """A full page of several seconds ends where it is full: the next one begins with that second again."""
    desk = filled([SECOND, SECOND + 1, SECOND + 1, SECOND + 1])
    first = desk.page(f"{API}/tickets.json?start_time=0&per_page=2")
    assert (ids(first), first["end_time"], first["end_of_stream"]) == ([1, 2], SECOND + 1, False)
    second = desk.page(f"{API}/tickets.json?start_time={first['end_time']}&per_page=4")
    assert (ids(second), second["end_of_stream"]) == ([2, 3, 4], True)


def test_9_next_page_is_never_null() -> None:
    """next_page is there on the last page and on an empty one, with its parameters by name."""
    desk = filled([SECOND])
    page = desk.page(f"{API}/tickets.json?start_time=0&per_page=5&include=users,x&exclude_deleted=true")
    assert page["end_of_stream"] is True
    base = "http://acme.localhost/api/v2/incremental/tickets.json"
    kept = "exclude_deleted=true&include=users%2Cx&per_page=5"
    assert page["next_page"] == f"{base}?{kept}&start_time={SECOND + 1}"
    empty = desk.page(f"{API}/tickets.json?start_time={SECOND + 1}")
    assert (empty["tickets"], empty["count"], empty["end_time"]) == ([], 0, SECOND + 1)
    assert empty["next_page"] == f"{base}?start_time={SECOND + 1}"


def test_9_start_time_is_inclusive_and_needed() -> None:
    """Records of the very second of start_time are given; without start_time it is an error, also with a cursor."""
    desk = filled([SECOND - 1, SECOND, SECOND + 1])
    assert ids(desk.page(f"{API}/tickets?start_time={SECOND}")) == [2, 3]
    answer = desk.ask(f"{API}/tickets?cursor=MTY5NTA2MjcyNC4wfHwxNTcxfA==")
    assert (answer.status, b"Parameter start_time is required" in answer.body) == (400, True)


def test_9_a_text_as_start_time() -> None:
    """Of a start_time by time the leading digits count: connectors send dates, and are answered."""
    assert filled([SECOND], "organizations").page(f"{API}/organizations?start_time=2026-01-31T12:00:00Z")["count"] == 1
    assert filled([SECOND]).ask(f"{API}/tickets?start_time=soon").status == 400


def test_9_filters_and_sideloads_by_time() -> None:
    """The time-based export of tickets knows the filters and sideloads of the one by cursor."""
    desk = Desk()
    desk.put("users", {"id": 50})
    desk.put(
        "tickets",
        {"id": 1, "generated_timestamp": SECOND, "requester_id": 50},
        {"id": 2, "generated_timestamp": SECOND, "status": "deleted"},
        {"id": 3, "generated_timestamp": SECOND, "support_type": "ai_agent"},
    )
    page = desk.page(f"{API}/tickets?start_time=0&include=users,metric_sets&exclude_deleted=true")
    assert (ids(page), ids(page, "users"), page["metric_sets"]) == ([1], [50], [])
    assert list(page)[-4:] == ["count", "end_of_stream", "next_page", "end_time"]
    assert ids(desk.page(f"{API}/tickets?start_time=0&support_type_scope=all")) == [1, 2, 3]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(SECOND, SECOND + 6), max_size=30), st.integers(1, 9))
def test_9_users_by_cursor_miss_nothing(seconds: list[int], per_page: int) -> None:
    """A walk behind the cursor gives every user once, by time and id; its cursor has the form of the tickets'."""
    with closing_stores():
        walk_users(filled(seconds, "users"), seconds, per_page)


def walk_users(desk: Desk, seconds: list[int], per_page: int) -> None:
    target, found = f"{API}/users/cursor.json?start_time=0&per_page={per_page}", list[int]()
    while True:
        page = desk.page(target)
        found += ids(page, "users")
        if page["users"]:
            assert decode_cursor(page["after_cursor"]).id == found[-1]
            assert parse_qs(urlsplit(page["after_url"]).query)["per_page"] == [str(per_page)]
        if page["end_of_stream"]:
            break
        target = f"{API}/users/cursor.json?cursor={page['after_cursor']}&per_page={per_page}&start_time=0"
    assert [id for id in found if id != 1] == [
        id + 100 for id, _ in sorted(enumerate(seconds, 1), key=lambda p: (p[1], p[0]))
    ]
    assert desk.page(f"{API}/users/cursor?cursor={page['after_cursor']}")["after_cursor"] is None if found else True


@pytest.mark.parametrize("path", ["users/cursor", "users", "users/sample"])
def test_deleted_users_say_whether_it_is_for_good(path: str) -> None:
    """In the exports alone; active users have no such key."""
    desk = Desk()
    desk.put("users", {"id": 2}, {"id": 3, "active": False}, {"id": 4, "name": 'x"active":false'})
    desk.put("users", {"id": 5, "active": False})
    desk.send("DELETE", "/deleted_users/5")
    desk.now += 2
    flags = {user["id"]: user.get("permanently_deleted") for user in desk.page(f"{API}/{path}?start_time=0")["users"]}
    assert flags == {1: None, 2: None, 3: False, 4: None, 5: True}
    assert "permanently_deleted" not in desk.send("GET", "/users/3")["user"]


@pytest.mark.parametrize("path", ["users/cursor", "users", "organizations"])
def test_9_more_than_a_thousand_users_is_an_error(path: str) -> None:
    """Users and organizations answer 400 to per_page above 1000, where tickets give a thousand."""
    desk = filled([SECOND])
    assert desk.ask(f"{API}/{path}?start_time=0&per_page=1001").status == 400
    assert desk.ask(f"{API}/{path}?start_time=0&per_page=1000").status == 200
    assert desk.ask(f"{API}/tickets?start_time=0&per_page=2000").status == 200


def test_9_organizations_have_no_cursor() -> None:
    """There is no cursor form of the organizations, and their records say deleted_at."""
    desk = filled([SECOND], "organizations")
    assert desk.ask(f"{API}/organizations/cursor?start_time=0").status == 404
    assert desk.page(f"{API}/organizations?start_time=0")["organizations"][0]["deleted_at"] is None


def events_desk() -> Desk:
    desk = Desk()
    events: list[dict[str, Any]] = [
        {"id": 11, "type": "Comment", "public": False, "body": "secret", "author_id": 7},
        {"id": 12, "type": "Create", "field_name": "status", "value": "new"},
        {"id": 13, "type": "Change", "field_name": "priority", "value": "high", "previous_value": None},
    ]
    via = {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}}
    desk.put(
        "audits",
        {"id": 10, "ticket_id": 3, "author_id": 7, "created_at": at(SECOND), "events": events, "via": via},
    )
    desk.now += 2
    return desk


def test_9_ticket_events() -> None:
    """A ticket event is an audit with its children; the text of comments is not in it."""
    (event,) = events_desk().page(f"{API}/ticket_events.json?start_time=0")["ticket_events"]
    children = event.pop("child_events")
    assert {key: event[key] for key in ("id", "ticket_id", "timestamp", "updater_id", "via", "event_type")} == {
        "id": 10,
        "ticket_id": 3,
        "timestamp": SECOND,
        "updater_id": 7,
        "via": "Mail",
        "event_type": "Audit",
    }
    assert [child["event_type"] for child in children] == ["Comment", "Create", "Change"]
    assert (children[0]["comment_present"], children[0]["comment_public"], "body" in children[0]) == (
        True,
        False,
        False,
    )
    assert (children[1]["status"], children[2]["priority"], children[2]["previous_value"]) == ("new", "high", None)


def test_9_comment_events() -> None:
    """With include=comment_events the comments are whole, with time and channel; next_page asks for them again."""
    page = events_desk().page(f"{API}/ticket_events?start_time=0&include=comment_events")
    event = page["ticket_events"][0]
    comment, *_ = event["child_events"]
    assert comment["body"] == "secret"
    assert comment["created_at"] == event["created_at"]
    assert comment["via"] == {"channel": "email", "source": {"from": {}, "to": {}, "rel": None}}
    kept, *_ = msgspec.json.decode(audit_of_ticket_event(msgspec.json.encode(event)))["events"]
    assert kept == {key: comment[key] for key in comment if key not in ("created_at", "event_type", "via_reference_id")}
    assert "include=comment_events" in page["next_page"]


def test_9_metric_events_by_cursor() -> None:
    """With page[size] the metric events come in pages behind a cursor, up to a thousand at once."""
    desk = filled([SECOND + n // 2 for n in range(9)], "ticket_metric_events")
    target, found = f"{API}/ticket_metric_events?start_time=0&page[size]=2", list[int]()
    while target:
        page = desk.page(target)
        found += ids(page, "ticket_metric_events")
        target = page["links"]["next"].partition("acme.localhost")[2] if page["meta"]["has_more"] else ""
    assert found == list(range(1, 10))
    assert len(desk.page(f"{API}/ticket_metric_events?start_time=0&page[size]=1000")["ticket_metric_events"]) == 9
    assert desk.ask(f"{API}/ticket_metric_events?page[size]=2").status == 400
    assert desk.ask(f"{API}/ticket_metric_events?start_time=0&page[size]=1001").status == 400
    assert desk.ask(f"{API}/ticket_metric_events?start_time=0&page[before]=x&page[size]=2").status == 400


@pytest.mark.parametrize("path", ["tickets", "users", "organizations", "ticket_events"])
def test_9_samples_hold_at_most_fifty(path: str) -> None:
    """A sample gives fifty records at most, and is otherwise the export by time."""
    kind = "audits" if path == "ticket_events" else path
    desk = filled([SECOND + n for n in range(60)], kind)
    page = desk.page(f"{API}/{path}/sample.json?start_time=0&per_page=100")
    assert (page["count"], page["end_of_stream"]) == (50, False)


def test_2_6_the_last_minute_is_left_out_everywhere() -> None:
    """In the zendesk profile no export gives the last minute, and next_page can be asked for at once."""
    rules = Settings.of_profile("zendesk", incremental_exports=0, incremental_exports_cursor=0)
    for path, kind in (("tickets", "tickets"), ("users", "users"), ("ticket_events", "audits")):
        desk = filled([NOON - 58, NOON - 57], kind, rules)
        page = desk.page(f"{API}/{path}?start_time=0")
        assert page["count"] == 1
        assert desk.ask(page["next_page"].partition("acme.localhost")[2]).status == 200
        assert desk.ask(f"{API}/{path}?start_time={desk.now - 10}").status == 400


def test_admins_only() -> None:
    """An agent may read lists, but no export."""
    desk = filled([SECOND])
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    for path in ("tickets", "users/cursor", "ticket_events", "tickets/sample"):
        assert desk.ask(f"{API}/{path}?start_time=0", authorization="Bearer agent-token").status == 403
    assert desk.ask("/api/v2/tickets", authorization="Bearer agent-token").status == 200


# Four of these take a page beyond its bytes, with what else stands in a ticket.
PAGE_BYTES = 40_000
LARGE = "x" * (PAGE_BYTES // 4)


@pytest.mark.parametrize(("coding", "query"), [("gzip", ""), ("identity", "&include=users,comment_count")])
@patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES)
def test_pages_of_large_tickets_end_early(coding: str, query: str) -> None:
    """A walk over large tickets gets each of them once, page by page, also from the cache and with sideloads."""
    desk = Desk()
    desk.put("tickets", *({"id": id, "generated_timestamp": SECOND + id, "description": LARGE} for id in range(1, 10)))
    desk.now += 2
    for _ in range(2):
        target, pages, is_end = f"{API}/tickets/cursor.json?start_time=0{query}", list[list[int]](), False
        while not is_end:
            answer = desk.ask(target, headers=[("Accept-Encoding", coding)])
            page = msgspec.json.decode(gzip.decompress(answer.body) if coding == "gzip" else answer.body)
            pages.append(ids(page))
            is_end = page["end_of_stream"]
            target = page["after_url"].partition("acme.localhost")[2]
        assert pages == [[1, 2, 3, 4], [5, 6, 7, 8], [9]]
    assert walk_by_time(desk, "tickets.json", "tickets", 1000) == [1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9]


@pytest.mark.parametrize("kind", ["tickets", "users"])
@patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES)
def test_pages_with_large_sideloads_end_early(kind: str) -> None:
    """A page of small records whose sideloads are large ends early, and has at least one; a walk has all of them."""
    desk = Desk()
    desk.put("organizations", *({"id": id, "name": str(id), "notes": LARGE * 2} for id in range(1, 9)))
    desk.put("organizations", {"id": 9, "name": "9", "notes": LARGE * 9})
    when = "2020-01-01T00:00:0{}Z"
    desk.put(kind, *({"id": 10 + id, "organization_id": id, "updated_at": when.format(id)} for id in range(1, 10)))
    desk.now += 2
    target, pages = f"{API}/{kind}/cursor.json?start_time=0&include=organizations", list[tuple[list[int], list[int]]]()
    while True:
        page = desk.page(target)
        pages.append(([id for id in ids(page, kind) if id > 10], ids(page, "organizations")))
        if page["end_of_stream"]:
            break
        target = page["after_url"].partition("acme.localhost")[2]
    assert [id for found, _ in pages for id in found] == [*range(11, 20)]
    assert all(len(beside) <= 2 for _, beside in pages)
    assert len(pages) >= 5


def test_large_pages_of_cached_fragments() -> None:
    """A page that is larger than smaller ones, which are cached, ends early as well."""
    desk = Desk()
    desk.put("tickets", *tickets(*range(1, 151), second=SECOND))
    desk.now += 2
    size = len(desk.ask(f"{API}/tickets/cursor.json?start_time=0&per_page=50").body)
    with patch.object(paging, "PAGE_BYTES_MAX", size * 2):
        target, smaller = f"{API}/tickets/cursor.json?start_time=0&per_page=50", list[int]()
        for _ in range(3):
            page = desk.page(target)
            smaller += ids(page)
            target = f"{API}/tickets/cursor.json?cursor={page['after_cursor']}&per_page=50"
        assert smaller == [*range(1, 151)]
        page = desk.page(f"{API}/tickets/cursor.json?start_time=0&per_page=150")
    assert ids(page) == [*range(1, len(page["tickets"]) + 1)]
    assert 50 < len(page["tickets"]) < 150


@patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES)
def test_9_a_large_second_is_streamed() -> None:
    """A second beyond the bytes of a page is sent whole, in parts, with the sideloads of all of its tickets."""
    desk = Desk()
    desk.put("users", {"id": 7, "name": "Ada"}, {"id": 8, "name": "Bo"})
    large = ({"id": id, "description": LARGE, "requester_id": 7 + id % 2} for id in range(1, 10))
    desk.put("tickets", *({**ticket, "generated_timestamp": SECOND} for ticket in large))
    desk.now += 2
    target = f"{API}/tickets.json?start_time=0&include=users,comment_count"
    answer = desk.ask(target, headers=[("Accept-Encoding", "gzip")])
    assert "content-length" not in answer.headers
    page = msgspec.json.decode(gzip.decompress(answer.body))
    assert (ids(page), page["count"], page["end_time"]) == ([*range(1, 10)], 9, SECOND + 1)
    assert {user["id"] for user in page["users"]} >= {7, 8}
    assert [ticket["comment_count"] for ticket in page["tickets"]] == [0] * 9
    assert page["end_of_stream"] is True
    assert [consumer.pages for consumer in consumers(desk)] == [1]
