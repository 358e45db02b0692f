"""A page on the wire: envelope, continuation, filters, sideloads, the withheld minute."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.server.desk import ALL, NOON, PATH, Desk, ids, tickets
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.model import Position
from ticketfeed.settings import Settings


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_both_path_forms(suffix: str) -> None:
    """Both forms of the path answer alike, and after_url has the form that was asked."""
    desk = Desk()
    desk.put("tickets", *tickets(1, 2))
    page = desk.page(f"{PATH}{suffix}?start_time=0")
    assert ids(page) == [1, 2]
    assert page["after_url"] == f"http://acme.localhost{PATH}{suffix}?cursor=MTY5OTk5OTAwMC4wfHwyfA%3D%3D"


def test_envelope() -> None:
    """The envelope has exactly the wire's keys in their order, and end_of_stream is a real boolean."""
    desk = Desk()
    desk.put("tickets", *tickets(1, 2))
    page = desk.page(f"{ALL}&per_page=1&include=groups,users")
    assert list(page) == [
        *("tickets", "groups", "users"),
        *("after_url", "before_url", "after_cursor", "before_cursor", "end_of_stream"),
    ]
    assert page["end_of_stream"] is False
    assert page["before_url"] is page["before_cursor"] is None
    assert page["after_cursor"] == encode_cursor(Position(NOON - 1000, 1))


def test_empty_page() -> None:
    """An empty page has null for all four addresses and ends the stream."""
    page = Desk().page()
    assert page == {
        "tickets": [],
        "after_url": None,
        "before_url": None,
        "after_cursor": None,
        "before_cursor": None,
        "end_of_stream": True,
    }


@pytest.mark.parametrize("per_page", [1, 2, 3, 5, 6, 7, 2000])
def test_walk_by_after_url(per_page: int) -> None:
    """Following after_url gives every ticket once, in order; an exactly full last page already says the end."""
    desk, seen, asked = Desk(), [], 0
    desk.put("tickets", *tickets(5, 2, 9), *tickets(1, 3, 8, second=NOON - 900))
    page = desk.page(f"{ALL}&per_page={per_page}")
    while True:
        seen += ids(page)
        asked += 1
        if page["end_of_stream"]:
            break
        url = urlsplit(page["after_url"])
        page = desk.page(f"{url.path}?{url.query}")
    assert seen == [2, 5, 9, 1, 3, 8]
    assert asked == -(-6 // per_page)


def test_polling() -> None:
    """The kept cursor, asked again and again, gives nothing until something changed, and then that alone."""
    desk = Desk()
    desk.put("tickets", *tickets(1, 2))
    cursor = desk.page()["after_cursor"]
    assert [ids(desk.page(f"{PATH}?cursor={cursor}")) for _ in range(2)] == [[], []]
    desk.put("tickets", {"id": 1})
    assert ids(desk.page(f"{PATH}?cursor={cursor}")) == []  # its second is still open
    desk.now += 1
    assert ids(desk.page(f"{PATH}?cursor={cursor}")) == [1]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("start_time=0&per_page=1", {"per_page": "1"}),
        ("start_time=0&per_page=2000", {"per_page": "2000"}),
        ("include=users%2Cgroups&start_time=0", {"include": "users,groups"}),
        ("start_time=0&exclude_deleted=true&support_type_scope=all&utm=x&cursor=undefined", {}),
        ("start_time=0&include=&exclude_deleted=&per_page=&support_type_scope=", {}),
        ("start_time=0&include=%22%26%3D%23%F0%9F%99%82%FF+x", {}),
        ("start_time=0&per_page=1&per_page=2", {"per_page": "2"}),
    ],
)
def test_after_url_keeps_filters(query: str, kept: dict[str, str]) -> None:
    """after_url repeats the filters that were sent, by alphabet, drops all else, and can be asked."""
    desk = Desk()
    desk.put("tickets", *tickets(1, 2, 3))
    url = urlsplit(desk.page(f"{PATH}?{query}")["after_url"])
    pairs = parse_qsl(url.query)
    names = [name for name, _ in pairs]
    assert names == sorted(set(names))
    assert set(names) <= {"cursor", "exclude_deleted", "include", "per_page", "support_type_scope"}
    assert kept.items() <= dict(pairs).items()
    desk.page(f"{url.path}?{url.query}")


