"""The writes of a PostgreSQL store: those of one account that wait at the same moment share a transaction.

Each account has a queue. A thread locks the account's row, and then takes all that waits by then: so one thread and one
connection do what an account writes, and a commit waits for the disk once for all of them. A work that raises before it
has changed anything leaves nothing to roll back. If one raises later, or a statement fails, all of the group is rolled
back, while the row stays locked, and each is run again behind a savepoint of its own. No write returns before the
commit, and if that fails, all of them fail.

An attempt to lock the row that fails is repeated until the last of those who wait has waited long enough; it gives its
thread and its connection to others before the next. Once the row is locked nothing is tried again, unless a statement
meets a lock of somebody else, as while Citus moves the rows: all is rolled back then, and its works wait on.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import psycopg
from psycopg_pool import PoolTimeout

from ticketfeed.protocol.errors import StoreReadOnly, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.pending_write import PendingWrite
from ticketfeed.storage.postgres.pools import PROPAGATE_SETTINGS, RETRY_SECONDS, WAIT_SECONDS, explain, is_transient
from ticketfeed.storage.postgres.threads import ConnectionThreads
from ticketfeed.storage.postgres.timeline import lock_row
from ticketfeed.storage.postgres.transaction import NeedsOwnTransaction, PostgresTransaction
from ticketfeed.storage.postgres.write_session import WriteSession, write_transaction
from ticketfeed.storage.shares import AccountSlots
from ticketfeed.storage.sql_session import end_freeze, write_states
from ticketfeed.storage.wait_budget import spend_wait
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["READ_ONLY", "STATEMENT_SECONDS", "PostgresWriter", "limit_statements"]

T = TypeVar("T")
Work = Callable[[WriteTransaction], T]
LockedWork = Callable[[WriteSession, States], T]

# No single statement of a write may take longer, once it holds the account's row.
STATEMENT_SECONDS = 60.0
# How long one attempt to lock an account's row takes.
LOCK_SECONDS = 1.0
# Writes that share a commit, as on SQLite.
GROUP_MAX = 100
READ_ONLY = "the server is a standby: name its primary, or all hosts with target_session_attrs=read-write"
_LOCKED = "another write holds the account"
_BUSY = "writes of other accounts use all connections"
_BLOCKED = "another program holds rows or a table that the write needs"


@dataclass(slots=True, eq=False)
class _Queued(PendingWrite):
    """A work that waits, or one that is done while the account's row is locked, alone; and the future of its caller."""

    work: Work[Any] | None = None
    locked_work: LockedWork[Any] | None = None
    is_alone: bool = False
    has_given_up: bool = False


@dataclass(slots=True)
class _Queue:
    """What one account waits for. `reason`: why it waits, as far as is known."""

    account: Account
    waiting: deque[_Queued] = field(default_factory=deque)
    runner: "asyncio.Task[None] | None" = None
    reason: str = _BUSY


class _NotLocked(Exception):
    """An attempt to lock an account's row has failed, before anything was done."""


class _SavepointsNeeded(Exception):
    """Something failed after a work of a group had changed something."""


