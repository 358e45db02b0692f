"""A source and its mirror in one process: a desk that changes, and what both hold."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from bench.mirror_world import KINDS as COPIED_KINDS
from ticketfeed.client.sources import parse_source
from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.data.demo import fill_demo
from ticketfeed.data.simulation import Simulation
from ticketfeed.inprocess import call_app
from ticketfeed.mirror.run import MirrorOptions, MirrorRun
from ticketfeed.protocol.model import Account, Filters, Identity, Position, Slice
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

SOURCE = parse_source("http://source.example")
NOW = 1_790_000_000
# Beside tickets: what a mirror copies.
KINDS = (*COPIED_KINDS, "ticket_metrics")

# What a test does with a request before the source sees it: an answer of its own, or None.
Intercept = Callable[[Request, float], Answer | Failed | None]


class VirtualClock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now

    def seconds(self) -> int:
        return int(self.now)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class AppTransport:
    """Sends requests to an application in the test's own event loop. `requests`: the targets, with their times."""

    def __init__(self, app: Any, clock: VirtualClock, intercept: Intercept = lambda _request, _now: None) -> None:
        self.app, self._clock, self.intercept = app, clock, intercept
        self._loop = asyncio.get_running_loop()
        self.requests: list[tuple[str, float]] = []
        self.statuses: list[int] = []

    def send(self, request: Request) -> Answer | Failed:
        self.requests.append((request.target, self._clock()))
        if (given := self.intercept(request, self._clock())) is not None:
            return given
        call = call_app(
            self.app,
            request.target,
            host="demo.localhost",
            method=request.method,
            headers=[("authorization", "Bearer demo-token")],
        )
        answer = asyncio.run_coroutine_threadsafe(call, self._loop).result()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self.statuses.append(answer.status)
        return Answer(answer.status, headers, answer.body, self._clock())

    def close(self) -> None:
        pass


class OtherReader:
    """Another program of the company, that reads the same source."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests = self.refused = 0

    async def ask(self) -> None:
        self.requests += 1
        answer = await call_app(
            self._app,
            "/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=1",
            host="demo.localhost",
            headers=[("authorization", "Bearer demo-token")],
        )
        self.refused += answer.status == 429


class Desk:
    """A source with some tickets, and a store for its mirror."""

    def __init__(self, source: Store, account: Account, target: Store, clock: VirtualClock, settings: Settings) -> None:
        self.source, self.account, self.target, self.clock = source, account, target, clock
        self.transport = AppTransport(create_app(settings, source, clock=clock.seconds), clock)
        self.notes: list[str] = []
        self.skew = 0

    @classmethod
    async def make(
        cls, tickets: int, *, seed: int = 3, clock: VirtualClock | None = None, skew: int = 0, **rules: Any
    ) -> "Desk":
        """`skew`: how far the clock of the mirror is ahead of the source's. `rules`: of the source."""
        clock = clock or VirtualClock()
        source = await open_store("memory:", clock.seconds)
        account = await source.create_account("demo")
        await fill_demo(source, account, tickets, seed, NOW)
        settings = Settings.of_profile("zendesk", page_cache_mib=0, **rules)
        target = await open_store("memory:", lambda: clock.seconds() + skew)
        desk = cls(source, account, target, clock, settings)
        desk.skew = skew
        return desk

    def run(self, **options: Any) -> MirrorRun:
        return MirrorRun(
            self.target,
            "copy",
            SOURCE,
            None,
            MirrorOptions(**{"follow": False, "per_page": 100, "requests_per_minute": 0, **options}),
            note=self.notes.append,
            transport=self.transport,
            clock=lambda: self.clock() + self.skew,
            sleep=self.clock.sleep,
        )

    async def change(self, count: int) -> None:
        """Let people write and agents answer."""
        simulation = Simulation(self.source, self.account, seed=int(self.clock()))
        await simulation.prepare()
        while simulation.done.total() < count:
            await simulation.run(1000, 0.02, concurrency=1)
            self.clock.now += 1

    async def delete_all(self) -> None:
        """Delete every ticket that is not deleted."""

        def work(write: WriteTransaction) -> None:
            tickets = TicketWriter(write, "demo", Identity(1, "", "admin"))
            for row in write.find_tickets_after(Position(0, -1), 10**6):
                if row.status != "deleted":
                    tickets.delete(row.id)

        await self.source.write(self.account, work)

    def desk_of_another(self) -> "OtherReader":
        return OtherReader(self.transport.app)

    async def compare(self, copy: Account) -> None:
        """Assert that the mirror holds what the source does: tickets byte for byte at their positions."""
        tickets = await tickets_of(self.source, self.account)
        assert await tickets_of(self.target, copy) == tickets
        for kind in KINDS:
            theirs = await records_of(self.source, self.account, kind)
            ours = await records_of(self.target, copy, kind)
            if kind == "ticket_metrics":  # deleted tickets have none in the export
                deleted = {id for id, (_, body) in tickets.items() if b'"status":"deleted"' in body}
                theirs, ours = ({id: held[id] for id in held if id not in deleted} for held in (theirs, ours))
            assert ours == theirs, kind

    async def copy(self) -> Account:
        return next(each for each in await self.target.list_accounts() if each.subdomain == "copy")


async def tickets_of(store: Store, account: Account) -> dict[int, tuple[int, bytes]]:
    """(second, body) by id."""
    _, rows = await store.read_changes(
        account, Position(0, -1), 2**40, 10**6, Filters(support_type_scope="all"), links=False
    )
    return {row[1]: (row[0], row[2]) for row in rows}


async def records_of(store: Store, account: Account, kind: str) -> dict[int, Any]:
    """By id; deleted ones too, of the kinds of which a source tells them."""
    deleted = None if kind in ("users", "organizations", "groups", "brands") else False
    rows = await store.list_records(account, kind, Slice(limit=10**6), deleted=deleted)
    return {row.id: json.loads(row.body) for row in rows}


async def seconds_of(store: Store, account: Account, kind: str) -> dict[int, int]:
    """The second of each record in its feed, as far as it can be read."""
    await store.close_newest(account)
    _, rows = await store.read_record_changes(account, kind, Position(0, -1), 2**40, 10**6)
    return {row[1]: row[0] for row in rows}
