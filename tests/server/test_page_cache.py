"""A cached page is answered like one that is not, and only for as long as it is valid."""

import asyncio
import gzip
import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from tests.server.desk import ADMIN, NOON, PATH, Desk, basic, ids, tickets
from ticketfeed.export.fragments import FragmentCache
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings

OWN = {"x-request-id", "x-runtime", "content-length"}


@pytest.fixture(autouse=True)
def _short_fragments() -> Iterator[None]:
    with patch.object(FragmentCache, "fragment_tickets", 4):
        yield


def shown(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """The part of an answer that must be the same with and without a cache."""
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    headers = {name: value for name, value in answer.headers.items() if name not in OWN}
    assert len(answer.body) == int(answer.headers["content-length"])
    headers.pop("content-encoding", None)  # small answers are not compressed without a cache
    return answer.status, headers, body


@pytest.mark.parametrize("seed", range(12))
def test_the_same_answer(seed: int) -> None:
    """A second server of the same store without a cache returns the same: every answer, header by header, while tickets
    change, are deleted and created, seconds close, and the store is fenced."""
    chance, desk = random.Random(seed), Desk()
    uncached = create_app(Settings(page_cache_mib=0), desk.store, lambda: desk.now)
    desk.put(
        "tickets",
        *(t for n in range(60) for t in tickets(n + 1, second=NOON - 500 + n // 3, requester_id=100 + n % 10)),
    )
    targets = [f"{PATH}?start_time={NOON - 500 + at}&per_page={limit}" for at in (0, 3, 9) for limit in (4, 7, 20)]
    targets += [f"{targets[2]}&exclude_deleted=true", f"{PATH}?start_time=0&support_type_scope=all&include=users"]
    targets += [f"{target}&include=users,groups" for target in targets[1:5]] + [f"{targets[1]}&include=comment_count"]
    desk.put("users", *({"id": id, "name": f"User {id}"} for id in range(100, 110)))
    codings = [(), (("Accept-Encoding", "gzip"),)]
    for _ in range(150):
        step = chance.random()
        if step < 0.2:
            status = chance.choice(["open", "deleted"])
            desk.put("tickets", *tickets(*chance.sample(range(1, 70), 2), status=status, subject=str(step)))
        elif step < 0.3:
            desk.now += chance.choice([1, 2, 40])
        elif step < 0.34:
            desk.put("users", {"id": chance.randrange(100, 110), "name": f"Renamed {step}"})
        elif step < 0.36:
            asyncio.run(desk.store.fence(desk._account("acme"), 0))
        asked = chance.choice(targets)
        method, headers = chance.choice(["GET", "GET", "HEAD"]), chance.choice(codings)
        given = {"method": method, "headers": [*headers, ("Authorization", ADMIN)]}
        mine, other = (
            asyncio.run(call_app(app, asked, host="acme.localhost", **given))  # type: ignore[arg-type]
            for app in (desk.app, uncached)
        )
        assert shown(mine) == shown(other)


def test_a_repeated_request() -> None:
    """The second answer has the bytes of the first, a request id of its own, and the store is not read for it."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    first = desk.ask(target)
    with patch.object(desk.store, "read_changes", side_effect=AssertionError("read again")):
        again = desk.ask(target)
    assert shown(again) == shown(first)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_the_last_page_is_not_cached() -> None:
    """A page at the end of the stream is made again, although its tickets are cached: new ones may follow it."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(8) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    assert [desk.page(target)["end_of_stream"] for _ in range(2)] == [True, True]
    desk.put("tickets", {"id": 9})
    desk.now += 2
    page = desk.page(target)
    assert (ids(page), page["end_of_stream"]) == ([1, 2, 3, 4, 5, 6, 7, 8], False)


def test_a_changed_ticket() -> None:
    """A page without a ticket that has moved on is made again."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    assert [ids(desk.page(target)) for _ in range(2)] == [[1, 2, 3, 4, 5, 6, 7, 8]] * 2
    desk.put("tickets", {"id": 3, "subject": "changed"})
    assert ids(desk.page(target)) == [1, 2, 4, 5, 6, 7, 8, 9]


def test_a_changed_sideload() -> None:
    """A page that shows a user is made again once any user has changed."""
    desk = Desk()
    desk.put("users", {"id": 7, "name": "Ann"})
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n, requester_id=7)))
    target = f"{PATH}?start_time=0&per_page=8&include=users"
    assert [desk.page(target)["users"][0]["name"] for _ in range(2)] == ["Ann", "Ann"]
    desk.put("users", {"id": 7, "name": "Anna"})
    assert desk.page(target)["users"][0]["name"] == "Anna"


def test_credentials_are_checked_each_time() -> None:
    """A token that is revoked, and a role that is taken away, lose access to pages, cached or not."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    desk.put("users", {"id": 77, "email": "ann@example.com", "role": "admin"})
    credential = desk.grant(77, "ann-token")
    target, ann = f"{PATH}?start_time=0&per_page=8", basic("ann@example.com/token:ann-token")
    assert [desk.ask(target, authorization=ann).status for _ in range(2)] == [200, 200]
    desk.put("users", {"id": 77, "email": "ann@example.com", "role": "agent"})
    assert desk.ask(target, authorization=ann).status == 403
    desk.put("users", {"id": 77, "email": "ann@example.com", "role": "admin"})
    assert [desk.ask(target, authorization=ann).status for _ in range(2)] == [200, 200]
    desk.revoke(credential)
    assert desk.ask(target, authorization=ann).status == 401
    assert desk.ask(target, authorization=None).status == 401
    assert desk.ask(target).status == 200


def test_a_second_account() -> None:
    """A host that named the only account names none when there are two, whatever is cached."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    assert [desk.ask(target, host="feed.example").status for _ in range(2)] == [200, 200]
    asyncio.run(desk.store.create_account("other"))
    desk.put("users", {"id": 50})
    assert desk.ask(target, host="feed.example").status == 404
    assert desk.ask(target).status == 200


def test_cached_pages_count_against_rate_limits() -> None:
    """With rate limits, a request for a cached page counts like any other."""
    desk = Desk(Settings(incremental_exports=3))
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    assert [desk.ask(f"{PATH}?start_time=0&per_page=8").status for _ in range(5)] == [200, 200, 200, 429, 429]


@pytest.mark.parametrize(
    "bound", ["ticketfeed.export.page_cache.PAGES_MAX", "ticketfeed.export.fragments.SEGMENTS_MAX"]
)
def test_the_cache_is_bounded(bound: str) -> None:
    """Pages and segments are bounded in number; the oldest is removed first, and made again when it is requested."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(40) for t in tickets(n + 1, second=NOON - 500 + n)))
    targets = [f"{PATH}?start_time={NOON - 500 + n}&per_page=8" for n in range(10)]
    with patch(bound, 5):
        pages = [desk.page(target) for target in targets]
        assert [desk.page(target) for target in targets] == pages
        cache = desk.app.state.service.exports._cache
        fragments = cache._fragments
        if "PAGES_MAX" in bound:
            assert len(cache._pages) == 5
        else:
            assert fragments._segments <= 5
        assert sum(1 + len(fragment.slices) for _, fragment in fragments._oldest) == fragments._segments
