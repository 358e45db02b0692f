"""A page that is kept is answered like one that is not, and no longer than it is right."""

import asyncio
import gzip
import random
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from tests.server.desk import ADMIN, NOON, PATH, Desk, basic, tickets
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings

OWN = {"x-request-id", "x-runtime", "content-length"}


@pytest.fixture(autouse=True)
def _short_runs() -> Iterator[None]:
    with (
        patch("ticketfeed.server.api.exports.RUN_TICKETS", 4),
        patch("ticketfeed.export.assemble.RUN_TICKETS", 4),
        patch("ticketfeed.export.assemble.GAP_TICKETS", 6),
    ):
        yield


def told(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """What must be the same whoever answers."""
    body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
    headers = {name: value for name, value in answer.headers.items() if name not in OWN}
    assert len(answer.body) == int(answer.headers["content-length"])
    headers.pop("content-encoding", None)  # small answers are not compressed by those who keep nothing
    return answer.status, headers, body


@pytest.mark.parametrize("seed", range(12))
def test_the_same_answer(seed: int) -> None:
    """Beside a server of the same store that keeps nothing: every answer, header by header, while tickets change, are
    deleted and come, seconds close, and the store is fenced."""
    chance, desk = random.Random(seed), Desk()
    bumps_record_changes = create_app(Settings(page_cache_mib=0), desk.store, lambda: desk.now)
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
            for app in (desk.app, bumps_record_changes)
        )
        assert told(mine) == told(other)


def test_asked_again() -> None:
    """The second answer has the bytes of the first, an id of its own, and the store is not read for it."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    first = desk.ask(target)
    with patch.object(desk.store, "read_changes", side_effect=AssertionError("read again")):
        again = desk.ask(target)
    assert told(again) == told(first)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_credentials_are_checked_each_time() -> None:
    """A token that is revoked, and a role that is taken away, end what they could read, kept or not."""
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
    """A host that named the only account names none when there are two, whatever was kept."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    target = f"{PATH}?start_time=0&per_page=8"
    assert [desk.ask(target, host="localhost").status for _ in range(2)] == [200, 200]
    asyncio.run(desk.store.create_account("other"))
    desk.put("users", {"id": 50})
    assert desk.ask(target, host="localhost").status == 404
    assert desk.ask(target).status == 200


def test_requests_are_counted() -> None:
    """Where requests are limited, one that is kept counts like any other."""
    desk = Desk(Settings(incremental_exports=3))
    desk.put("tickets", *(t for n in range(20) for t in tickets(n + 1, second=NOON - 500 + n)))
    assert [desk.ask(f"{PATH}?start_time=0&per_page=8").status for _ in range(5)] == [200, 200, 200, 429, 429]


def test_an_answer_is_no_longer_kept() -> None:
    """What is kept is bounded; the oldest goes first, and is made again when asked for."""
    desk = Desk()
    desk.put("tickets", *(t for n in range(40) for t in tickets(n + 1, second=NOON - 500 + n)))
    targets = [f"{PATH}?start_time={NOON - 500 + n}&per_page=8" for n in range(10)]
    with (
        patch("ticketfeed.server.middleware.page_cache.READY_MAX", 3),
        patch("ticketfeed.export.fragments.PIECES_MAX", 5),
    ):
        pages = [desk.page(target) for target in targets]
        assert [desk.page(target) for target in targets] == pages
        service = desk.app.state.service
        assert len(service.ready) == 3
        assert service.runs._pieces <= 5
        assert sum(1 + len(run.clips) for _, run in service.runs._order) == service.runs._pieces
