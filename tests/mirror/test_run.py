"""A mirror that runs, on virtual time: first copies, following, the budget, interruptions."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.mirror.desk import Desk, records_of, seconds_of, tickets_of
from tests.waiting import SECONDS_MAX, until
from ticketfeed.client.steps import Failed, Request
from ticketfeed.mirror.knobs import change_settings
from ticketfeed.mirror.run import MirrorRun
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.audit_views import ticket_event_of
from ticketfeed.protocol.model import Identity
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.person_erasure import erase_user
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter


def test_a_first_copy_and_a_second_run() -> None:
    """Every ticket is here byte for byte at its position, every other record too, and a second run brings what changed
    since; nothing is asked for twice."""

    async def main() -> None:
        desk = await Desk.make(350)
        desk.clock.now += 120
        await desk.run().run()
        copy = await desk.copy()
        await desk.compare(copy)
        await desk.change(60)
        desk.clock.now += 120
        before = len(desk.transport.requests)
        await desk.run().run()
        await desk.compare(copy)
        asked = [target for target, _ in desk.transport.requests[before:]]
        assert not [target for target in asked if "start_time=0" in target]
        assert desk.notes == []

    asyncio.run(main())


async def follow(
    desk: Desk, seconds: float, at: Callable[[float], Awaitable[None]] | None = None, **options: Any
) -> MirrorRun:
    """Run for so long; `at` is called with the seconds that have passed, in every wait."""
    run = desk.run(follow=True, **options)
    began, passing = desk.clock(), desk.clock.sleep

    async def sleep(step: float) -> None:
        await passing(step)
        if at is not None:
            await at(desk.clock() - began)
        if desk.clock() >= began + seconds:
            run.stop()

    run._sleep_seconds = sleep
    await run.run()
    return run


def test_the_budget_of_the_source() -> None:
    """At ten requests a minute, found out from the source, none is refused, and while there is something to read 95 %
    of them are used; caught up, tickets are asked every ten seconds or so."""

    async def main() -> None:
        desk = await Desk.make(400)
        desk.clock.now += 120
        began = desk.clock()
        copied_after = 0.0

        async def at(passed: float) -> None:
            nonlocal copied_after
            state = (await desk.target.read_mirrors()).popitem()[1].stream("tickets")
            if state.is_copied and not copied_after:
                copied_after = passed

        await follow(desk, 2 * 3600, at, per_page=4, requests_per_minute=None)
        assert 429 not in desk.transport.statuses
        sent = [moment - began for _, moment in desk.transport.requests]
        assert copied_after >= 9 * 60
        assert len([moment for moment in sent if moment < copied_after]) >= 0.95 * 10 * copied_after / 60
        polls = [at for target, at in desk.transport.requests if "/tickets/cursor" in target and at > began + 3600]
        gaps = sorted(later - earlier for earlier, later in pairwise(polls))
        assert gaps[int(len(gaps) * 0.99)] <= 15
        await desk.compare(await desk.copy())

    asyncio.run(main())


def test_others_use_the_same_budget() -> None:
    """Requests that somebody else sends are noticed within two minutes and left to them, and hardly any request is
    refused after that."""

    async def main() -> None:
        desk = await Desk.make(400)
        desk.clock.now += 120
        other = desk.desk_of_another()
        refused_at_first = 0

        async def at(passed: float) -> None:
            nonlocal refused_at_first
            if passed <= 120:
                refused_at_first = other.refused
            while other.requests < passed / 60 * 5:
                await other.ask()

        await follow(desk, 1800, at, per_page=4, requests_per_minute=None)
        assert desk.transport.statuses.count(429) <= 1
        assert refused_at_first <= 5
        assert other.refused - refused_at_first <= 2
        mirror = await desk.target.read_mirror(await desk.copy())
        assert mirror is not None
        assert mirror.budget.others >= 4

    asyncio.run(main())


def test_knobs() -> None:
    """A mirror that is paused sends nothing until it is resumed, and a budget that is changed holds at once."""

    async def main() -> None:
        desk = await Desk.make(200)
        desk.clock.now += 120
        began = desk.clock()
        done: list[str] = []

        async def at(passed: float) -> None:
            copy = await desk.copy()
            for name, second, changes in (
                ("pause", 60, {"is_paused": True}),
                ("resume", 300, {"is_paused": False}),
                ("budget", 400, {"requests_per_minute": 3}),
            ):
                if passed >= second and name not in done:
                    done.append(name)
                    await change_settings(desk.target, copy, **changes)
                    mirror = await desk.target.read_mirror(copy)
                    assert mirror is not None
                    assert (status_of(mirror, desk.clock())["state"] == "paused") == (name == "pause")

        await follow(desk, 900, at, per_page=2, requests_per_minute=None)
        sent = [moment - began for _, moment in desk.transport.requests]
        assert not [moment for moment in sent if 62 < moment < 299]
        assert len([moment for moment in sent if 300 <= moment < 303]) > 3
        assert len([moment for moment in sent if 470 < moment < 890]) <= 3 * 7 + 1

    asyncio.run(main())


def test_it_goes_on_wherever_it_was_ended() -> None:
    """A run that ends at any of its writes or requests costs at most one page that is read again; a lease of a process
    that is gone keeps nobody out."""

    async def main() -> None:
        desk = await Desk.make(60)
        desk.clock.now += 120
        for number in range(60):
            task = asyncio.create_task(desk.run(per_page=10).run())
            for _ in range(number * 7):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001 * (number % 5))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await desk.run(per_page=10).run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


def event_of(audit: Any) -> bytes:
    return ticket_event_of(json.dumps(audit).encode(), comment_events=True)


def test_comments_and_metric_events() -> None:
    """With --comments the exports of ticket events and of metric events are those of the source, first copy and
    changes; later runs go on reading them without being told."""

    async def main() -> None:
        desk = await Desk.make(60)
        desk.clock.now += 120
        await desk.run(comments=True).run()
        for _ in range(3):
            await desk.change(20)
            desk.clock.now += 120
            await desk.run().run()
        copy = await desk.copy()
        await desk.compare(copy)
        both = (desk.source, desk.account), (desk.target, copy)
        for kind in ("audits", "ticket_metric_events"):
            theirs, ours = [await records_of(*each, kind) for each in both]
            if kind == "audits":
                theirs, ours = ({id: event_of(held[id]) for id in held} for held in (theirs, ours))
            assert ours == theirs
            assert len(ours) > 100
            theirs, ours = [await seconds_of(*each, kind) for each in both]
            assert all(ours[id] >= second for id, second in theirs.items())  # so no reader who goes on misses one
            assert sum(ours[id] == second for id, second in theirs.items()) > 0.9 * len(theirs)

    asyncio.run(main())


def test_what_is_deleted_for_good_is_erased_here() -> None:
    """A ticket that is scrubbed at the source and a person who is erased there leave nothing here that they leave
    nothing of there: no comment, no metric event, no name."""

    async def main() -> None:
        desk = await Desk.make(30)
        desk.clock.now += 120
        await desk.run(comments=True).run()
        copy = await desk.copy()
        ticket = next(
            id for id, (_, body) in (await tickets_of(desk.source, desk.account)).items() if b'"open"' in body
        )
        user = json.loads((await desk.source.read_tickets(desk.account, [ticket]))[0].body)["requester_id"]
        before = json.loads((await desk.target.read_records(copy, "users", [user]))[0].body)

        def work(write: WriteTransaction) -> None:
            admin = Identity(1, "", "admin")
            TicketWriter(write, "demo", admin).delete(ticket)
            TicketWriter(write, "demo", admin).scrub(ticket)
            RecordWriter(write, "demo", admin, "users").delete(user)
            erase_user(write, "demo", admin, user)

        await desk.source.write(desk.account, work)
        desk.clock.now += 120
        await desk.run().run()
        desk.clock.now += 300
        await desk.run().run()
        await desk.compare(copy)
        audits = await records_of(desk.target, copy, "audits")
        assert not [audit for audit in audits.values() if before["email"] in json.dumps(audit)]
        erased = [audit for audit in audits.values() if audit["ticket_id"] == ticket]
        assert erased
        assert {event["body"] for audit in erased for event in audit["events"] if event["type"] == "Comment"} == {"X"}
        user_now = json.loads((await desk.target.read_records(copy, "users", [user]))[0].body)
        assert (user_now["name"], user_now["email"]) == ("Permanently Deleted User", None)

    asyncio.run(main())


def test_what_a_list_no_longer_has_goes() -> None:
    """A membership and a group that are gone at the source are gone here with the next reading of their list."""

    async def main() -> None:
        desk = await Desk.make(30)
        desk.clock.now += 120
        await desk.run().run()
        members = await records_of(desk.source, desk.account, "organization_memberships")

        def work(write: WriteTransaction) -> None:
            memberships = RecordWriter(write, "demo", Identity(1, "", "admin"), "organization_memberships")
            for id in list(members)[:3]:
                memberships.delete(id)

        await desk.source.write(desk.account, work)
        desk.clock.now += 120
        await desk.run().run()
        copy = await desk.copy()
        await desk.compare(copy)
        assert len(await records_of(desk.target, copy, "organization_memberships")) == len(members) - 3

    asyncio.run(main())


def test_a_source_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped does not wait for an answer for minutes, and nor does the end of the process."""
    monkeypatch.setattr("ticketfeed.mirror.run.STOP_SECONDS", 0.1)
    is_over = threading.Event()

    async def main() -> None:
        desk = await Desk.make(5)
        desk.clock.now += 120

        def silent(request: Request, now: float) -> Failed | None:
            return Failed("silence", True, now) if "/users" in request.target and is_over.wait(60) else None

        desk.transport.intercept = silent
        run = desk.run(follow=True)
        running = asyncio.create_task(run.run())
        await until(lambda: any("/users" in target for target, _ in desk.transport.requests))
        run.stop()
        await asyncio.wait_for(running, SECONDS_MAX / 2)
        mirror = await desk.target.read_mirror(await desk.copy())
        assert mirror is not None
        assert (mirror.lease, mirror.status.state) == (None, "stopped")

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() < started + 50
    is_over.set()


def test_a_source_that_is_away() -> None:
    """While the source does not answer, a mirror that follows waits, says why, and comes forward when it is back."""

    async def main() -> None:
        desk = await Desk.make(30)
        desk.clock.now += 120
        began, told = desk.clock(), set()

        def intercept(_request: Request, now: float) -> Failed | None:
            away = 600 < now - began < 6000
            return Failed("no connection to the source: Connection refused", False, now) if away else None

        desk.transport.intercept = intercept
        run = desk.run(follow=True)

        async def sleep(seconds: float) -> None:
            values = run.values
            told.add((values["state"], values["reason"] if values["state"] == "waiting" else None))
            await desk.clock.sleep(seconds)
            if 600 < desk.clock() - began < 700:
                await desk.change(3)
            if desk.clock() > began + 7000:
                run.stop()

        run._sleep_seconds = sleep
        await run.run()
        assert ("waiting", "no connection to the source: Connection refused") in told
        assert ("following", None) in told
        copy = await desk.copy()
        await desk.compare(copy)
        mirror = await desk.target.read_mirror(copy)
        assert mirror is not None
        assert mirror.status.last_error == "no connection to the source: Connection refused"

    asyncio.run(main())
