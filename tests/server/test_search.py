"""Searches over the wire: their envelopes, orders, limits and cursors."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.engines import HTTP_ENGINES
from tests.server.desk import Desk, closing_stores, tickets, use_engine

V2 = "/api/v2"


@pytest.fixture(params=HTTP_ENGINES)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    use_engine(request.param)
    with closing_stores():
        desk = Desk()
        desk.put("organizations", {"id": 3, "name": "Acme Inc", "external_id": "o3"}, {"id": 4, "name": "Acme"})
        desk.put(
            "users", {"id": 7, "name": "Ann Smith", "email": "ann@x.org", "organization_id": 3, "external_id": "u7"}
        )
        desk.put("users", {"id": 8, "name": "Joanna Ann", "email": "jo@x.org"})
        desk.put("tickets", *tickets(1, 2, 3, subject="Paper jam", assignee_id=7, organization_id=3, status="open"))
        yield desk
    use_engine("memory")


def found(desk: Desk, address: str, key: str = "results") -> list[int]:
    return [each["id"] for each in desk.page(f"{V2}{address}")[key]]


def test_names_and_me(desk: Desk) -> None:
    """People and organizations are found by id, email and name, `me` is who asks, and unknown names find nothing."""
    for value in ("7", "ann@x.org", "ann", '"Ann Smith"', "nobody assignee:7"):
        assert found(desk, f"/search?query={quote('assignee:' + value)}") == [1, 2, 3], value
    for value in ("me", "nobody", "none", '"Smith Ann"'):
        assert found(desk, f"/search?query={quote('assignee:' + value)}") == [], value
    named = quote('organization:"acme inc"')
    assert found(desk, f"/search?query={named}") == [1, 2, 3, 7]


def test_envelope_and_order(desk: Desk) -> None:
    """Results tell their type; facets, count and links are there; `sort_by` and the query's own order are used."""
    page = desk.page(f"{V2}/search.json?query={quote('jam type:ticket')}&per_page=2&sort_by=created_at&sort_order=asc")
    assert [(each["id"], each["result_type"]) for each in page["results"]] == [(1, "ticket"), (2, "ticket")]
    assert (page["facets"], page["count"], page["previous_page"]) == (None, 3, None)
    assert "page=2" in page["next_page"]
    desk.send("PUT", "/tickets/2", {"ticket": {"priority": "urgent"}})
    assert found(desk, f"/search?query={quote('type:ticket')}&sort_by=priority") == [2, 1, 3]
    assert found(desk, f"/search?query={quote('type:ticket order_by:priority sort:asc')}") == [1, 3, 2]
    desk.send("DELETE", "/tickets/2", expect=204)
    assert found(desk, "/search?query=jam") == [1, 3]


def test_limit_of_results(desk: Desk) -> None:
    """No page goes beyond the thousandth result; the error is the one that clients look for."""
    assert desk.ask(f"{V2}/search?query=jam&page=10").status == 200
    for pages in ("page=11", "page=101&per_page=10"):
        answer = desk.ask(f"{V2}/search?query=jam&{pages}")
        assert (answer.status, b"Search Response Limits" in answer.body) == (422, True)
    assert desk.ask(f"{V2}/search?query=jam&sort_by=colour").status == 400
    names = " ".join(f"assignee:n{number}" for number in range(21))
    assert desk.ask(f"{V2}/search?query={quote(names)}").status == 400


def test_export(desk: Desk) -> None:
    """An export walks everything by cursor, once; its type is a parameter and not part of the query."""
    seen: list[int] = []
    address = f"/search/export.json?query=jam&{quote('filter[type]')}=ticket&page[size]=2"
    page = desk.page(f"{V2}{address}")
    seen += [each["id"] for each in page["results"]]
    assert (page["meta"]["has_more"], page["links"]["prev"], page["facets"]) == (True, None, None)
    after = quote(page["meta"]["after_cursor"])
    page = desk.page(f"{V2}{address}&page[after]={after}")
    seen += [each["id"] for each in page["results"]]
    assert (seen, page["meta"]["has_more"], page["results"][0]["result_type"]) == ([1, 2, 3], False, "ticket")
    for rest in (
        "query=jam",
        "query=jam&filter[type]=entry",
        "query=type:ticket&filter[type]=ticket",
        "query=order_by:status&filter[type]=ticket",
        "query=jam&filter[type]=ticket&page[size]=1001",
        "query=jam&filter[type]=ticket&page[after]=x",
        f"query=jam&filter[type]=ticket&page[before]={after}",
        "query=jam&filter[type]=ticket&page=2",
    ):
        assert desk.ask(f"{V2}/search/export?{rest}").status == 400, rest


def test_users_and_organizations(desk: Desk) -> None:
    """They are searched by query, external id or whole name, and completed from the beginning of a word."""
    assert found(desk, "/users/search?query=ann", "users") == [7, 8]
    assert found(desk, f"/users/search?query={quote('organization:3')}", "users") == [7]
    assert found(desk, f"/users/search?query={quote('type:ticket')}", "users") == []
    assert found(desk, "/users/search?external_id=u7", "users") == [7]
    assert found(desk, f"/users/autocomplete?name={quote('ann sm')}", "users") == [7]
    assert found(desk, "/organizations/search?name=ACME", "organizations") == [4]
    assert found(desk, "/organizations/search?external_id=o3", "organizations") == [3]
    assert found(desk, "/organizations/autocomplete?name=ac", "organizations") == [3, 4]
    page = desk.page(f"{V2}/users/search?query=ann&per_page=1")
    assert (page["count"], "result_type" in page["users"][0]) == (2, False)
    for bad in ("users/autocomplete?name=a", "users/autocomplete", "users/search", "organizations/search"):
        assert desk.ask(f"{V2}/{bad}").status == 400, bad
