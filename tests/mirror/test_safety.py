"""What a mirror refuses, what it notices and goes on from, and what it leaves as it was."""

import asyncio
import json
import os
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tests.mirror.desk import NOW, SOURCE, Desk, tickets_of
from tests.waiting import SECONDS_MAX, until
from ticketfeed.client.sources import parse_source
from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.mirror.lease import is_alive
from ticketfeed.mirror.run import MirrorOptions, MirrorRun
from ticketfeed.protocol.errors import BadInput, SourceChanged, SourceError, StoreUnavailable
from ticketfeed.protocol.mirrors import Lease, Mirror
from ticketfeed.protocol.model import Account, TicketList
from ticketfeed.storage import Store
from ticketfeed.storage.write_contract import WriteTransaction


async def held(store: Store, account: Account) -> Any:
    """All that a mirror must not touch when it refuses."""
    mirror = await store.read_mirror(account)
    assert mirror is not None
    return await tickets_of(store, account), mirror.streams, mirror.source


async def copied_desk(tickets: int = 60, **more: int) -> Desk:
    desk = await Desk.make(tickets, **more)
    desk.clock.now += 120
    await desk.run().run()
    return desk


def replace_source(desk: Desk, other: Desk) -> None:
    desk.transport.app, desk.source, desk.account = other.transport.app, other.source, other.account


async def another(desk: Desk) -> None:
    """Another account at the same address: other tickets with the same ids."""
    replace_source(desk, await Desk.make(60, seed=8, clock=desk.clock))


async def emptied(desk: Desk) -> None:
    replace_source(desk, await Desk.make(0, clock=desk.clock))


async def restored(desk: Desk) -> None:
    """The source as it was before its last changes, which the mirror has."""
    await desk.change(20)
    desk.clock.now += 120
    await desk.run().run()
    replace_source(desk, await Desk.make(60, clock=desk.clock))


@pytest.mark.parametrize(
    ("becomes", "reason"),
    [(another, "is another account"), (emptied, "has none of"), (restored, "has gone back")],
)
def test_a_source_that_is_not_the_same(becomes: Callable[[Desk], Awaitable[None]], reason: str) -> None:
    """A source that has become another account, is empty, or has gone back is refused in one line, at the start and
    in the middle of a run, and nothing is touched; accepted, it is copied anew behind all that readers were given."""

    async def main() -> None:
        desk = await copied_desk()
        copy = await desk.copy()
        if becomes is not restored:
            running = asyncio.create_task(desk.run(follow=True, per_page=5).run())
            await asyncio.sleep(0.1)
            before = await held(desk.target, copy)
            await becomes(desk)
            desk.transport.intercept = fails_once()
            with pytest.raises(SourceChanged, match=reason):
                await asyncio.wait_for(running, SECONDS_MAX)
        else:
            await becomes(desk)
            before = await held(desk.target, copy)
        for _ in range(2):
            with pytest.raises(SourceChanged, match=reason) as raised:
                await desk.run().run()
            assert "--accept-source" in str(raised.value)
            assert "\n" not in str(raised.value)
        after = await held(desk.target, copy)
        assert after[0] == before[0]
        assert after[2] == before[2]
        fence = (await desk.target.read_state(copy)).watermark
        await desk.run(accepts_source=True).run()
        desk.clock.now += 300
        await desk.run().run()
        ours, theirs = await tickets_of(desk.target, copy), await tickets_of(desk.source, desk.account)
        assert ours.keys() == theirs.keys()
        for id, (second, body) in ours.items():
            assert body.replace(b":%d," % second, b":%d," % theirs[id][0]) == theirs[id][1]
            assert second > fence or (second, body) == before[0][id]

    asyncio.run(main())


def fails_once() -> Callable[[Request, float], Answer | Failed | None]:
    """A source that is away for one request."""
    left = [1]

    def intercept(_request: Request, now: float) -> Answer | Failed | None:
        return Failed("connection refused", False, now) if left and left.pop() else None

    return intercept


async def is_walked(desk: Desk, copy: Account) -> bool:
    mirror = await desk.target.read_mirror(copy)
    return mirror is not None and mirror.lease is not None


