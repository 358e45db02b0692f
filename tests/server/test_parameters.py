"""The table of query parameters: each used one has an effect, each refused one is refused, others are ignored."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.desk import NOON, Desk, ids, tickets
from ticketfeed.protocol.record_list import FILTERS, ORDERS
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.server.api.parameters import PARAMETERS, RECORD_PARAMETERS
from ticketfeed.server.api.routes import API_ROUTES

V2 = "/api/v2"
FORM = {"active": True, "end_user_visible": True, "in_all_brands": False}
AGENT = {"assignee_id": 11, "group_id": 51}
COMMENT = {"id": 1, "type": "Comment", "author_id": 12}
RECORDS: dict[str, list[dict[str, Any]]] = {
    "organizations": [{"id": 41, "external_id": "o-1"}, {"id": 42}],
    "users": [
        {"id": 11, "role": "agent", "organization_id": 41, "custom_role_id": 7, "external_id": "u-11", "name": "Zoe"},
        {"id": 12, "role": "end-user", "organization_id": 42, "external_id": "u-12", "name": "Ann"},
        {"id": 13, "role": "admin", "name": "mia"},
        {"id": 14, "role": "agent", "active": False, "external_id": "u-14"},
    ],
    "groups": [{"id": 51}, {"id": 52, "deleted": True}, {"id": 53}],
    "group_memberships": [
        {"id": 61, "user_id": 11, "group_id": 51},
        {"id": 62, "user_id": 11, "group_id": 53},
        {"id": 63, "user_id": 13, "group_id": 53},
    ],
    "organization_memberships": [{"id": 141, "user_id": 11, "organization_id": 41}],
    "identities": [
        {"id": 151, "user_id": 11, "type": "phone_number", "value": "+1"},
        {"id": 152, "user_id": 14, "type": "phone_number", "value": "+2"},
    ],
    "brands": [{"id": 71, "subdomain": "acme"}, {"id": 72, "is_deleted": True}, {"id": 73, "default": True}],
    "ticket_fields": [{"id": 81}, {"id": 82, "creator_user_id": 11}],
    "ticket_forms": [
        {"id": 91, **FORM, "default": True, "ticket_field_ids": [82], "restricted_brand_ids": [73]},
        {"id": 92, **FORM, "end_user_visible": False, "ticket_field_ids": [81, 82], "restricted_brand_ids": [71]},
        {"id": 93, **FORM, "active": False, "restricted_brand_ids": [73]},
    ],
    "custom_statuses": [
        {"id": 101, "status_category": "open", "default": True},
        {"id": 102, "status_category": "hold", "active": False},
        {"id": 103, "status_category": "pending"},
    ],
    "macros": [
        {"id": 111, "title": "Orders::late", "position": 2, "created_at": "2020-01-02T00:00:00Z"},
        {"id": 112, "title": "b", "active": False, "restriction": {"type": "Group", "id": 51, "ids": [51]}},
        {"id": 113, "title": "A", "position": 1, "restriction": {"type": "User", "id": 11}},
        {"id": 114, "title": "c", "position": 9, "restriction": "odd", "active": "odd"},
    ],
    "satisfaction_ratings": [
        {"id": 121, "ticket_id": 1, "score": "good", "comment": "x", "created_at": "2020-01-03T00:00:00Z"},
        {"id": 122, "ticket_id": 2, "score": "bad", "created_at": "2020-01-01T00:00:00Z", **AGENT},
        {"id": 123, "ticket_id": 1, "score": "offered", "created_at": "2020-01-02T00:00:00Z", "requester_id": 12},
    ],
    "audits": [
        {"id": 131, "ticket_id": 1, "author_id": 12, "via": {"channel": "web"}, "events": [COMMENT]},
        {"id": 132, "ticket_id": 1, "author_id": 11, "events": [{"id": 2, "type": "Change"}]},
        {"id": 133, "ticket_id": 2, "events": []},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def desk() -> Desk:
    """Two tickets and a few records of each kind, among them odd ones."""
    desk = Desk()
    for kind, records in RECORDS.items():
        desk.put(kind, *records)
    desk.put(
        "tickets",
        *tickets(1, organization_id=41, group_id=51, subject="b", external_id="t-1"),
        *tickets(2, organization_id=42, group_id=53, subject="a"),
        *tickets(3, 4, status="deleted", subject="z"),
        *tickets(5, status="deleted", subject="Q", second=NOON - 2000),
    )
    return desk


SECOND = 1577923200  # 2020-01-02
LISTS: list[tuple[str, list[int]]] = [
    ("users?role=agent", [11]),
    ("users?role[]=agent&role[]=end-user", [11, 12]),
    ("users?role[]=agent,admin", [1, 11, 13]),
    ("users?permission_set=7", [11]),
    ("users?external_id=u-12", [12]),
    ("users?external_id=none", []),
    ("users?role=agent&external_id=u-12", []),
    ("users?sort=-name", [11, 13, 12, 1]),
    ("users?sort=-id", [13, 12, 11, 1]),
    ("users?role[]=agent&role[]=admin&sort=-id", [13, 11, 1]),
    ("groups?x=1", [51, 53]),
    ("groups?exclude_deleted=true", [51, 53]),
    ("groups?exclude_deleted=false", [51, 52, 53]),
    ("brands?x=1", [71, 73]),
    ("brands?include_deleted=true", [71, 72, 73]),
    ("ticket_forms?active=true", [91, 92]),
    ("ticket_forms?active=false", [93]),
    ("ticket_forms?end_user_visible=true", [91, 93]),
    ("ticket_forms?associated_to_brand=true", [92]),
    ("ticket_forms?associated_to_brand=false", [91, 92, 93]),
    ("ticket_forms?associated_to_brand=true&fallback_to_default=true", [91]),
    ("ticket_forms?end_user_visible=true&fallback_to_default=true", [91, 93]),
    ("ticket_forms/show_many?ids=92,93&active=true", [92]),
    ("ticket_forms/show_many?ids=92,93&fallback_to_default=true", [91]),
    ("ticket_forms/show_many?ids=999&fallback_to_default=true", [91]),
    ("custom_statuses?active=false", [102]),
    ("custom_statuses?default=true", [101]),
    ("custom_statuses?status_categories=open,hold", [101, 102]),
    ("macros?active=false", [112]),
    ("macros?access=personal", [113]),
    ("macros?access=shared", [111, 112, 114]),
    ("macros?access=group", [112]),
    ("macros?group_id=51", [112]),
    ("macros?category=Orders", [111]),
    ("macros?sort_by=alphabetical", [113, 112, 114, 111]),
    ("macros?sort_by=position&sort_order=desc", [114, 111, 113, 112]),
    ("macros?sort=created_at", [111, 112, 113, 114]),
    ("satisfaction_ratings?score=received", [121, 122]),
    ("satisfaction_ratings?score=good_with_comment", [121]),
    ("satisfaction_ratings?score=bad_without_comment", [122]),
    ("satisfaction_ratings?score=offered", [123]),
    (f"satisfaction_ratings?start_time={SECOND}", [121, 123]),
    (f"satisfaction_ratings?end_time={SECOND}", [122, 123]),
    (f"satisfaction_ratings?start_time={SECOND}&end_time={SECOND}", [123]),
    ("satisfaction_ratings?sort=-created_at", [121, 123, 122]),
    ("satisfaction_ratings?sort_by=created_at&sort_order=asc", [122, 123, 121]),
    ("users/show_many?external_ids=u-12,u-11,none,u-14", [11, 12]),
    ("users/show_many?ids=14,12", [12, 14]),
    ("organizations/show_many?external_ids=o-1", [41]),
    ("tickets?external_id=t-1", [1]),
    ("tickets/1/audits?filter_events[]=Comment", [131]),
    ("tickets/1/audits?filter_events[]=Change&filter_events[]=Comment", [131, 132]),
    ("tickets/1/audits?filter_via=web", [131]),
    ("tickets/1/audits?sort=-created_at", [132, 131]),
    ("ticket_audits?page=1&sort=-created_at", [133, 132, 131]),
    ("tickets/1/audits?sort_order=desc", [132, 131]),
    ("deleted_tickets?sort_by=subject", [5, 3, 4]),
    ("deleted_tickets?sort_by=deleted_at&sort_order=desc", [4, 3, 5]),
]


@pytest.mark.parametrize(("target", "expected"), LISTS)
def test_filters_and_orders(desk: Desk, target: str, expected: list[int]) -> None:
    """A filter or an order of a list does the same in both forms of pages, whatever their size."""
    key = "audits" if "audits" in target else target.partition("?")[0].partition("/")[0]
    assert ids(desk.page(f"{V2}/{target}"), key) == expected
    if "show_many" in target:
        return
    assert desk.page(f"{V2}/{target}")["count"] == len(expected)
    target = target.replace("page=1&", "")
    assert ids(desk.page(f"{V2}/{target}&page=2&per_page=1"), key) == expected[1:2]
    found, page = list[int](), desk.page(f"{V2}/{target}&page[size]=1")
    while ids(page, key):
        found += ids(page, key)
        page = desk.page(page["links"]["next"].partition("acme.localhost")[2])
    assert found == expected


@pytest.mark.parametrize(
    ("target", "count"),
    [("users/count?role=agent", 1), ("users/count?role[]=agent&role[]=admin", 3), ("users/count?permission_set=7", 1),
     ("groups/count?exclude_deleted=false", 3), ("users/count", 4), ("users/count?external_id=u-12", 4)],
)  # fmt: skip
def test_counts(desk: Desk, target: str, count: int) -> None:
    """A count has the filters of its list that are documented for it; a handler gets no others."""
    assert desk.page(f"{V2}/{target}")["count"]["value"] == count


def test_parts_of_records() -> None:
    """A ticket can be without its second `fields`; inline images are attachments of a comment only if asked for."""
    desk = Desk()
    desk.put("tickets", *tickets(1))
    images = [{"id": 1, "inline": True}, {"id": 2, "inline": False}]
    desk.put("audits", {"id": 20, "ticket_id": 1, "events": [{**COMMENT, "attachments": images}]})
    for value, has_fields in (("true", False), ("false", True)):
        ticket = desk.page(f"{V2}/tickets/1?remove_duplicate_fields={value}")["ticket"]
        assert ("fields" in ticket, "custom_fields" in ticket) == (has_fields, True)
    for query, shown in (("", [2]), ("?include_inline_images=false", [2]), ("?include_inline_images=true", [1, 2])):
        assert ids(desk.page(f"{V2}/tickets/1/comments{query}")["comments"][0], "attachments") == shown


SIDELOADS: list[tuple[str, dict[str, list[int]]]] = [
    ("users?include=organizations,groups", {"organizations": [41, 42], "groups": [51, 53]}),
    ("users/11?include=organizations", {"organizations": [41]}),
    ("users/show_many?ids=12,13&include=groups", {"groups": [53]}),
    ("groups?include=users", {"users": [11, 13]}),
    ("groups/51?include=users", {"users": [11]}),
    ("group_memberships?include=users,groups", {"users": [11, 13], "groups": [51, 53]}),
    ("users?include=identities", {"identities": [1, 151]}),
    ("users/14?include=identities", {"identities": [152]}),
    ("users/11/group_memberships?include=groups", {"groups": [51, 53]}),
    ("organization_memberships?include=users,organizations", {"users": [11], "organizations": [41]}),
    ("organizations/41/users?include=organizations,identities", {"organizations": [41], "identities": [151]}),
    ("ticket_forms?include=ticket_fields", {"ticket_fields": [81, 82]}),
    ("ticket_forms/91?include=ticket_fields", {"ticket_fields": [82]}),
    ("ticket_fields?include=users", {"users": [11]}),
    ("satisfaction_ratings?include=users,tickets", {"users": [11, 12], "tickets": [1, 2]}),
    ("satisfaction_ratings/122?include=groups", {"groups": [51]}),
    ("ticket_audits?include=users,tickets", {"users": [11, 12], "tickets": [1, 2]}),
    ("ticket_audits?include=groups,organizations", {"groups": [51, 53], "organizations": [41, 42]}),
    ("tickets/1/audits?include=users,organizations", {"users": [11, 12], "organizations": [41]}),
    ("tickets/1/comments?include=users,unknown", {"users": [12]}),
    ("incremental/users/cursor?start_time=0&include=organizations", {"organizations": [41, 42]}),
    ("incremental/users?start_time=0&include=groups,organizations", {"groups": [51, 53], "organizations": [41, 42]}),
    ("incremental/users/cursor?start_time=0&include=identities", {"identities": [1, 151, 152]}),
    ("organizations?include=unknown", {}),
]


@pytest.mark.parametrize(("target", "arrays"), SIDELOADS)
def test_sideloads(desk: Desk, target: str, arrays: dict[str, list[int]]) -> None:
    """Lists and single records have their sideloads beside them, each record once; unknown names are ignored."""
    desk.now = NOON + 5  # past the second of the last change
    page = desk.page(f"{V2}/{target}")
    assert {name: ids(page, name) for name in arrays} == arrays
    assert "unknown" not in page
    assert set(arrays).isdisjoint(desk.page(f"{V2}/{re.sub('include=[a-z_,]*', '', target)}"))
    desk.now = NOON


def test_sideloads_of_a_page(desk: Desk) -> None:
    """An array is of the records on the page alone, and is there when it is empty."""
    page = desk.page(f"{V2}/users?include=organizations,groups&page[size]=1&sort=-id")
    assert (ids(page, "users"), ids(page, "organizations"), ids(page, "groups")) == ([13], [], [53])


def test_older_pages_of_audits(desk: Desk) -> None:
    """Without a page, /ticket_audits goes from the newest back in time by before_url, and after_url leads forward."""
    page, found = desk.page(f"{V2}/ticket_audits.json?limit=1"), list[int]()
    assert (page["after_url"], page["after_cursor"], "count" in page) == (None, None, False)
    while True:
        found += ids(page, "audits")
        if page["before_url"] is None:
            break
        page = desk.page(page["before_url"].partition("acme.localhost")[2])
    assert (found, page["before_cursor"]) == ([133, 132, 131], None)
    while page["after_url"]:
        page = desk.page(page["after_url"].partition("acme.localhost")[2])
        found += ids(page, "audits")
    assert found == [133, 132, 131, 132, 133]
    assert ids(desk.page(f"{V2}/ticket_audits"), "audits") == [131, 132, 133]
    assert ids(desk.page(f"{V2}/ticket_audits?sort_by=created_at&sort_order=desc&limit=2"), "audits") == [133, 132]
    for bad in ("limit=0", "limit=x", "cursor=x", "cursor=eA==", "cursor=fDEuMHx8MXw="):
        assert desk.ask(f"{V2}/ticket_audits?{bad}").status == 400


def test_pages_of_jobs() -> None:
    """The list of jobs has pages by cursor, too."""
    desk = Desk()
    for _ in range(3):
        desk.send("DELETE", "/users/destroy_many?ids=999")
    assert desk.page(f"{V2}/job_statuses")["count"] == 3
    page, found = desk.page(f"{V2}/job_statuses?page[size]=2"), list[str]()
    assert page["meta"]["has_more"] is True
    while page["job_statuses"]:
        found += ids(page, "job_statuses")  # type: ignore[arg-type]
        page = desk.page(page["links"]["next"].partition("acme.localhost")[2])
    assert found == [job["id"] for job in desk.page(f"{V2}/job_statuses")["job_statuses"]]
    assert page["links"] == {"prev": None, "next": None}


@pytest.mark.parametrize(
    "target",
    [
        "users?role=boss", "users?role[]=agent,boss", "users?permission_set=x", "macros?active=maybe",
        "macros?access=all", "macros?group_id=x", "custom_statuses?status_categories=closed",
        "satisfaction_ratings?score=great", "satisfaction_ratings?start_time=soon", "satisfaction_ratings?end_time=-1",
        "satisfaction_ratings?sort=score", "groups?exclude_deleted=x", "brands?include_deleted=x",
        "ticket_forms?associated_to_brand=x", "ticket_forms?fallback_to_default=x",
        "tickets/1?remove_duplicate_fields=x", "tickets/1/comments?include_inline_images=x",
        "users/show_many?external_ids=,", "users/show_many?ids[]=1", "users?include[0]=groups", "users?page[number]=2",
        "users?role[][]=agent", "search/export?query=a&filter[type]=user&filter[type][]=group", "tickets?sort_by[]=id",
        "users/show_many?external_ids=" + ",".join(map(str, range(101))),
    ],
)  # fmt: skip
def test_bad_values(desk: Desk, target: str) -> None:
    """A value that a filter cannot take is refused."""
    assert desk.ask(f"{V2}/{target}").status == 400


def _targets(names: str) -> Iterator[tuple[str, str, str]]:
    for route in API_ROUTES:
        for row in getattr(route, names):
            name, _, value = row.partition("=")
            path = f"{V2}{route.template.replace('{id}', '1')}"
            yield route.method, f"{path}?start_time=0&ids=1&query=type:user&{quote(name)}={value or 'x'}", row


def test_refused_and_ignored(desk: Desk) -> None:
    """Each refused parameter is answered with 400 that names it; an ignored one, or an unknown one, changes nothing."""
    for method, target, row in _targets("refused"):
        answer = desk.ask(target, method=method)
        assert (answer.status, f"{row} is not supported here".encode() in answer.body) == (400, True), target
    for _, target, row in _targets("ignored"):
        without = target.rpartition("&")[0]
        assert desk.ask(target).status == desk.ask(without).status == 200, row
        assert desk.page(target).keys() == desk.page(without).keys()
    assert desk.page(f"{V2}/users?unknown=1&utm_source=x") == desk.page(f"{V2}/users")


def test_rows_agree() -> None:
    """A row names no parameter twice, and the tables of filters and of parameters are of the same names."""
    for route in API_ROUTES:
        names = [*route.parameters, *route.refused, *route.ignored]
        assert len(set(names)) == len(names), route.path
        assert bool(route.includes) <= ("include" in route.parameters)
        assert all(row.partition("=")[0] in route.parameters for row in route.refused if "=" in row), route.path
    assert {name for route in API_ROUTES for name in route.parameters} == set(PARAMETERS)
    for kind, filters in FILTERS.items():
        assert set(filters) <= set(RECORD_PARAMETERS[kind])
    assert set(RECORD_SIDELOADS) - {"comments"} <= set(RESOURCES) == set(ORDERS)


def test_every_used_parameter_is_tried() -> None:
    """Each parameter and each sideload of a record's kind has a row above, so that it has an effect in a test."""
    tried = " ".join([*(target for target, _ in LISTS), *(target for target, _ in SIDELOADS)])
    used = {name for kind, names in RECORD_PARAMETERS.items() for name in names if kind != "audits"}
    assert [name for name in sorted(used) if f"{name}=" not in tried] == []
    for kind, names in RECORD_SIDELOADS.items():
        for name in names:
            rows = [arrays for target, arrays in SIDELOADS if kind in target.partition("?")[0]]
            assert any(name in arrays for arrays in rows), (kind, name)
