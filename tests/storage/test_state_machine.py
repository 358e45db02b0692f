"""Any sequence of calls to a store does what a plain model of the contract does; Hypothesis looks for another.

The model is written from the promise's own words, in plain arithmetic, and shares no code with the stores.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.storage.contract import NOON, ManualClock, putting, ticket, user
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.watermark import FENCED
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction

IDS = st.integers(1, 6) | st.sampled_from([2**40, 2**63 - 1])
SECONDS = st.integers(NOON - 50, NOON)
STATUSES = st.sampled_from(["open", "deleted"])
SUPPORT_TYPES = st.sampled_from([None, "agent", "ai_agent"])
DRAFTS = st.lists(st.tuples(IDS, SECONDS, STATUSES, SUPPORT_TYPES), max_size=8)
STEPS = st.sampled_from([0, 1, 1, 2, 6, 50, -1, -4, -7, -1000])
NAMES = st.sampled_from(["acme", "other"])
CLOCKS = st.builds(
    MovedClock, st.sampled_from([0, 3, 50, 5000, -3, -4000]), st.sampled_from([None, None, NOON, NOON + 90])
)


class _Model:
    """One account. A ticket is (second, subject, status, support_type) by its id, a user (second, name)."""

    def __init__(self) -> None:
        self.stored = self.followed = MovedClock()
        self.last = self.watermark = self.invalidations = self.record_changes = 0
        self.tickets: dict[int, tuple[int, str, str, str | None]] = {}
        self.user_last = self.user_watermark = 0
        self.users: dict[int, tuple[int, str]] = {}

    def put(self, drafts: list[Any], subjects: list[str], now: int, keep: bool) -> None:
        second = max(now, self.last, self.watermark + 1)
        newest: dict[int, int] = {}
        written = {id for id, *_ in drafts} & self.tickets.keys()
        self.invalidations += sum(self.tickets[id][0] <= self.watermark for id in written)
        for (id, given, status, support_type), subject in zip(drafts, subjects, strict=True):
            if given >= newest.get(id, 0):
                newest[id] = given
                self.tickets[id] = (given if keep else second, subject, status, support_type)
        if drafts:
            self.last = max([self.last, *(self.tickets[id][0] for id in newest)])
            self.watermark = max(self.watermark, self.last - 1, min(self.last, now - 1))

    def put_user(self, id: int, name: str, given: int, now: int) -> None:
        """At its own time, until a reader or a fence has moved the watermark of the users."""
        second = max(now, self.user_last, self.user_watermark + 1) if self.user_watermark else given
        self.users[id] = (second, name)
        self.record_changes += 1
        self.user_last = max(self.user_last, second)
        if self.user_watermark:
            self.user_watermark = max(self.user_watermark, self.user_last - 1, min(self.user_last, now - 1))

    def close(self, now: int) -> bool:
        """The newest second of tickets is open, and over; or seconds of users are, that are over."""
        closes = self.watermark < self.last < now
        closes_users = self.user_watermark < min(self.user_last, now - 1)
        if closes:
            self.watermark = self.last
        if closes_users:
            self.user_watermark = min(self.user_last, now - 1)
        return closes or closes_users

    def fence(self, now: int, clock_error_seconds: int) -> None:
        """Past whatever a clock so far off can have given out."""
        self.watermark = max(self.watermark, self.last, now + clock_error_seconds)
        self.invalidations += FENCED
        self.record_changes += FENCED
        self.user_watermark = max(self.user_watermark, self.user_last, now + clock_error_seconds)

    def page(self, after: Position, until: int, limit: int, filters: Filters) -> list[tuple[int, int, str]]:
        found = []
        for id, (second, subject, status, support_type) in self.tickets.items():
            scope = support_type or "agent"
            wanted = filters.support_type_scope in ("all", scope) and not (
                filters.exclude_deleted and status == "deleted"
            )
            if wanted and after < (second, id) and second <= min(until, self.watermark):
                found.append((second, id, subject))
        return sorted(found)[:limit]


class StoreMachine(RuleBasedStateMachine):
    """Two accounts in one store, under a clock that goes where it likes."""

    open_store: Callable[[Path, ManualClock], Store]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="ticketfeed-")
        self._runner = asyncio.Runner()
        self._clock = ManualClock()
        self._store = self._open()
        self._models = {"acme": _Model(), "other": _Model()}
        self._accounts: dict[str, Account] = {}
        self._subjects = iter(range(10**9))

    def _open(self) -> Store:
        return type(self).open_store(Path(self._folder.name) / "t.db", self._clock)

    def _run(self, work: Any) -> Any:
        return self._runner.run(work)

    @initialize()
    def make_accounts(self) -> None:
        for name in self._models:
            self._accounts[name] = self._run(self._store.create_account(name))

    @rule(step=STEPS)
    def move_clock(self, step: int) -> None:
        self._clock.now += step

    @rule(name=NAMES, clock=CLOCKS)
    def move_clock_of_account(self, name: str, clock: MovedClock) -> None:
        self._run(self._store.write(self._accounts[name], lambda write: write.put_clock(clock)))
        self._models[name].stored = clock

    @rule()
    def follow_clocks(self) -> None:
        self._store.clocks.replace(self._run(self._store.read_clocks()))
        for model in self._models.values():
            model.followed = model.stored

    @rule(name=NAMES, drafts=DRAFTS)
    def put(self, name: str, drafts: list[Any]) -> None:
        self._put(name, drafts, keep=False)

    @rule(name=NAMES, drafts=DRAFTS)
    def load_history(self, name: str, drafts: list[Any]) -> None:
        model = self._models[name]
        if not model.tickets and not model.watermark:
            self._put(name, drafts, keep=True)
        else:
            with pytest.raises(ValueError, match="without tickets"):
                self._run(self._store.write(self._accounts[name], putting([ticket(1)], keep=True)))

    def _put(self, name: str, drafts: list[Any], keep: bool) -> None:
        subjects = [str(next(self._subjects)) for _ in drafts]
        made = [
            ticket(id, second, status=status, support_type=support_type, subject=subject)
            for (id, second, status, support_type), subject in zip(drafts, subjects, strict=True)
        ]
        assert self._run(self._store.write(self._accounts[name], putting(iter(made), keep=keep))) == len(drafts)
        self._models[name].put(drafts, subjects, self._now(name), keep)

    @rule(name=NAMES, drafts=DRAFTS)
    def fail_in_the_middle(self, name: str, drafts: list[Any]) -> None:
        def work(transaction: WriteTransaction) -> None:
            transaction.put_tickets(ticket(id, second) for id, second, _, _ in drafts)
            transaction.put_records([user(1, name="never")])
            raise BadInput("no")

        with pytest.raises(BadInput):
            self._run(self._store.write(self._accounts[name], work))

    @rule(name=NAMES, id=st.integers(1, 3), given=SECONDS)
    def put_user(self, name: str, id: int, given: int) -> None:
        subject = str(next(self._subjects))
        draft = user(id, name=subject, updated_at=wire_second(given))
        self._run(self._store.write(self._accounts[name], lambda t: t.put_records([draft])))
        self._models[name].put_user(id, subject, given, self._now(name))

    @rule(name=NAMES, second=SECONDS | st.sampled_from([0, NOON + 60]), id=st.integers(-1, 4), limit=st.integers(1, 4))
    def read_users(self, name: str, second: int, id: int, limit: int) -> None:
        model, after = self._models[name], Position(second, id)
        until = NOON + 50
        state, rows = self._run(self._store.read_record_changes(self._accounts[name], "users", after, until, limit))
        found = sorted((second, id) for id, (second, _) in model.users.items())
        expected = [at for at in found if after < at and at[0] <= min(until, model.user_watermark)]
        assert [(row[0], row[1]) for row in rows] == expected[:limit]
        assert state == FeedState(model.user_last, model.user_watermark)

    @rule(name=NAMES)
    def close_newest(self, name: str) -> None:
        closed = self._run(self._store.close_newest(self._accounts[name]))
        assert closed == self._models[name].close(self._now(name))

    @rule(name=NAMES, seconds=st.sampled_from([0, 5, 300]))
    def fence(self, name: str, seconds: int) -> None:
        stored = self._models[name].stored
        shown = self._clock.now + stored.offset_seconds if stored.frozen_at is None else stored.frozen_at
        self._models[name].fence(max(self._clock.now, shown), seconds)
        assert self._run(self._store.fence(self._accounts[name], seconds)) == self._state(name)

    @precondition(lambda self: not isinstance(self._store, MemoryStore))
    @rule(crashes=st.booleans())
    def reopen(self, crashes: bool) -> None:
        old, self._store = self._store, self._open()
        assert old.store_id == self._store.store_id
        for model in self._models.values():
            model.followed = MovedClock()
        if not crashes:
            self._run(old.close())

    @rule(
        name=NAMES,
        second=SECONDS | st.integers(NOON, NOON + 60) | st.sampled_from([0, -(2**63) + 1, 2**63 - 1]),
        id=IDS | st.sampled_from([-1, 0]),
        until=st.integers(NOON - 60, NOON + 60) | st.just(2**62),
        limit=st.integers(1, 12),
        exclude_deleted=st.booleans(),
        scope=st.sampled_from(["all", "agent", "ai_agent"]),
        links=st.booleans(),
    )
    def read(
        self, name: str, second: int, id: int, until: int, limit: int, exclude_deleted: bool, scope: Any, links: bool
    ) -> None:
        filters, after = Filters(exclude_deleted, scope), Position(second, id)
        account = self._accounts[name]
        state, rows = self._run(self._store.read_changes(account, after, until, limit, filters, links=links))
        given = [(row[0], row[1], _subject(bytes(row[2]), row[0])) for row in rows]
        assert given == self._models[name].page(after, until, limit, filters)
        assert state == self._state(name)

    @invariant()
    def the_rows_are_the_models(self) -> None:
        for name, account in self._accounts.items():
            assert self._run(self._store.read_state(account)) == self._state(name)
            found = self._run(self._store.read_records(account, "users", [1, 2, 3]))
            assert len(found) == len(self._models[name].users)
            expected = sorted(self._models[name].users.items())
            for (id, body), (user_id, (_, subject)) in zip(found, expected, strict=True):
                assert id == user_id
                assert b'"name":"%s"' % subject.encode() in body

    def _now(self, name: str) -> int:
        clock = self._models[name].followed
        return self._clock.now + clock.offset_seconds if clock.frozen_at is None else clock.frozen_at

    def _state(self, name: str) -> FeedState:
        model = self._models[name]
        counts = len(model.tickets), model.invalidations, model.record_changes
        return FeedState(model.last, model.watermark, *counts)

    def teardown(self) -> None:
        self._run(self._store.close())
        self._runner.close()
        self._folder.cleanup()


def _subject(body: bytes, second: int) -> str:
    """Found in the bytes, which must carry the row's second."""
    assert b'"generated_timestamp":%d,' % second in body
    return body.partition(b'"subject":"')[2].partition(b'"')[0].decode()


class MemoryMachine(StoreMachine):
    open_store = staticmethod(lambda _path, clock: MemoryStore(clock))


class SqliteMachine(StoreMachine):
    open_store = staticmethod(lambda path, clock: SqliteStore.open(path, clock))


@pytest.mark.parametrize(
    ("machine", "examples"), [(MemoryMachine, 150), (SqliteMachine, 100)], ids=["memory", "sqlite"]
)
def test_any_sequence_of_calls(machine: type[StoreMachine], examples: int) -> None:
    """Whatever is called in whatever order, rows, pages and refusals are those of the model."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Not Phase.explain: it would run a failing sequence for minutes more.
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        ),
    )