def test_what_is_refused_before_anything_is_asked() -> None:
    """An account with tickets of its own, one that mirrors another source, an archive, and one that is mirrored."""

    async def main() -> None:
        desk = await copied_desk()
        copy = await desk.copy()
        with pytest.raises(BadInput, match="holds tickets or records of its own"):
            await MirrorRun(desk.source, "demo", SOURCE, None, MirrorOptions(), transport=desk.transport).run()
        other = parse_source("http://other.example")
        with pytest.raises(BadInput, match=r"copy mirrors .*source\.example, not .*other\.example"):
            await MirrorRun(desk.target, "copy", other, None, MirrorOptions(), transport=desk.transport).run()
        running = asyncio.create_task(desk.run(follow=True).run())
        await until(lambda: is_walked(desk, copy))
        with pytest.raises(BadInput, match="this account is mirrored already, by process"):
            await desk.run().run()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await desk.target.write(copy, lambda write: write.put_mirror(Mirror(SOURCE.name, closed_at=5)), mirror=True)
        with pytest.raises(BadInput, match="copy is an archive of "):
            await desk.run().run()

    asyncio.run(main())


def test_a_source_whose_tickets_were_all_deleted() -> None:
    """That every ticket was deleted, just now or some time ago, is a change like any other."""

    async def main() -> None:
        desk = await copied_desk(8)
        for wait in (5, 300):
            await desk.delete_all()
            desk.clock.now += wait
            await desk.run().run()
            desk.clock.now += 300
            await desk.run().run()
            await desk.compare(await desk.copy())

    asyncio.run(main())


def test_a_cursor_that_the_source_refuses() -> None:
    """The stream is read again from its last position, less an overlap, and that is said; nothing is missed."""

    async def main() -> None:
        desk = await copied_desk()
        await desk.change(10)
        desk.clock.now += 120

        def intercept(request: Request, now: float) -> Answer | None:
            if "cursor=" not in request.target or "tickets" not in request.target:
                return None
            body = {"error": "InvalidCursor", "description": "the cursor is invalid"}
            return Answer(400, {}, json.dumps(body).encode(), now)

        desk.transport.intercept = intercept
        await desk.run().run()
        assert [note for note in desk.notes if "refused the cursor of tickets" in note]
        desk.transport.intercept = lambda _request, _now: None
        await desk.run().run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_faults_of_a_source(seed: int) -> None:
    """Whatever goes wrong in a third of the requests, and passes, changes nothing."""

    async def main() -> None:
        chance = random.Random(seed)
        desk = await Desk.make(60)
        desk.clock.now += 120

        def intercept(_request: Request, now: float) -> Answer | Failed | None:
            if chance.random() > 0.33:
                return None
            return chance.choice(
                [
                    Failed("connection reset", False, now),
                    Failed("the source does not answer in time", True, now),
                    Answer(429, {"retry-after": "7"}, b"", now),
                    Answer(503, {}, b"<html>", now),
                    Answer(504, {}, b"upstream request timeout", now),
                    Answer(200, {}, b"<html>Maintenance</html>", now),
                    Answer(200, {}, b'{"tickets":[{"id":1},', now),
                    Answer(200, {}, b'{"count":' + b"[" * 100_000, now),
                ]
            )

        desk.transport.intercept = intercept
        for _ in range(3):
            await desk.run(per_page=9).run()
            await desk.change(10)
            desk.clock.now += 120
        desk.transport.intercept = lambda _request, _now: None
        await desk.run().run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


@pytest.mark.parametrize("skew", [-7200, -30, 30, 7200])
def test_clocks_that_differ(skew: int) -> None:
    """A mirror whose clock is hours ahead of its source's, or behind, has the same tickets at the same positions, and
    readers get them."""

    async def main() -> None:
        desk = await Desk.make(60, skew=skew)
        desk.clock.now += 120
        await desk.run().run()
        await desk.change(20)
        desk.clock.now += 120
        await desk.run().run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


def test_a_replica_that_lags() -> None:
    """A source that for some seconds shows an older state than it has given is waited for, and not refused."""

    async def main() -> None:
        desk = await copied_desk()
        old, new = (await Desk.make(60, clock=desk.clock)).transport.app, desk.transport.app
        await desk.change(20)
        desk.clock.now += 120
        await desk.run().run()
        lags = desk.clock() + 8

        def intercept(_request: Request, now: float) -> None:
            desk.transport.app = old if now < lags else new

        desk.transport.intercept = intercept
        await desk.run().run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


