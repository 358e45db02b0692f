"""Runs a script against a real store, with the memory store on the same script as the judge.

Each process of the script has a store object of its own on the same data, and its own clock. Everything runs step
by step; a write in flight is a real transaction that stands still between two steps. At every step the account
rows and pages of store and judge are compared, byte for byte, and shown to the Observer.
"""

import asyncio
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from tests.engines import dump, forget_fences
from tests.simulation.observer import EVERYTHING, Attempt, Figures, GivenPage, Observer, Row, passes, version_of
from tests.simulation.script import (
    ACCOUNTS,
    PROCESSES,
    START_SECOND,
    Arrive,
    Ask,
    Close,
    Fence,
    Follow,
    Hold,
    Move,
    Release,
    Reopen,
    Step,
    Tick,
    Write,
    make_script,
    render,
)
from tests.simulation.works import make_drafts, put, put_and_wait
from ticketfeed.export.source import read_page
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, Filters, Page, Position, SupportTypeScope
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.query import parse_export_request
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.memory import MemoryStore

# A step that takes longer has waited for something that never comes. Nothing in a step waits for another.
STEP_SECONDS_MAX = 30.0
STEPS = 250


class Violation(AssertionError):
    """The promise was broken, or store and judge differ."""


def run_seed(seed: int, url: str, steps: int = STEPS) -> Figures:
    """Take a new pair of accounts in the store at `url` through the script of this seed. Raises Violation."""
    script = make_script(seed, steps)
    world = _World(url, seed)
    try:
        asyncio.run(world.run(script))
    except Exception as error:
        engine = url.partition(":")[0].replace("postgresql", "postgres")
        done = "\n".join(f"{number:5} {render(step)}" for number, step in enumerate(script[: world.figures.steps + 1]))
        raise Violation(
            f"{type(error).__name__}: {error}\nseed {seed} on {engine}, after these steps:\n{done}\n"
            f"replay: python -m tests.simulation --seed {seed} --steps {steps} --store {engine}"
        ) from error
    return world.figures


@dataclass
class _Reader:
    arrived: Arrive
    name: str
    filters: Filters
    parameters: dict[str, str]
    after: Position


@dataclass
class _Flight:
    """A write that stands still in its transaction, in the store and in the judge."""

    write: Write
    drafts: list[TicketDraft]
    began: int
    release: threading.Event = field(default_factory=threading.Event)
    tasks: list["asyncio.Task[int]"] = field(default_factory=list)
    behind: list["asyncio.Task[int]"] = field(default_factory=list)