class PostgresWriter:
    """Runs works, each while its account's row is locked.

    `now`: the time of a write to an account; raises StoreUnavailable while the clock is wrong. `newest`: the newest
    time that any clock shows. `compare_clocks` is called with each connection before a row is locked.
    """

    def __init__(
        self,
        threads: ConnectionThreads,
        slots: AccountSlots,
        now: Callable[[Account], int],
        newest: Callable[[], int],
        compare_clocks: Callable[[psycopg.Connection[Any]], None],
    ) -> None:
        self._threads, self._slots = threads, slots
        self._now, self._newest, self._compare_clocks = now, newest, compare_clocks
        self._queues: dict[int, _Queue] = {}
        self._lock = threading.Lock()  # of the queues: a thread takes what the event loop has put there

    async def write(self, account: Account, work: Work[T], deadline: float, *, is_alone: bool) -> T:
        """Run `work`; unless `is_alone`, it may share a transaction with others of the account.

        Waits until the monotonic time `deadline`. Raises StoreUnavailable.
        """
        return cast(T, await self._enqueue(account, deadline, work=work, is_alone=is_alone))

    async def with_row_locked(self, account: Account, work: LockedWork[T], deadline: float) -> T:
        """Run `work` alone, with the account's row. Waits as `write`."""
        return cast(T, await self._enqueue(account, deadline, locked_work=work, is_alone=True))

    def run_first(self, session: WriteSession, account: Account, work: Work[T]) -> T:
        """Lock the row of an account that this transaction has created, and run `work`."""
        session = session.renewed(account.account_id)
        states, frozen_until = lock_row(session, account, self._newest())
        end_freeze(session, account, frozen_until, self._newest())
        limit_statements(session.connection, STATEMENT_SECONDS)
        result, after = self._run_work(session, account, states, work)
        if after != states:
            write_states(session, account, after)
        return result

    async def _enqueue(self, account: Account, deadline: float, **what: Any) -> Any:
        loop, started = asyncio.get_running_loop(), time.monotonic()
        deadline = max(deadline, started + RETRY_SECONDS)
        queued = _Queued(loop.create_future(), deadline, **what)
        queue = self._queues.setdefault(account.account_id, _Queue(account))
        with self._lock:
            queue.waiting.append(queued)
        if queue.runner is None:
            queue.runner = asyncio.create_task(self._run_queue(queue))
        timer = loop.call_later(deadline - started, self._give_up, queue, queued)
        try:
            return await queued.future
        except StoreUnavailable:
            if queued.has_given_up:
                spend_wait(started)
            raise
        finally:
            timer.cancel()
            self._remove(queue, queued)

    def _give_up(self, queue: _Queue, queued: _Queued) -> None:
        if self._remove(queue, queued):
            queued.has_given_up = True
            kind = StoreReadOnly if queue.reason == READ_ONLY else StoreUnavailable
            queued.error = kind(f"the store cannot serve: {queue.reason}")
            queued.settle()

    def _give_up_late(self, queue: _Queue) -> None:
        """Those that wait again, and whose time ended while their work ran."""
        with self._lock:
            late = [queued for queued in queue.waiting if queued.deadline <= time.monotonic()]
        for queued in late:
            self._give_up(queue, queued)

    def _remove(self, queue: _Queue, queued: _Queued) -> bool:
        """Whether it still waited."""
        with self._lock:
            if queued not in queue.waiting:
                return False
            queue.waiting.remove(queued)
            return True

    async def _run_queue(self, queue: _Queue) -> None:
        """Do what the account waits for, in turns with other accounts, until nothing does."""
        try:
            while deadline := self._last_deadline(queue):
                try:
                    slot = await self._slots.take(queue.account.account_id, deadline)
                except StoreUnavailable:
                    continue
                queue.reason = _LOCKED if queue.reason == _BUSY else queue.reason
                running = self._threads.start(partial(self._run_next, queue, deadline), slot)
                try:
                    for queued in await asyncio.wrap_future(running):
                        queued.settle()
                    queue.reason = _BUSY
                except _NotLocked as error:
                    queue.reason = str(error)
                    self._give_up_late(queue)
                    await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            for queued in _fail(self._take_all(queue), error):
                queued.settle()
        finally:
            queue.runner = None
            self._queues.pop(queue.account.account_id, None)

    def _last_deadline(self, queue: _Queue) -> float:
        """Until when somebody waits; 0 if nobody does."""
        with self._lock:
            return max((queued.deadline for queued in queue.waiting), default=0.0)

    def _take_group(self, queue: _Queue) -> list[_Queued]:
        """One that is alone, or all up to the next that is."""
        group: list[_Queued] = []
        with self._lock:
            while queue.waiting and len(group) < GROUP_MAX and not (group and queue.waiting[0].is_alone):
                group.append(queue.waiting.popleft())
                if group[0].is_alone:
                    break
        return group

    def _run_next(self, queue: _Queue, deadline: float) -> list[_Queued]:
        """In a thread: lock the row, and run those that wait by then. Raises _NotLocked if it may be locked later."""
        group: list[_Queued] = []
        seconds = max(RETRY_SECONDS, min(LOCK_SECONDS, deadline - time.monotonic()))
        try:
            with (
                self._threads.pool.connection(seconds) as connection,
                write_transaction(connection) as pipeline,
            ):
                limit_statements(connection, seconds)
                self._compare_clocks(connection)
                session = WriteSession(connection, pipeline, queue.account.account_id)
                states, frozen_until = lock_row(session, queue.account, self._newest())
                group = self._take_group(queue)
                if any(queued.work is not None for queued in group):
                    end_freeze(session, queue.account, frozen_until, self._newest())
                limit_statements(connection, STATEMENT_SECONDS)
                _limit_locks(connection, group)
                self._run_group(session, queue.account, states, group)
        except (psycopg.Error, PoolTimeout) as error:
            if not group and (reason := self._why_not_locked(error)):
                raise _NotLocked(reason) from error
            if group and isinstance(error, psycopg.errors.LockNotAvailable) and not group[0].is_alone:
                self._put_back(queue, group)
                raise _NotLocked(_BLOCKED) from error
            failure = StoreUnavailable(f"the store cannot serve: {explain(error)}")
            failure.__cause__ = error
            group = _fail(group or self._take_all(queue), failure)
        except BaseException as error:
            group = _fail(group or self._take_all(queue), error)
        return group

    def _put_back(self, queue: _Queue, group: list[_Queued]) -> None:
        """Let works of a transaction that was rolled back wait again, before the others."""
        for queued in group:
            queued.result = queued.error = None
        with self._lock:
            queue.waiting.extendleft(queued for queued in reversed(group) if not queued.future.done())

    def _take_all(self, queue: _Queue) -> list[_Queued]:
        with self._lock:
            taken = list(queue.waiting)
            queue.waiting.clear()
        return taken

    def _why_not_locked(self, error: psycopg.Error | PoolTimeout) -> str | None:
        """Why the row could not be locked, if it may be in a moment."""
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
            return _LOCKED
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self._threads.pool.drain()  # of several hosts in the URL, another one may be the primary now
            return READ_ONLY
        return explain(error) if is_transient(error) else None

    def _run_group(self, session: WriteSession, account: Account, states: States, group: list[_Queued]) -> None:
        """Raises what fails all of them."""
        if len(group) < 2:
            for queued in group:
                self._run_alone(session, account, states, queued)
            return
        connection = session.connection
        connection.execute("SAVEPOINT works")
        try:
            after = self._run_shared(session.renewed(account.account_id, is_shared=True), account, states, group)
        except (_SavepointsNeeded, psycopg.Error) as error:
            session.roll_back_to("works", error)
            after = states
            for queued in group:
                after = self._run_behind_savepoint(session.renewed(account.account_id), account, after, queued)
        # Before the row is written: a transaction that locks a row and writes it in a savepoint holds it twice.
        connection.execute("RELEASE SAVEPOINT works")
        if after != states:
            write_states(session, account, after)

    def _run_alone(self, session: WriteSession, account: Account, states: States, queued: _Queued) -> None:
        if queued.work is None:
            assert queued.locked_work is not None
            self._now(account)  # raises if the clock is wrong
            queued.result = queued.locked_work(session, states)
            return
        queued.result, after = self._run_work(session, account, states, queued.work)
        if after != states:
            write_states(session, account, after)

    def _run_work(self, session: WriteSession, account: Account, states: States, work: Work[T]) -> tuple[T, States]:
        """Run a work and store all that it puts; returns its result, and the row after it."""
        transaction = PostgresTransaction(session, account, states, self._now(account))
        result = work(cast(WriteTransaction, transaction))
        return result, transaction.finish_last()

    def _run_shared(self, session: WriteSession, account: Account, states: States, group: list[_Queued]) -> States:
        """Run the works of a group in turn; returns the row after them. Raises _SavepointsNeeded."""
        for queued in group:
            assert queued.work is not None
            changes = session.changes
            try:
                transaction = PostgresTransaction(session, account, states, self._now(account))
            except StoreUnavailable as error:
                queued.error = error
                continue
            try:
                queued.result = queued.work(cast(WriteTransaction, transaction))
            except psycopg.Error:
                raise
            except NeedsOwnTransaction:
                raise _SavepointsNeeded from None
            except Exception as error:
                if session.changes != changes:
                    raise _SavepointsNeeded from None
                queued.error = error
            states = transaction.finish()  # also of one that failed: it may have counted what others have put
        states = PostgresTransaction(session, account, states, 0).finish_last()
        session.sync()
        return states

    def _run_behind_savepoint(self, session: WriteSession, account: Account, states: States, queued: _Queued) -> States:
        assert queued.work is not None
        queued.result = queued.error = None
        session.connection.execute("SAVEPOINT work")
        try:
            queued.result, after = self._run_work(session, account, states, queued.work)
            session.connection.execute("RELEASE SAVEPOINT work")
            session.sync()
            return after
        except Exception as error:
            session.roll_back_to("work", error)
            session.connection.execute("RELEASE SAVEPOINT work")
            queued.error = error
            if isinstance(error, psycopg.Error):
                queued.error = StoreUnavailable(f"the store cannot serve: {explain(error)}")
        return states


def _fail(group: list[_Queued], error: BaseException) -> list[_Queued]:
    for queued in group:
        queued.error = queued.error or error
    return group


def limit_statements(connection: psycopg.Connection[Any], seconds: float) -> None:
    """End each further statement of the transaction that takes longer, or waits longer for a lock."""
    connection.execute(f"SET LOCAL statement_timeout = {round(seconds * 1000)}".encode())


def _limit_locks(connection: psycopg.Connection[Any], group: list[_Queued]) -> None:
    """End each statement that waits longer for a lock than the first of the group does, on nodes of Citus too. A long
    work waits longer: it cannot be run again."""
    longest = LOCK_SECONDS
    if any(queued.is_alone for queued in group):
        longest = WAIT_SECONDS
    elif group:
        longest = min(LOCK_SECONDS, *(queued.deadline - time.monotonic() for queued in group))
    connection.execute(f"SET LOCAL {PROPAGATE_SETTINGS}".encode())
    connection.execute(f"SET LOCAL lock_timeout = {round(max(RETRY_SECONDS, longest) * 1000)}".encode())