def test_a_store_that_cannot_be_written_for_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk in the middle of a page: a run that follows waits until there is room, and one that does not ends."""

    async def main() -> None:
        desk = await Desk.make(60)
        desk.clock.now += 120
        write, failures = desk.target.write, [0]

        async def full(account: Account, work: object, **options: bool) -> object:
            if options.get("exclusive") and failures[0] % 5 > 1:
                failures[0] += 1
                raise StoreUnavailable("database or disk is full")
            failures[0] += 1
            return await write(account, work, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(desk.target, "write", full)
        with pytest.raises(StoreUnavailable):
            await desk.run(per_page=9).run()
        run = desk.run(per_page=9, follow=True)
        task = asyncio.create_task(run.run())
        await until(
            lambda: run.values and run.values["behind_changes"] == 0 and run.values["behind_seconds"] is not None
        )
        run.stop()
        await task
        assert "the store cannot be written" in " ".join(desk.notes)
        monkeypatch.undo()
        await desk.run().run()
        await desk.compare(await desk.copy())

    asyncio.run(main())


def test_a_full_disk_while_a_source_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an accepted source lacks is removed, although every page had to be written twice."""

    async def main() -> None:
        desk = await copied_desk()
        replace_source(desk, await Desk.make(40, seed=8, clock=desk.clock))
        write, has_failed = desk.target.write, [False]

        async def fails_first(account: Account, work: object, **options: bool) -> object:
            if options.get("exclusive"):
                has_failed[0] = not has_failed[0]
                if has_failed[0]:
                    raise StoreUnavailable("database or disk is full")
            return await write(account, work, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(desk.target, "write", fails_first)
        run, copy = desk.run(per_page=15, follow=True, accepts_source=True), await desk.copy()
        task = asyncio.create_task(run.run())
        while (mirror := await desk.target.read_mirror(copy)) is None or not mirror.is_accepted_anew:
            await asyncio.sleep(0.002)
        while (mirror := await desk.target.read_mirror(copy)) is None or mirror.is_accepted_anew:
            await asyncio.sleep(0.002)
        run.stop()
        await task
        assert (await tickets_of(desk.target, copy)).keys() == (await tickets_of(desk.source, desk.account)).keys()

    asyncio.run(main())


def test_credentials_that_are_refused() -> None:
    """They end a run with the source's words; a first run leaves no account behind."""

    async def main() -> None:
        desk = await Desk.make(5)
        body = json.dumps({"error": "Couldn't authenticate you"}).encode()
        desk.transport.intercept = lambda _request, now: Answer(401, {}, body, now)
        with pytest.raises(SourceError, match="refuses the credentials"):
            await desk.run().run()
        assert await desk.target.list_accounts() == []

    asyncio.run(main())


def test_another_account_in_the_middle_of_a_first_copy() -> None:
    """A page with a ticket that was created at another time than the one that is held under its id is not applied."""

    async def main() -> None:
        desk, other = await Desk.make(60), await Desk.make(60, seed=8)
        desk.clock.now += 120

        def intercept(request: Request, _now: float) -> None:
            if "cursor=" in request.target:
                desk.transport.app = other.transport.app

        desk.transport.intercept = intercept
        with pytest.raises(SourceChanged, match="is another account than before"):
            await desk.run(per_page=30).run()
        assert await desk.target.count_tickets(await desk.copy(), TicketList()) <= 30

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "pid", "age", "alive"),
    [
        ("elsewhere", 1, 59, True),
        ("elsewhere", 1, 61, False),
        (socket.gethostname(), os.getppid(), 61, True),
        (socket.gethostname(), os.getppid(), 601, False),
        (socket.gethostname(), os.getpid(), 1, False),
        (socket.gethostname(), 2**22 + 1, 1, False),
    ],
    ids=["elsewhere, fresh", "elsewhere, old", "here, running", "here, too old", "this process", "here, gone"],
)
def test_leases(host: str, pid: int, age: float, alive: bool) -> None:
    """A process on this machine is looked for, unless its lease is so old that its number may be another one's."""
    assert is_alive(Lease("owner", host, pid, NOW - 1000, NOW - age), NOW) is alive


def test_a_process_that_was_replaced_writes_nothing_more() -> None:
    """One that hung for longer than its lease, and whose place another has taken, ends with one line."""

    async def main() -> None:
        desk = await copied_desk()
        await desk.change(5)
        desk.clock.now += 120
        copy, loop = await desk.copy(), asyncio.get_running_loop()
        lease = Lease("another", "elsewhere", 1, desk.clock(), desk.clock() + 1e6)

        def take_over(transaction: WriteTransaction) -> None:
            assert transaction.mirror is not None
            transaction.put_mirror(msgspec.structs.replace(transaction.mirror, lease=lease))

        def intercept(request: Request, _now: float) -> None:
            if "/tickets/cursor" in request.target:
                asyncio.run_coroutine_threadsafe(desk.target.write(copy, take_over, mirror=True), loop).result()

        desk.transport.intercept = intercept
        with pytest.raises(BadInput, match="another process has taken over"):
            await desk.run().run()
        mirror = await desk.target.read_mirror(copy)
        assert mirror is not None
        assert mirror.lease == lease
        assert await tickets_of(desk.target, copy) != await tickets_of(desk.source, desk.account)

    asyncio.run(main())
