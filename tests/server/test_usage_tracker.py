"""What the server notes of those who read from it."""

import asyncio
from typing import Any

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, ids, tickets
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.consumers import ANONYMOUS_REQUESTS_KEPT, CONSUMERS_MAX, REQUESTS_KEPT, Consumer, RequestRecord
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Position
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage.sqlite.store import SqliteStore

AGENT = [("User-Agent", "tap-zendesk/1.0")]


def desk_of(count: int = 10) -> Desk:
    desk = Desk()
    desk.put("tickets", *tickets(*range(1, count + 1)))
    return desk


def pass_on(desk: Desk) -> None:
    asyncio.run(desk.app.state.service.usage_tracker.flush())


def consumers(desk: Desk) -> list[Consumer]:
    pass_on(desk)
    return asyncio.run(desk.store.read_consumers(desk._account("acme")))


def requests(desk: Desk) -> list[RequestRecord]:
    pass_on(desk)
    return asyncio.run(desk.store.read_requests(desk._account("acme")))


def walk(desk: Desk, target: str, **asked: Any) -> None:
    while True:
        page = desk.page(target, **asked)
        if page["end_of_stream"]:
            return
        target = f"{PATH}?per_page=3&cursor={page['after_cursor']}"


def test_a_walk_is_one_consumer() -> None:
    """A walk of several pages is noted as one consumer that stands behind the last ticket, with no gap."""
    desk = desk_of()
    walk(desk, f"{ALL}&per_page=3", headers=AGENT)
    (found,) = consumers(desk)
    assert (found.email, found.user_agent, found.export) == ("admin@example.com", "tap-zendesk/1.0", "tickets/cursor")
    assert (found.pages, found.tickets, found.repeats, found.loops, found.gaps()) == (4, 10, 0, 0, [])
    assert found.position == Position(NOON - 1000, 10)
    assert found.end_of_stream


def test_large_pages_that_are_kept() -> None:
    """A page that is kept, and its answer that is ready the second time, are noted like any other."""
    desk = desk_of(300)
    for _ in range(3):
        desk.page(ALL)
    (found,) = consumers(desk)
    assert (found.pages, found.tickets, found.repeats) == (3, 900, 2)
    assert found.position == Position(NOON - 1000, 300)


def test_consumers_are_told_apart() -> None:
    """By credential, by user agent and by export."""
    desk = desk_of()
    desk.grant(1, "other-token")
    desk.ask(ALL, headers=AGENT)
    desk.ask(ALL)
    desk.ask(ALL, authorization="Bearer other-token")
    for path in ("users/cursor", "tickets", "users", "organizations", "ticket_events"):
        desk.ask(f"/api/v2/incremental/{path}?start_time=0")
    found = consumers(desk)
    desk.ask("/api/v2/incremental/ticket_metric_events?start_time=0&page[size]=5")
    assert "ticket_metric_events" in {one.export for one in consumers(desk)}
    assert len({(one.credential_id, one.user_agent, one.export) for one in found}) == len(found) == 8
    assert {one.export: one.kind for one in found if one.export != "tickets/cursor"} == {
        "users/cursor": "users",
        "tickets": "tickets",
        "users": "users",
        "organizations": "organizations",
        "ticket_events": "audits",
    }


def test_a_loop_and_a_repeat() -> None:
    """Who asks for the same page again and again is in a loop."""
    desk = desk_of()
    for _ in range(4):
        desk.ask(f"{ALL}&per_page=3")
    (found,) = consumers(desk)
    assert (found.is_looping, found.loops, found.repeats) == (True, 1, 3)


def test_a_gap() -> None:
    """Who goes on behind what it was given leaves a gap."""
    desk = desk_of()
    page = desk.page(f"{ALL}&per_page=3")
    walk(desk, f"{PATH}?cursor={page['after_cursor']}&per_page=3")
    desk.now += 100
    desk.ask(f"{PATH}?start_time={NOON}")
    (found,) = consumers(desk)
    assert found.gaps() == [(Position(NOON - 1000, 10), Position(NOON, -1))]


def test_a_refusal_is_the_last_error() -> None:
    """An export that is refused to a consumer is its last error. Who received nothing, and a stranger, is no consumer:
    neither of them can push out those that read."""
    desk = desk_of()
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    desk.ask(ALL)
    for number in range(CONSUMERS_MAX + 10):
        desk.ask(ALL, authorization="Bearer agent-token", headers=[("User-Agent", f"agent {number}")])
    desk.ask(f"{PATH}?cursor=nonsense")
    desk.ask(f"{PATH}?cursor=nonsense", headers=AGENT)
    desk.now += 1
    desk.ask(ALL, authorization=basic("admin@example.com/token:wrong"))
    (found,) = consumers(desk)
    assert (found.errors, found.last_error, found.pages) == (1, "400 InvalidCursor", 1)
    assert [note.status for note in requests(desk)][:4] == [401, 400, 400, 403]


def test_strangers_push_out_no_request() -> None:
    """However many requests come without credentials, those of users stay in the list."""
    desk = desk_of()
    desk.ask("/api/v2/tickets/1")
    desk.now += 1
    for _ in range(REQUESTS_KEPT + 1):
        desk.ask("/api/v2/tickets/1", authorization=None)
    found = requests(desk)
    assert [note.status for note in found] == [*[401] * ANONYMOUS_REQUESTS_KEPT, 200]


def test_samples_make_no_consumer() -> None:
    """Who looks at a sample, a ticket or a list reads no feed."""
    desk = desk_of()
    for path in ("incremental/tickets/sample?start_time=0", "tickets/1", "tickets", "users"):
        assert desk.ask(f"/api/v2/{path}").status == 200
    assert consumers(desk) == []