@pytest.mark.parametrize(
    ("public_url", "scheme", "host", "base"),
    [
        (None, "http", "acme.localhost:8080", "http://acme.localhost:8080"),
        (None, "https", "ACME.zendesk.com", "https://ACME.zendesk.com"),
        (None, "http", "[::1]:9", "http://[::1]:9"),
        ("https://t.example.com/", "http", "127.0.0.1", "https://t.example.com"),
        ("https://{account}.example.com/base", "http", "127.0.0.1", "https://acme.example.com/base"),
    ],
)
def test_after_url_host(public_url: str | None, scheme: str, host: str, base: str) -> None:
    """after_url stands on the caller's scheme and host, or on the public address."""
    desk = Desk(Settings(public_url=public_url))
    desk.put("tickets", *tickets(1))
    assert desk.page(ALL, scheme=scheme, host=host)["after_url"].startswith(f"{base}{PATH}?cursor=")


def test_sideloads() -> None:
    """Asked arrays stand there, each record once and by id, present when empty; what is unknown is ignored."""
    desk = Desk()
    desk.put("users", *({"id": id, "name": f"u{id}", "active": id != 30} for id in (30, 20, 10, 99)))
    desk.put("groups", {"id": 7, "name": "g", "deleted": True})
    ticket = {"requester_id": 30, "submitter_id": 20, "group_id": 7}
    desk.put("tickets", *tickets(1, 2, **ticket), *tickets(3, assignee_id=10, collaborator_ids=[20, 404]))
    page = desk.page(f"{ALL}&include=%20users%20,groups,organizations,users,last_audits,comment_events,,x%00")
    assert [ids(page, kind) for kind in ("users", "groups", "organizations")] == [[10, 20, 30], [7], []]
    assert not {"last_audits", "comment_events", "", "x\0"} & set(page)
    assert not {"users", "groups"} & set(desk.page())
    assert desk.page(f"{ALL}&cursor={page['after_cursor']}&include=users")["users"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 4]),
        ("&support_type_scope=agent", [1, 2, 4]),
        ("&support_type_scope=ai_agent", [3]),
        ("&support_type_scope=all", [1, 2, 3, 4]),
        ("&exclude_deleted=true", [1, 4]),
        ("&exclude_deleted=TRUE&support_type_scope=all", [1, 3, 4]),
        ("&exclude_deleted=false", [1, 2, 4]),
        ("&exclude_deleted=maybe", [1, 2, 4]),
    ],
)
def test_filters(query: str, expected: list[int]) -> None:
    """exclude_deleted and support_type_scope choose the tickets; one that says no support type is an agent's."""
    desk = Desk()
    ai, deleted = {"support_type": "ai_agent"}, {"status": "deleted"}
    desk.put("tickets", *tickets(1), *tickets(2, **deleted), *tickets(3, **ai), *tickets(4, support_type="agent"))
    assert ids(desk.page(ALL + query)) == expected


def test_filters_scan_on() -> None:
    """However many tickets a filter leaves out in a row, no page is empty before the end of the stream."""
    desk = Desk()
    deleted = tickets(*range(2, 300), status="deleted")
    desk.put("tickets", *tickets(1), *deleted, *tickets(300, 301), *tickets(400, status="deleted"))
    page = desk.page(f"{ALL}&exclude_deleted=true&per_page=1")
    walked = [page]
    while not page["end_of_stream"]:
        page = desk.page(f"{PATH}?cursor={page['after_cursor']}&exclude_deleted=true&per_page=1")
        walked.append(page)
    assert [ids(page) for page in walked] == [[1], [300], [301]]


def test_settle_seconds() -> None:
    """In the zendesk profile the last minute is withheld, to the second, and a change in it is late, not lost."""
    desk = Desk(Settings.of_profile("zendesk"))
    desk.put("tickets", *tickets(1, second=NOON - 61), *tickets(2, second=NOON - 60), *tickets(3, second=NOON - 59))
    page = desk.page()
    assert (ids(page), page["end_of_stream"]) == ([1, 2], True)
    desk.now += 1
    assert ids(desk.page(f"{PATH}?cursor={page['after_cursor']}")) == [3]


@pytest.mark.parametrize(("start_time", "status"), [("0", 200), ("-60", 200), ("-60.9", 200), ("-59", 400), ("9", 400)])
def test_start_time_margin(start_time: str, status: int) -> None:
    """The zendesk profile refuses a start_time less than a minute ago, now minus 60 s passing, and no cursor."""
    desk = Desk(Settings.of_profile("zendesk"))
    sent = start_time if start_time == "0" else f"{NOON + int(start_time.split('.')[0])}" + start_time[3:]
    assert desk.ask(f"{PATH}?start_time={sent}").status == status
    assert desk.ask(f"{PATH}?start_time={sent}&cursor={encode_cursor(Position(NOON * 2, 1))}").status == 200
    assert Desk().ask(f"{PATH}?start_time={sent}").status == 200
