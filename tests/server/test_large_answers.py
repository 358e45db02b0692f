"""Lists, searches and sideloads of records that take more than the bytes of a page."""

import gzip
from itertools import chain
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from tests.server.desk import NOON, Desk, tickets
from ticketfeed.protocol import paging

V2 = "/api/v2"
LARGE = "fat " * 200
PAGE_BYTES = 2500
USERS = [*range(11, 20)]
# Addresses whose answers are the same, however large: by offset, by ids, and those that lead back in time.
WHOLE = [
    "tickets.json?per_page=8",
    "tickets?page=2&per_page=3&sort_by=updated_at&sort_order=desc",
    "tickets?include=users,groups,metric_sets,dates,comment_count",
    "tickets/show_many?ids=9,2,1,5,77,3,8&include=users,slas",
    "tickets/recent",
    "tickets/1/audits",
    "tickets/1/audits?filter_via=web&sort_order=desc&include=users,tickets",
    "tickets/1/comments?include=users",
    "tickets/1/comments?sort_order=desc&per_page=3&page=2",
    "tickets/1/collaborators",
    "tickets/2/incidents",
    "problems?per_page=4",
    "deleted_tickets",
    "deleted_tickets?sort_by=subject",
    "requests?sort_by=updated_at",
    "requests/1/comments",
    "ticket_audits?page=1&include=users,tickets",
    "users?per_page=7&include=organizations,identities,groups",
    "users?role=end-user&per_page=100",
    f"users/show_many?ids={','.join(map(str, USERS))}",
    "users/show_many?external_ids=x11,x12,x13,x14",
    "users/search?query=user",
    "users/autocomplete?name=user",
    "users/11/tickets/requested",
    "users/11/tickets/ccd",
    "users/11/organizations",
    "users/11/identities",
    "organizations/7/users",
    "organizations/7/users?role=end-user",
    "organizations/7/organization_memberships?include=users",
    "macros/active",
    "search?query=fat",
    "search?query=type:ticket&sort_by=updated_at&per_page=4",
    "satisfaction_ratings?include=tickets,users",
]
# Address -> the key of its records. A page with a cursor ends early, and a walk has them all the same.
WALKS = {
    "tickets?page[size]=7": "tickets",
    "tickets?page[size]=100&sort=-updated_at": "tickets",
    "tickets/1/audits?page[size]=5": "audits",
    "tickets/1/comments?page[size]=5&sort=-created_at": "comments",
    "users?page[size]=6&role=end-user": "users",
    "organizations/7/users?page[size]=100": "users",
    "deleted_tickets?page[size]=2&sort=subject": "deleted_tickets",
    "search/export?query=fat&filter[type]=ticket&page[size]=1000": "results",
}


@pytest.fixture
def fat_desk() -> Desk:
    """Nine tickets, nine users, nine audits of the first ticket, each a third of a page; and one that fits in none."""
    desk = Desk()
    desk.put("organizations", {"id": 7, "name": "Org", "notes": LARGE})
    of_user = {"name": "user fat", "role": "end-user", "notes": LARGE, "organization_id": 7}
    desk.put("users", *({"id": id, "email": f"u{id}@example.com", "external_id": f"x{id}", **of_user} for id in USERS))
    members = [{"id": id, "user_id": id, "organization_id": 7, "group_id": 5} for id in USERS]
    desk.put("organization_memberships", *members)
    desk.put("groups", {"id": 5, "name": LARGE})
    desk.put("group_memberships", *members)
    fat: dict[str, Any] = {"description": LARGE, "requester_id": 11, "tags": ["a"], "collaborator_ids": USERS}
    for id in range(1, 10):
        more = {"type": "problem"} if id % 2 else {"type": "incident", "problem_id": 2}
        desk.put("tickets", *tickets(id, second=NOON - id, **fat, **more))
    desk.put("tickets", *tickets(10, second=NOON - 10, description=LARGE * 20))
    for id in range(20, 25):
        desk.put("tickets", *tickets(id, status="deleted", subject=f"s{-id}", description=LARGE))
    for id in range(100, 1000, 100):
        comment = {"id": id + 1, "type": "Comment", "public": True, "body": LARGE, "author_id": 11 + id // 100 % 9}
        desk.put("audits", {"id": id, "ticket_id": 1, "author_id": 11, "via": {"channel": "web"}, "events": [comment]})
    desk.put("macros", *({"id": id, "title": LARGE, "active": True} for id in range(1, 10)))
    rating = {"score": "good", "requester_id": 11, "comment": LARGE}
    desk.put("satisfaction_ratings", *({"id": id, "ticket_id": id, **rating} for id in range(1, 10)))
    return desk


def parsed(desk: Desk, target: str, coding: str = "identity") -> Any:
    answer = desk.ask(f"{V2}/{target}", headers=[("Accept-Encoding", coding)])
    body = gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body
    return answer, msgspec.json.decode(body)


def test_large_answers(fat_desk: Desk) -> None:
    """An answer that takes more than a page has the records that it would have without that limit, whatever it lists.

    By cursor the page ends early. No read of the store, and nothing that is joined, is larger than a page and a record.
    """
    desk, streamed = fat_desk, set()
    for target in WHOLE:
        with patch.object(paging, "PAGE_BYTES_MAX", 10**9):
            plain, expected = parsed(desk, target)
        for coding in ("identity", "gzip"):
            with patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES):
                answer, found = parsed(desk, target, coding)
            assert (answer.status, found) == (200, expected), target
        if "content-length" not in answer.headers:
            streamed.add(target)
            assert "etag" not in answer.headers
        assert ("content-length" in answer.headers) == (len(plain.body) <= PAGE_BYTES), target
    assert len(streamed) > len(WHOLE) // 2
    for target, key in WALKS.items():
        with patch.object(paging, "PAGE_BYTES_MAX", 10**9):
            every = walk(desk, target, key)
        with patch.object(paging, "PAGE_BYTES_MAX", PAGE_BYTES):
            cut = walk(desk, target, key)
        assert list(chain.from_iterable(cut)) == list(chain.from_iterable(every)), target
        assert len(cut) > len(every), target


def walk(desk: Desk, target: str, key: str) -> list[list[int]]:
    """The ids on each page of a list by cursor."""
    pages = []
    while True:
        _, page = parsed(desk, target)
        pages.append([record["id"] for record in page[key]])
        if not page["meta"]["has_more"]:
            return pages
        target = page["links"]["next"].partition(f"{V2}/")[2]