def test_requests_hold_no_secret() -> None:
    """Of a request everything is noted but its credentials, and nothing of its query that the log has not, too."""
    desk = desk_of()
    desk.ask(f"{ALL}&per_page=2&secret=hidden", headers=AGENT)
    desk.now += 1
    desk.ask(f"{ALL}&token=hidden", authorization=basic("admin@example.com/token:hidden"))
    desk.now += 1
    desk.ask("/api/v2/tickets/999.json")
    found = requests(desk)
    assert [(note.status, note.path, note.email) for note in found] == [
        (404, "/api/v2/tickets/999.json", "admin@example.com"),
        (401, PATH, ""),
        (200, PATH, "admin@example.com"),
    ]
    assert found[2].query == {"start_time": "0", "per_page": "2", "secret": "REDACTED"}
    assert "hidden" not in repr(found)
    assert ADMIN.removeprefix("Basic ") not in repr(found)


def test_head_is_no_page() -> None:
    """Who asks for the headers alone was given no page."""
    desk = desk_of()
    assert desk.ask(ALL, method="HEAD").status == 200
    assert consumers(desk) == []
    assert [note.method for note in requests(desk)] == ["HEAD"]


def test_filters() -> None:
    """Each set of filters is a consumer of its own, also where a request of it is refused."""
    desk = desk_of()
    desk.ask(f"{ALL}&support_type_scope=all")
    desk.ask(f"{ALL}&exclude_deleted=true")
    desk.ask(ALL)
    desk.ask(f"{PATH}?cursor=broken&exclude_deleted=true")
    desk.ask(f"{ALL}&support_type_scope=wrong")
    told = {one.reads: (one.pages, one.errors) for one in consumers(desk)}
    assert told == {
        "tickets/cursor, all": (1, 0),
        "tickets/cursor, not deleted": (1, 1),
        "tickets/cursor": (1, 1),
    }


def test_many_strangers_while_the_store_is_away() -> None:
    """What waits has a bound, whoever asks."""
    desk = desk_of()

    async def away(*_args: Any, **_options: Any) -> Any:
        raise StoreUnavailable("away")

    desk.store.record_usage = away
    for number in range(CONSUMERS_MAX + 50):
        desk.ask(f"{ALL}&per_page=1", headers=[("User-Agent", f"agent {number}")])
        if number % 50 == 0:
            pass_on(desk)
    (waiting,) = desk.app.state.service.usage_tracker._buffers.values()
    assert len(waiting.consumers) == CONSUMERS_MAX
    assert len(waiting.requests) == REQUESTS_KEPT


def test_an_unknown_account_notes_nothing() -> None:
    """There is nobody to tell of it."""
    desk = Desk(accounts=("acme", "other"))
    assert desk.ask(ALL, host="nobody.localhost").status == 404
    assert requests(desk) == []


def test_a_strange_user_agent() -> None:
    """It is shortened, and whatever cannot be shown becomes a space."""
    desk = desk_of()
    desk.ask(ALL, headers=[("User-Agent", "\x1b[31mé" + "x" * 1000)])
    (found,) = consumers(desk)
    assert (found.user_agent[:7], len(found.user_agent)) == (" [31méx", 200)


def test_notes_wait_for_the_store() -> None:
    """While the store is away pages are served, and what is noted is passed on when it is back."""
    desk, notes = desk_of(), []
    record_usage = desk.store.record_usage

    async def away(*_args: Any, **_options: Any) -> Any:
        raise StoreUnavailable("away")

    desk.store.record_usage = away
    walk(desk, f"{ALL}&per_page=3")
    pass_on(desk)
    desk.ask(f"{ALL}&per_page=3")
    pass_on(desk)
    desk.store.record_usage = record_usage
    notes = consumers(desk)
    assert [(found.pages, found.repeats) for found in notes] == [(5, 1)]
    assert len(requests(desk)) == 5


def test_a_new_ticket_is_no_gap() -> None:
    """A reader that polls with its cursor is given what is new, and nothing between is missing."""
    desk = desk_of()
    cursor = desk.page(ALL)["after_cursor"]
    desk.now += 50
    desk.put("tickets", {"id": 77})
    desk.now += 5
    assert ids(desk.page(f"{PATH}?cursor={cursor}")) == [77]
    (found,) = consumers(desk)
    assert (found.tickets, found.gaps(), found.repeats) == (11, [], 0)


def test_requests_flushed_after_an_erasure(engine: str) -> None:
    """Those from before it, buffered in this process or in another one, are dropped; they may carry what was erased."""
    desk = desk_of()
    desk.put("tickets", {"id": 11, "subject": "SECRET", "status": "deleted"})
    apps = [desk.app]
    if engine == "sqlite":
        assert isinstance(desk.store, SqliteStore)
        other = SqliteStore.open(desk.store._path, lambda: desk.now)
        apps.append(create_app(Settings(), other, lambda: desk.now))
    trackers = [app.state.service.usage_tracker for app in apps]
    for app, tracker in zip(apps, trackers, strict=True):
        asyncio.run(tracker.flush())
        ask = call_app(
            app, "/api/v2/users?external_id=SECRET", host="acme.localhost", headers=[("Authorization", ADMIN)]
        )
        assert asyncio.run(ask).status == 200
    desk.send("DELETE", "/deleted_tickets/11")
    desk.run_jobs()
    for tracker in trackers:
        asyncio.run(tracker.flush())
    assert not [request for request in requests(desk) if "SECRET" in str(request)]
    desk.now += 2
    desk.ask("/api/v2/users?external_id=later")
    assert [request.query.get("external_id") for request in requests(desk)] == ["later"]
    if engine == "sqlite":
        asyncio.run(other.close())
        assert not [path for path in desk.store._path.parent.iterdir() if b"SECRET" in path.read_bytes()]
