"""The one writer of an SQLite file in this process: a thread, and the works that wait for it.

A commit waits for the disk, so all works that wait at the same time share one. Each runs behind a savepoint of its
own: one that raises undoes itself alone. Nobody is told of success before the commit, and when it fails, it fails for
all of them.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

from ticketfeed.clock import Clock
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import WriteTransaction
from ticketfeed.storage.sqlite.file import connect, transaction, translated, use_write_ahead_log
from ticketfeed.storage.sqlite.transaction import SqliteTransaction, States, read_states, write_states

__all__ = ["SqliteWriter"]

T = TypeVar("T")
Work = Callable[[WriteTransaction], Any]

WRITE_CACHE_KIB = 32768
# Works of one commit: beyond a hundred there is little to gain, and the first of them waits for the last.
GROUP_MAX = 100


@dataclass(slots=True)
class _Waiting:
    """A job of its own, or the work of an account; and who waits for it."""

    future: "asyncio.Future[Any]"
    job: Callable[[], Any] | None = None
    account: Account | None = None
    work: Work | None = None
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        """In the loop's own thread. Whoever waited may have given up."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteWriter:
    """Runs one thing after the other, in the order they came."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float) -> None:
        self._path, self._clock, self._busy_seconds = path, clock, busy_seconds
        self.connection = connect(path, busy_seconds, WRITE_CACHE_KIB)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._has_log = False
        self.is_busy = False

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self.connection.close()

    async def run(self, job: Callable[[], T]) -> T:
        """Run `job` in the writer's thread, apart from all else. It begins its own transaction."""
        return cast(T, await self._wait_for(_Waiting(_new_future(), job=job)))

    async def write(self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool) -> T:
        """Run `work` in a transaction that holds the account's row; unless `alone`, others may share its commit."""
        waiting = _Waiting(_new_future(), account=account, work=work)
        if exclusive:
            return cast(T, await self.run(lambda: self._write_alone(waiting)))
        return cast(T, await self._wait_for(waiting))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """For a job: from here on it holds the write lock."""
        if not self._has_log:  # a restored file has none before its first write
            use_write_ahead_log(self.connection, self._busy_seconds)
            self._has_log = True
        with transaction(self.connection):
            yield

    async def _wait_for(self, waiting: _Waiting) -> Any:
        with self._lock:
            self._waiting.append(waiting)
            was_busy, self.is_busy = self.is_busy, True
        if not was_busy:
            self._thread.submit(self._run_waiting)
        return await waiting.future

    def _run_waiting(self) -> None:
        while self.is_busy:
            group = self._next_group()
            if group[0].job is not None:
                _run_into(group[0], group[0].job)
            else:
                self._commit_together(group)
            with self._lock:  # before anybody is told: who then looks finds the writer at rest
                self.is_busy = bool(self._waiting)
            _settle(group)

    def _next_group(self) -> list[_Waiting]:
        """One job, or works up to the next job."""
        group: list[_Waiting] = []
        with self._lock:
            while self._waiting and len(group) < GROUP_MAX and (not group or self._waiting[0].job is None):
                group.append(self._waiting.popleft())
                if group[0].job is not None:
                    break
        return group

    def _commit_together(self, group: list[_Waiting]) -> None:
        states: dict[Account, States] = {}
        try:
            with translated(self._path), self.transaction():
                for waiting in group:
                    with self._undone_alone(waiting, is_only=len(group) == 1):
                        self._write(waiting, states)
                self._write_states(states)
        except BaseException as error:
            for waiting in group:
                waiting.error = waiting.error or error

    @contextlib.contextmanager
    def _undone_alone(self, waiting: _Waiting, is_only: bool) -> Iterator[None]:
        """A work that raises takes back what it wrote, and the others go on. When the engine fails, all fail."""
        if is_only:
            yield
            return
        self.connection.execute("SAVEPOINT work")
        try:
            yield
        except Exception as error:
            if isinstance(error, apsw.Error) or not self.connection.in_transaction:
                raise
            waiting.error = error
            self.connection.execute("ROLLBACK TO work")
        self.connection.execute("RELEASE work")

    def _write_alone(self, waiting: _Waiting) -> Any:
        with translated(self._path), self.transaction():
            states: dict[Account, States] = {}
            self._write(waiting, states)
            self._write_states(states)
        return waiting.result

    def _write(self, waiting: _Waiting, states: dict[Account, States]) -> None:
        """`states` are the rows of accounts as they stand in this transaction: read once, written once at its end."""
        assert waiting.account is not None
        assert waiting.work is not None
        before = states.get(waiting.account) or read_states(self.connection, waiting.account)
        write = SqliteTransaction(self.connection, waiting.account, before, self._clock())
        waiting.result = waiting.work(write)
        states[waiting.account] = write.finish()

    def _write_states(self, states: dict[Account, States]) -> None:
        for account, after in states.items():
            if after != read_states(self.connection, account):
                write_states(self.connection, account, after)


def _new_future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


def _run_into(waiting: _Waiting, job: Callable[[], Any]) -> None:
    try:
        waiting.result = job()
    except BaseException as error:
        waiting.error = error


def _settle(group: list[_Waiting]) -> None:
    """Wake each event loop once, for all who wait there."""
    for loop in {waiting.future.get_loop() for waiting in group}:
        here = [waiting for waiting in group if waiting.future.get_loop() is loop]

        def settle(here: list[_Waiting] = here) -> None:
            for waiting in here:
                waiting.settle()

        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any longer
            loop.call_soon_threadsafe(settle)
