"""Bulk calls over the wire: a job at once, its items one by one, good ones done and bad ones told."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.server.desk import Desk, ids, tickets
from tests.waiting import until
from ticketfeed.protocol.errors import RecordNotFound, StoreUnavailable, TooManyValues
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import Account
from ticketfeed.server.api.call import JOB
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.ops.jobs import Jobs, new_job_id
from ticketfeed.server.ops.maintenance import Maintenance
from ticketfeed.settings import Settings
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.jobs import do_item, job_role, next_item, parse_item, put_failure, start_job


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.put("users", {"id": 10, "email": "ann@example.com"})
    return desk


def done(desk: Desk, method: str, path: str, value: Any = None) -> list[Any]:
    """Ask for a job, do it; its results."""
    status = desk.send(method, path, value)["job_status"]
    assert (status["status"], status["progress"], status["results"]) == ("queued", None, None)
    assert status["id"].startswith("V3-")
    assert len(status["id"]) == 35
    desk.run_jobs()
    after = desk.send("GET", f"/job_statuses/{status['id']}.json")["job_status"]
    assert (after["status"], after["progress"]) == ("completed", after["total"])
    assert after["message"].startswith("Completed at 2023-")
    assert desk.send("GET", f"/job_statuses/show_many?ids={status['id']}")["job_statuses"] == [after]
    return list(after["results"])


def test_create_many(desk: Desk) -> None:
    """Good items land, bad ones are reported, each at its index."""
    given = [{"comment": "one"}, {"comment": "two", "priority": "soon"}, {"comment": "three", "requester_id": 10}, 7]
    results = done(desk, "POST", "/tickets/create_many", {"tickets": given})
    assert [result.get("id") for result in results] == [1, None, 2, None]
    assert [result["index"] for result in results] == [0, 1, 2, 3]
    assert results[1]["error"] == "RecordInvalid"
    assert "Priority" in results[1]["details"]
    assert sorted(desk.changes()) == [1, 2]


def test_update_many(desk: Desk) -> None:
    """One change for all of `ids`, or its own for each."""
    desk.put("tickets", *tickets(1, 2, 3, requester_id=10))
    results = done(desk, "PUT", "/tickets/update_many.json?ids=1,3,9", {"ticket": {"priority": "high"}})
    assert [(result["id"], result["success"]) for result in results] == [(1, True), (3, True), (9, False)]
    assert results[2]["error"] == "RecordNotFound"
    own = [{"id": 1, "additional_tags": ["a"]}, {"id": 2, "status": "pending"}]
    done(desk, "PUT", "/tickets/update_many", {"tickets": own})
    shown = desk.changes()
    assert [shown[id]["priority"] for id in (1, 2, 3)] == ["high", None, "high"]
    assert (shown[1]["tags"], shown[2]["status"]) == (["a"], "pending")


def test_destroy_and_scrub(desk: Desk) -> None:
    """Deleted, then deleted for good: the export shows what is left, and nothing of what was said."""
    created = {"ticket": {"subject": "My secret", "comment": "A secret", "tags": ["secret"], "requester_id": 10}}
    desk.send("POST", "/tickets", created, expect=201)
    desk.send("POST", "/tickets", created, expect=201)
    assert [result["status"] for result in done(desk, "DELETE", "/tickets/destroy_many?ids=1,2")] == ["Deleted"] * 2
    soft = desk.changes()[1]
    assert (soft["status"], soft["subject"]) == ("deleted", "My secret")
    desk.now += 100
    done(desk, "DELETE", "/deleted_tickets/1")
    hard = desk.changes()[1]
    assert (hard["status"], hard["subject"], hard["raw_subject"]) == ("deleted", "SCRUBBED", "SCRUBBED")
    assert (hard["description"], hard["tags"], hard["requester_id"]) == ("X", [], 10)
    assert hard["updated_at"] == soft["updated_at"]
    assert hard["generated_timestamp"] > soft["generated_timestamp"]
    desk.now += 100
    told = desk.send("GET", "/incremental/ticket_events?start_time=0&include=comment_events")["ticket_events"]
    assert {"secret" in str(event) for event in told if event["ticket_id"] == 1} == {False}
    assert {"secret" in str(event) for event in told if event["ticket_id"] == 2} == {False, True}
    desk.send("PUT", "/deleted_tickets/1/restore", expect=404)
    desk.send("PUT", "/deleted_tickets/restore_many?ids=1", expect=404)
    desk.send("DELETE", "/deleted_tickets/1", expect=200)
    desk.send("PUT", "/deleted_tickets/2/restore")


def test_permanently_deleted_tickets_are_not_listed(desk: Desk) -> None:
    """Those deleted here and those loaded so are gone; a ticket that follows one up is still there."""
    followed = {"channel": "web", "source": {"from": {"ticket_id": 1, "subject": "SCRUBBED"}, "to": {}}}
    scrubbed = {"subject": "SCRUBBED", "description": "X", "status": "deleted"}
    desk.put("tickets", *tickets(1, **scrubbed), *tickets(2, 3, 4, subject="a", status="deleted", via=followed))
    done(desk, "DELETE", "/deleted_tickets/3")
    for query in ("", "?sort_by=deleted_at", "?sort_by=subject", "?page[size]=1", "?per_page=1"):
        page = desk.page(f"/api/v2/deleted_tickets{query}")
        listed = ids(page, "deleted_tickets")
        while following := page.get("next_page") or (page.get("links") or {}).get("next"):
            page = desk.page(following.removeprefix("http://acme.localhost"))
            listed += ids(page, "deleted_tickets")
        assert listed == [2, 4], query
        assert page.get("count", 2) == 2, query


def test_merge(desk: Desk) -> None:
    """The sources are closed with a tag, and say where they went; the target says what came."""
    desk.put("tickets", *tickets(1, 2, 3, requester_id=10, status="open"))
    done(desk, "POST", "/tickets/1/merge", {"ids": [2, 3], "target_comment": "All in one."})
    shown = desk.changes()
    assert [shown[id]["status"] for id in (1, 2, 3)] == ["open", "closed", "closed"]
    assert shown[2]["tags"] == ["closed_by_merge"]
    assert desk.send("GET", "/tickets/1/comments")["comments"][-1]["body"] == "All in one."
    assert "error" in done(desk, "POST", "/tickets/1/merge", {"ids": [2]})[0]
    assert "error" in done(desk, "POST", "/tickets/1/merge", {"ids": [1]})[0]
    assert "error" in done(desk, "POST", "/tickets/1/merge", {"ids": "x"})[0]


def test_import_many(desk: Desk) -> None:
    """Each with its history."""
    given = [{"comments": [{"body": "a"}], "created_at": "2020-01-01T00:00:00Z"}, {"comments": []}]
    results = done(desk, "POST", "/imports/tickets/create_many", {"tickets": given})
    assert results[0]["id"] == 1
    assert "error" in results[1]


@pytest.mark.parametrize(
    ("method", "path", "value", "status"),
    [
        ("POST", "/tickets/create_many", {"tickets": [{}] * 101}, 400),
        ("POST", "/tickets/create_many", {"tickets": {}}, 400),
        ("POST", "/tickets/create_many", {}, 400),
        ("PUT", "/tickets/update_many", {"tickets": [{}]}, 400),
        ("PUT", "/tickets/update_many?ids=x", {"ticket": {}}, 400),
        ("DELETE", "/tickets/destroy_many", None, 400),
        ("DELETE", "/tickets/destroy_many?ids=" + ",".join(map(str, range(101))), None, 400),
        ("POST", "/tickets/1/merge", b"nothing", 400),
        ("DELETE", "/deleted_tickets/1", None, 404),
        ("GET", "/job_statuses/V3-none", None, 404),
    ],
)
def test_bad_input(desk: Desk, method: str, path: str, value: Any, status: int) -> None:
    """Refused as a whole, and no job is made."""
    desk.put("tickets", *tickets(1))
    desk.send(method, path, value, expect=status)
    assert desk.send("GET", "/job_statuses")["job_statuses"] == []


def test_a_job_has_a_hundred_items(desk: Desk) -> None:
    """And no more."""

    def start(count: int) -> Job:
        items = [b"{}"] * count
        account, id = desk._account("acme"), new_job_id()
        return asyncio.run(desk.store.write(account, lambda write: start_job(write, id, 1, "delete tickets", items)))

    assert start(100).total == 100
    with pytest.raises(TooManyValues):
        start(101)


def test_a_job_goes_on_where_it_was_left(desk: Desk) -> None:
    """Items that are done stay done; two processes that do one job do each item once."""
    given = {"tickets": [{"comment": str(number)} for number in range(20)]}
    job_id = desk.send("POST", "/tickets/create_many", given)["job_status"]["id"]
    account = desk._account("acme")
    asyncio.run(desk.store.write(account, lambda _write: None))  # behind an item that was being done
    done_before = len(asyncio.run(desk.store.read_jobs(account))[0][1])

    def three(write: WriteTransaction) -> None:
        for _ in range(3):
            item = next_item(write, job_id)
            assert item is not None
            do_item(write, "acme", parse_item(item))

    asyncio.run(desk.store.write(account, three))
    working = desk.send("GET", f"/job_statuses/{job_id}")["job_status"]
    assert (working["status"], working["progress"], working["results"]) == ("working", done_before + 3, None)

    async def both() -> None:
        processes = Jobs(desk.store), Jobs(desk.store)
        for jobs in processes:
            await jobs.resume()
        for jobs in processes:
            await jobs.wait()

    asyncio.run(both())
    results = desk.send("GET", f"/job_statuses/{job_id}")["job_status"]["results"]
    assert sorted(result["id"] for result in results) == list(range(1, 21))
    assert len(desk.changes()) == 20


def test_jobs_of_accounts_out_of_reach(desk: Desk) -> None:
    """Jobs of all other accounts are resumed and maintained; those of one that cannot be read, once it can be."""
    store, items = desk.store, [msgspec.json.encode({"values": {"comment": "one"}})]
    accounts = [desk._account("acme"), asyncio.run(store.create_account("other"))]
    for account in accounts:
        asyncio.run(store.write(account, lambda write: start_job(write, new_job_id(), 1, "create tickets", items)))
    list_open_jobs, find_open_jobs, write, away = store.list_open_jobs, store.find_open_jobs, store.write, True

    async def find_reachable(some: Sequence[Account], until: int) -> list[tuple[int, str]]:
        if away and accounts[0] in some:
            raise StoreUnavailable("away")
        return await find_open_jobs(some, until)

    async def write_reachable(account: Account, work: Any, **options: Any) -> Any:
        if away and account == accounts[0]:
            raise StoreUnavailable("away")
        return await write(account, work, **options)

    store.find_open_jobs = find_reachable  # type: ignore[method-assign]
    store.write = write_reachable  # type: ignore[assignment, method-assign]

    async def is_done(account: Account) -> bool:
        return not await list_open_jobs(account)

    async def main() -> None:
        nonlocal away
        jobs = Jobs(store)
        maintenance = Maintenance(store, Settings(), lambda _account: desk.now + 2 * IDEMPOTENCY_SECONDS, jobs)
        jobs.start_resuming()
        for is_open in (True, False):
            for account in accounts[1:] if is_open else accounts:
                await until(lambda account=account: is_done(account))
            assert bool(await list_open_jobs(accounts[0])) is is_open
            await maintenance.run_round()
            assert maintenance._unreachable == ({accounts[0]} if is_open else set())
            away = False
        await jobs.stop()

    asyncio.run(main())


def test_an_item_is_done_once(desk: Desk) -> None:
    """A process that comes late with an item does nothing, and is told which one is next."""
    given = {"tickets": [{"comment": "one"}, {"comment": "two"}]}
    account, id = desk._account("acme"), new_job_id()
    items = [msgspec.json.encode({"values": values}) for values in given["tickets"]]
    asyncio.run(desk.store.write(account, lambda write: start_job(write, id, 1, "create tickets", items)))
    first = asyncio.run(desk.store.write(account, lambda write: next_item(write, id)))
    assert first is not None
    parsed = parse_item(first)
    for _ in range(3):
        second = asyncio.run(desk.store.write(account, lambda write: do_item(write, "acme", parsed)))
        assert second is not None
        assert second.number == 1
    late = asyncio.run(desk.store.write(account, lambda write: put_failure(write, first, RecordNotFound())))
    assert late == second
    last = parse_item(second)
    for _ in range(2):
        assert asyncio.run(desk.store.write(account, lambda write: do_item(write, "acme", last))) is None
    results = desk.send("GET", f"/job_statuses/{id}")["job_status"]["results"]
    assert results == [{"index": place, "id": place + 1, "account_id": 1} for place in (0, 1)]
    assert sorted(desk.changes()) == [1, 2]


def test_a_record_that_is_not_there_comes_before_bad_values(desk: Desk) -> None:
    """As for a single record: what is wrong with the values matters only of a record that exists."""
    own = [{"id": 777, "name": 7}, {"id": 10, "name": 7}, {"id": 10, "name": "Ann"}]
    results = done(desk, "PUT", "/users/update_many", {"users": own})
    assert [result.get("error") for result in results] == ["RecordNotFound", "RecordInvalid", None]
    desk.send("PUT", "/users/777", {"user": {"name": 7}}, expect=404)
    desk.send("PUT", "/users/10", {"user": {"name": 7}}, expect=422)


def test_what_we_fail_at_ourselves(desk: Desk) -> None:
    """A job that this version does not know is told item by item, and comes to its end."""
    account, id = desk._account("acme"), new_job_id()
    asyncio.run(desk.store.write(account, lambda write: start_job(write, id, 1, "dance users", [b"{}", b"{}"])))
    desk.run_jobs()
    after = desk.send("GET", f"/job_statuses/{id}")["job_status"]
    assert after["status"] == "completed"
    assert [result["error"] for result in after["results"]] == ["InternalServerError"] * 2


def test_one_change_for_many_is_bounded(desk: Desk) -> None:
    """A large change for many counts as if each had been sent."""
    desk.put("tickets", *tickets(1, 2))
    large = {"ticket": {"comment": {"body": "x" * 3_000_000}}}
    desk.send("PUT", "/tickets/update_many?ids=1,2", large, expect=413)
    assert desk.send("GET", "/job_statuses")["job_statuses"] == []


LOST = [
    ("POST", "/tickets/create_many", {"tickets": [{"comment": "x"}]}, {"role": "end-user"}),
    ("POST", "/tickets/create_many", {"tickets": [{"comment": "x"}]}, {"role": "admin", "suspended": True}),
    ("POST", "/tickets/create_many", {"tickets": [{"comment": "x"}]}, {"role": "admin", "active": False}),
    ("POST", "/imports/tickets/create_many", {"tickets": [{"comment": "x"}]}, {"role": "agent"}),
    ("DELETE", "/deleted_tickets/destroy_many?ids=1", None, {"role": "agent"}),
    ("DELETE", "/deleted_tickets/2", None, {"role": "agent"}),
]


def test_a_job_has_the_rights_that_its_user_has_now(desk: Desk) -> None:
    """Who loses a right after starting a job has it done no more; each item tells so."""
    desk.put("tickets", *tickets(1, 2, status="deleted"))
    before = desk.changes()
    for number, (method, path, value, change) in enumerate(LOST, 100):
        desk.put("users", {"id": number, "email": f"{number}@example.com", "role": "admin"})
        desk.grant(number, f"token-{number}")
        job = desk.send(method, path, value, authorization=f"Bearer token-{number}")["job_status"]["id"]
        desk.put("users", {"id": number, "email": f"{number}@example.com", **change})
        desk.run_jobs()
        results = desk.send("GET", f"/job_statuses/{job}")["job_status"]["results"]
        result = results if path == "/deleted_tickets/2" else results[0]
        assert result["error"] == "RoleTooLow", (path, change)
    assert desk.changes() == before


def test_a_job_needs_the_role_of_its_address(desk: Desk) -> None:
    """What a job may do is decided as for the address that starts it, for every such address."""
    desk.put("tickets", *tickets(1, status="deleted"), *tickets(2))
    account = desk._account("acme")
    starting = [route for route in API_ROUTES if route.answer is JOB and route.method != "GET"]
    for route in starting:
        path = route.path.replace("{id:int}", "1" if "deleted" in route.path else "2")
        kind = path.split("/")[-2]
        body = {kind: [{"comment": "x"}], "ids": [1]} if route.method == "POST" else {kind: [{"id": 2}]}
        by_ids = route.method == "DELETE" or path.endswith("spam")
        job = desk.send(route.method, f"{path}?ids=1" if by_ids else path, body)["job_status"]["id"]
        ((started, _),) = asyncio.run(desk.store.read_jobs(account, [job]))
        assert job_role(started.action) == route.role, started.action
        desk.run_jobs()
    assert len(starting) > 10