class _World:
    def __init__(self, url: str, seed: int) -> None:
        self.figures = Figures(seeds=1)
        self._url, self._seed = url, seed
        self._clocks = [START_SECOND] * PROCESSES
        self._acting = 0
        self._judge = MemoryStore(lambda: self._clocks[self._acting])
        self._stores: list[Store] = []
        self._abandoned: list[Store] = []
        self._accounts: list[tuple[Account, Account]] = []
        self._observer = Observer()
        self._readers: dict[int, _Reader] = {}
        self._latest: list[dict[int, tuple[Row, bytes]]] = [{} for _ in ACCOUNTS]
        self._attempts: list[list[Attempt]] = [[] for _ in ACCOUNTS]
        self._flight: _Flight | None = None

    async def run(self, script: list[Step]) -> None:
        try:
            for process in range(PROCESSES):
                self._stores.append(await self._open(process))
            forget_fences(self._url)
            for name in ACCOUNTS:
                real = await self._stores[0].create_account(f"{name}-{self._seed}-{id(self)}")
                self._accounts.append((real, await self._judge.create_account(name)))
            for step in script:
                await asyncio.wait_for(self._take(step), STEP_SECONDS_MAX)
                await self._compare_states()
                self.figures.steps += 1
            await self._finish()
        finally:
            if self._flight:
                self._flight.release.set()
                await asyncio.gather(*self._flight.tasks, *self._flight.behind, return_exceptions=True)
            for store in (*self._stores, *self._abandoned):
                await store.close()

    async def _open(self, process: int) -> Store:
        return await open_store(self._url, lambda: self._clocks[process])

    async def _take(self, step: Step) -> None:
        self._act_as(getattr(step, "process", self._acting))
        match step:
            case Tick():
                self._clocks[step.process] += step.seconds
            case Write():
                await self._write(step)
            case Hold():
                await self._hold(step)
            case Release():
                await self._release()
            case Arrive():
                self._arrive(step)
            case Ask():
                await self._ask(self._readers[step.reader], step)
            case Close():
                await self._close(step)
            case Fence():
                states = [await store.fence(account, step.clock_error_seconds) for store, account in self._both(step)]
                self._expect_equal("the fenced account row", *states)
            case Reopen():
                await self._reopen(step)
            case Move():
                await self._move(step)
            case Follow():
                await self._follow(step.process)

    def _act_as(self, process: int) -> None:
        """The judge goes by the clocks that this process goes by."""
        self._acting = process
        clocks = self._stores[process].clocks
        self._judge.clocks.at = lambda account, now: clocks.at(self._real_of(account), now)  # type: ignore[method-assign]

    def _real_of(self, judged: Account) -> Account:
        return next(real for real, each in self._accounts if each == judged)

    async def _move(self, step: Move) -> None:
        now = self._clocks[step.process] + step.seconds
        clock = MovedClock(0, now) if step.frozen else MovedClock(step.seconds)
        for store, account in self._both(step):
            await store.write(account, lambda write: write.put_clock(clock))
        await self._follow(step.process)

    async def _follow(self, process: int) -> None:
        store = self._stores[process]
        store.clocks.replace(await store.read_clocks())

    async def _write(self, step: Write) -> None:
        drafts = make_drafts(step, self.figures.steps)
        results = []
        for store, account in self._both(step):
            try:
                results.append(await store.write(account, partial(put, step, drafts)))
            except BadInput:
                results.append(-1)
        self._expect_equal("a write's result", *results)
        if not step.fails:
            await self._written(step, drafts, began=self.figures.steps)

    async def _hold(self, step: Hold) -> None:
        """Begin a write in the store and in the judge, and leave both standing once they have put their drafts."""
        self._act_as(step.write.process)
        self._flight = flight = _Flight(step.write, make_drafts(step.write, self.figures.steps), self.figures.steps)
        for store, account in self._both(step.write):
            has_put = threading.Event()
            work = partial(put_and_wait, step.write, flight.drafts, has_put, flight.release)
            flight.tasks.append(asyncio.create_task(store.write(account, work)))
            if not await asyncio.to_thread(has_put.wait, STEP_SECONDS_MAX / 2):
                raise Violation(f"{type(store).__name__}: a write did not begin")
            behind = partial(put, replace(step.write, fails=True), flight.drafts[:1])
            flight.behind += [asyncio.create_task(store.write(account, behind)) for _ in range(step.behind)]

    async def _release(self) -> None:
        assert self._flight
        flight, self._flight = self._flight, None
        flight.release.set()
        outcomes = await asyncio.gather(*flight.tasks, return_exceptions=True)
        self._expect_equal("a write's outcome", *(type(outcome) for outcome in outcomes))
        refused = await asyncio.gather(*flight.behind, return_exceptions=True)
        self._expect_equal("the writes behind it", {type(outcome) for outcome in refused} - {BadInput}, set())
        if not flight.write.fails:
            await self._written(flight.write, flight.drafts, flight.began)

    async def _written(self, step: Write, drafts: list[TicketDraft], began: int) -> None:
        """Work out what the account holds now: the write's second is the newest of the account."""
        self.figures.writes += 1
        state = await self._stores[step.process].read_state(self._accounts[step.account][0])
        chosen: dict[int, TicketDraft] = {}
        for draft in drafts:
            if draft.id not in chosen or draft.generated_timestamp >= chosen[draft.id].generated_timestamp:
                chosen[draft.id] = draft
        latest, versions = self._latest[step.account], {}
        for id, draft in chosen.items():
            second = draft.generated_timestamp if step.keep else state.last_generated_timestamp
            body = draft.body(second)
            latest[id] = (Row(second, id, version_of(body, second)), body)
            versions[id] = latest[id][0].version
        now = self.figures.steps
        self._attempts[step.account].append(Attempt(f"step {began}", "", versions, began - 0.5, now, step.keep))
        self._expect_equal("ticket_count", state.ticket_count, len(latest))

    def _arrive(self, step: Arrive) -> None:
        filters = Filters(step.exclude_deleted, cast(SupportTypeScope, step.scope))
        parameters = {"start_time": str(step.start_time), "support_type_scope": step.scope}
        if step.exclude_deleted:
            parameters["exclude_deleted"] = "true"
        self._readers[step.reader] = _Reader(
            step, f"reader {step.reader}", filters, parameters, Position(step.start_time, -1)
        )

    async def _ask(self, reader: _Reader, step: Ask) -> None:
        self._act_as(step.process)  # which may have been reopened since its last step
        for _ in range(step.pages):
            if await self._page(reader, step):
                return

    async def _page(self, reader: _Reader, step: Ask) -> bool:
        """Ask for one page as a request would, cursor as text; returns whether the stream ended."""
        real, _ = self._accounts[reader.arrived.account]
        now = self._stores[step.process].clocks.at(real, self._clocks[step.process]) + reader.arrived.ahead_seconds
        settle_seconds = reader.arrived.settle_seconds
        parameters = {**reader.parameters, "per_page": str(step.per_page), "include": step.include}
        request = parse_export_request(parameters, now=now, start_time_margin_seconds=0)
        self._expect_equal("the cursor's position", request.after, reader.after)
        pages: list[Page] = []
        for store, account in self._both(step, reader.arrived.account):
            pages.append(await read_page(store, account, request, now=now, settle_seconds=settle_seconds))
        page, judged = pages
        self._expect_equal("a page", _plain(page), _plain(judged))
        if len(page.rows) > step.per_page:
            raise Violation(f"{len(page.rows)} tickets on a page of {step.per_page}")
        reader.after = page.after
        if page.rows:
            reader.parameters["cursor"] = encode_cursor(page.after)
        self._show(reader, request.after, page)
        if page.end_of_stream:
            state = await self._stores[step.process].read_state(real)
            self._expect_complete(reader, min(state.watermark, now - settle_seconds))
        return page.end_of_stream

    def _show(self, reader: _Reader, after: Position, page: Page) -> None:
        self.figures.pages += 1
        rows = tuple(Row(second, id, version_of(bytes(body), second)) for second, id, body, *_ in page.rows)
        account = ACCOUNTS[reader.arrived.account]
        time = self.figures.pages
        given = GivenPage(reader.name, account, reader.filters, after, rows, page.after, page.end_of_stream, time, time)
        self._observer.page(given)
        self._raise_violations()

    def _expect_complete(self, reader: _Reader, upto: int) -> None:
        latest = self._latest[reader.arrived.account].values()
        wanted = (row for row, body in latest if row.second <= upto and passes(reader.filters, body))
        self._observer.stream_ended(reader.name, wanted)
        self._raise_violations()

    async def _close(self, step: Close) -> None:
        results = [await store.close_newest(account) for store, account in self._both(step)]
        self._expect_equal("close_newest", *results)
        if self._flight and self._flight.write.account == step.account and results[0]:
            raise Violation("a second was closed while a write was in flight")

    async def _reopen(self, step: Reopen) -> None:
        old = self._stores[step.process]
        if step.crashes:
            self._abandoned.append(old)
        else:
            await old.close()
        self._stores[step.process] = await self._open(step.process)
        self._expect_equal("store_id", self._stores[step.process].store_id, old.store_id)

    async def _compare_states(self) -> None:
        for name, (real, judged) in zip(ACCOUNTS, self._accounts, strict=True):
            state = await self._stores[self._acting].read_state(real)
            self._expect_equal("the account row", state, await self._judge.read_state(judged))
            self._observer.state(name, state)
        self._raise_violations()

    async def _finish(self) -> None:
        """Far ahead of every second so far, every reader walks to the end, and holds what the store holds."""
        self._clocks = [START_SECOND + 10**9] * PROCESSES
        for store in self._stores:
            store.clocks.replace({})
        for index, name in enumerate(ACCOUNTS):
            self._arrive(Arrive(-1 - index, index, 0, False, "all", 0, 0))
            for reader in [r for r in self._readers.values() if r.arrived.account == index]:
                await self._ask(reader, Ask(reader.arrived.reader % PROCESSES, 0, 997, 10**6, ""))
            final = await asyncio.to_thread(dump, self._url, self._accounts[index][0])
            expected = {id: (row.second, body) for id, (row, body) in self._latest[index].items()}
            self._expect_equal(f"the rows of {name}", final, expected)
            for reader in [r for r in self._readers.values() if r.arrived.account == index]:
                self._observer.drained(reader.name, reader.filters, final)
            self._observer.finished(name, final)
            self.figures.acknowledged += self._observer.writes(name, self._attempts[index], final)
        assert EVERYTHING in {reader.filters for reader in self._readers.values()}
        self._raise_violations()

    def _both(self, step: Any, account: int | None = None) -> list[tuple[Store, Account]]:
        real, judged = self._accounts[step.account if account is None else account]
        return [(self._stores[step.process], real), (self._judge, judged)]

    def _expect_equal(self, what: str, real: object, judged: object) -> None:
        if real != judged:
            raise Violation(f"{what}: the store has {str(real)[:2000]}, the judge {str(judged)[:2000]}")

    def _raise_violations(self) -> None:
        if self._observer.violations:
            raise Violation("\n".join(self._observer.violations[:10]))


def _plain(page: Page) -> tuple[Any, ...]:
    rows = [(second, id, bytes(body)) for second, id, body, *_ in page.rows]
    return rows, page.after, page.end_of_stream, page.sideloads
