"""The single writer of an SQLite file in this process: a thread with a queue of writes.

A commit waits for the disk, so writes that are queued at the same time share one (group commit). One that raises is
rolled back, and the rest still commit. Most raise before they change anything, and then there is nothing to roll back;
if one raises later, the group is rolled back and run again with a savepoint before each write. Savepoints from the
start would cost more than the statements of a write, as SQLite then copies each page of 32 KB that is changed (47 of
73 microseconds a ticket). No write returns before the commit, and if that fails, all of them fail.

The lock of the file may be held by another process. A write waits for it once, from when it was queued; those of a
group as long as the first of them, and one that was queued behind others that waited in vain hardly waits any more.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

from ticketfeed.clock import Clock
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.clock_check import ClockCheck
from ticketfeed.storage.pending_write import PendingWrite
from ticketfeed.storage.sql_session import end_freeze, lock_states, no_account_row, write_states
from ticketfeed.storage.sqlite.file import connect, put_file_id, transaction, translated, use_write_ahead_log
from ticketfeed.storage.sqlite.file_id import LOG_HEADER_BYTES, FileId, log_path
from ticketfeed.storage.sqlite.page_gaps import overwrite_gaps
from ticketfeed.storage.sqlite.search_index import overwrite_texts
from ticketfeed.storage.sqlite.session import QUERIES, SqliteSession, SqliteTransaction
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["SqliteWriter"]

T = TypeVar("T")
Work = Callable[[WriteTransaction], Any]

WRITE_CACHE_KIB = 32768
# Writes that share a commit. A hundred give nearly all there is to gain, and the first of them waits for the last.
GROUP_MAX = 100


# How long an erasure waits for those who read from the log; a page takes milliseconds, a backup minutes.
CHECKPOINT_SECONDS = 0.5
# A file whose pages are read in some ten milliseconds.
SMALL_FILE_BYTES = 64 * 1024 * 1024


class _SavepointsNeeded(Exception):
    """A write of a group failed after it had changed something."""


@dataclass(slots=True, eq=False)
class _Queued(PendingWrite):
    """A job with a transaction of its own, or a write of an account; and the future of its caller.

    `deadline`: the monotonic time until which it waits for the write lock.
    """

    job: Callable[[], Any] | None = None
    account: Account | None = None
    work: Work | None = None


class SqliteWriter:
    """Runs jobs and writes one after the other, in order."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        now: Callable[[Account], int],
        busy_seconds: float,
        clock_check: ClockCheck,
    ) -> None:
        """`now`: by the clock of an account."""
        self._path, self._clock, self._account_now, self._busy_seconds = path, clock, now, busy_seconds
        self._clock_check = clock_check
        self.connection = connect(path, busy_seconds, WRITE_CACHE_KIB)
        self.session = SqliteSession(self.connection)
        self.file_id = FileId(path, int(self.connection.execute("PRAGMA user_version").get))
        # The header of the log that has the file's id.
        self._marked_log: bytes | None = None
        self._log_path = str(log_path(path))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._lock = threading.Lock()
        self._queue: deque[_Queued] = deque()
        self._has_log = False
        self._deadline = 0.0  # of what runs now
        # An earlier process may have ended before it could overwrite.
        self._must_overwrite = self._must_empty_log = self._must_overwrite_texts = self._is_left()
        self.is_busy = False

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._deadline = time.monotonic() + self._busy_seconds
        is_replaced = self.file_id.is_replaced()
        if not is_replaced:
            self.overwrite_erased(at_once=True)
        self.connection.close()
        self.file_id.close()

    async def run(self, job: Callable[[], T]) -> T:
        """Run `job` in the writer's thread. It begins a transaction of its own."""
        return cast(T, await self._enqueue(self._queued(job=job)))

    async def write(self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool) -> T:
        """Run `work` in a transaction that holds the account's row; unless `exclusive`, others may share its commit."""
        queued = self._queued(account=account, work=work)
        if exclusive:
            return cast(T, await self.run(lambda: self._write_exclusively(queued)))
        return cast(T, await self._enqueue(queued))

    def _now(self, account: Account) -> int:
        """The time of a write. Raises StoreUnavailable while the machine's clock is wrong."""
        self._clock_check.refuse()
        return self._account_now(account)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock, for a job. It is waited for until the job's deadline."""
        remaining = max(0.0, self._deadline - time.monotonic())
        if not self._has_log:  # a restored file has no write-ahead log before its first write
            use_write_ahead_log(self.connection, remaining)
            self._has_log = True
        self.connection.set_busy_timeout(round(remaining * 1000))
        with transaction(self.connection):
            self.file_id.refuse_replaced()
            is_marked = self._marked_log is not None and self._log_header() == self._marked_log
            if not is_marked:
                self.file_id.number = put_file_id(self.connection)
            yield
        if not is_marked:
            self._marked_log = self._log_header()

    def _log_header(self) -> bytes:
        """It changes whenever the log begins anew."""
        try:
            log = os.open(self._log_path, os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.read(log, LOG_HEADER_BYTES)
        finally:
            os.close(log)

    def overwrite_erased(self, *, at_once: bool = False) -> None:
        """Overwrite what the file and its write-ahead log hold of rows that were erased, if any were.

        The log holds pages as they were before, and cannot be emptied while somebody reads from it; the next write
        tries again. In a large file it takes seconds to overwrite the gaps and to rewrite the search index, so that
        waits for `at_once`, which also does what another process has left.
        """
        with contextlib.suppress(apsw.Error):  # the file cannot be read; then it is not overwritten either
            if at_once and not self._must_overwrite and self._is_left():
                self.note_erasure()
        if not self._must_overwrite or not (at_once or self._path.stat().st_size <= SMALL_FILE_BYTES):
            self._empty_log()
            return
        try:
            if self._must_overwrite_texts:
                with self.transaction():
                    overwrite_texts(self.connection, QUERIES)
                self._must_overwrite_texts, self._must_empty_log = False, True
            if self._empty_log():
                with self.transaction():
                    if os.stat(self._log_path).st_size:
                        return  # another process has written meanwhile
                    overwrite_gaps(self._path)
                    # A commit, so that other processes drop the pages that they have in memory; ours are dropped below.
                    self.session.execute("put_overwritten", {})
                self.connection.execute("PRAGMA shrink_memory")
                self._must_overwrite, self._must_empty_log = False, True
                self._empty_log()
        except (apsw.Error, OSError):  # the write itself is done; the next one tries again
            return

    def _is_left(self) -> bool:
        """Whether a process has erased rows and not overwritten them, or not yet."""
        erased, overwritten = (self.session.value(name, {}) or 0 for name in ("count_erasures", "count_overwritten"))
        return bool(erased != overwritten)

    def note_erasure(self) -> None:
        """The transaction in progress erases rows."""
        self._must_overwrite = self._must_empty_log = self._must_overwrite_texts = True

    def _empty_log(self) -> bool:
        """Whether the log is empty; only tried after an erasure."""
        if self._must_empty_log:
            try:
                self.connection.set_busy_timeout(round(CHECKPOINT_SECONDS * 1000))
                is_busy, _, _ = next(self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
                self._must_empty_log = bool(is_busy)
            except apsw.Error:
                return False
        return not self._must_empty_log

    def run_in_transaction(self, account: Account, work: Work) -> None:
        """Run the work of a write in the transaction that a job has begun."""
        before = self._lock_row(account)
        write = SqliteTransaction(self.session, account, before, self._now(account))
        work(write)
        write_states(self.session, account, write.finish())

    def _queued(self, **what: Any) -> _Queued:
        return _Queued(asyncio.get_running_loop().create_future(), time.monotonic() + self._busy_seconds, **what)

    async def _enqueue(self, queued: _Queued) -> Any:
        with self._lock:
            self._queue.append(queued)
            was_busy, self.is_busy = self.is_busy, True
        if not was_busy:
            self._thread.submit(self._run_queue)
        return await queued.future

    def _run_queue(self) -> None:
        while self.is_busy:
            group = self._next_group()
            self._deadline = group[0].deadline
            if group[0].job is not None:
                _run_into(group[0], group[0].job)
            else:
                self._commit_together(group)
            with self._lock:  # before futures resolve: a caller that then asks must not find the writer busy with it
                self.is_busy = bool(self._queue)
            _settle(group)

    def _next_group(self) -> list[_Queued]:
        """One job, or writes up to the next job."""
        group: list[_Queued] = []
        with self._lock:
            while self._queue and len(group) < GROUP_MAX and (not group or self._queue[0].job is None):
                group.append(self._queue.popleft())
                if group[0].job is not None:
                    break
        return group

    def _commit_together(self, group: list[_Queued]) -> None:
        try:
            try:
                self._commit(group, self._without_savepoint if len(group) > 1 else contextlib.nullcontext)
            except _SavepointsNeeded:
                self._commit(group, self._savepoint)
        except BaseException as error:
            for queued in group:
                queued.error = queued.error or error

    def _commit(
        self, group: list[_Queued], isolated: Callable[[_Queued], contextlib.AbstractContextManager[Any]]
    ) -> None:
        states: dict[Account, States] = {}
        with translated(self._path), self.transaction():
            for queued in group:
                queued.error = None
                with isolated(queued):
                    self._write(queued, states)
            self._write_states(states)
        self.overwrite_erased()

    @contextlib.contextmanager
    def _without_savepoint(self, queued: _Queued) -> Iterator[None]:
        """Let a write fail that has changed nothing. Raises _SavepointsNeeded if it has."""
        changes = self.connection.total_changes()
        try:
            yield
        except Exception as error:
            if isinstance(error, apsw.Error) or not self.connection.in_transaction:
                raise
            if self.connection.total_changes() != changes:
                raise _SavepointsNeeded from None
            queued.error = error

    @contextlib.contextmanager
    def _savepoint(self, queued: _Queued) -> Iterator[None]:
        """Roll back one write that raises; the rest still commit. An error of the engine fails the whole group."""
        self.connection.execute("SAVEPOINT work")
        try:
            yield
        except Exception as error:
            if isinstance(error, apsw.Error) or not self.connection.in_transaction:
                raise
            queued.error = error
            self.connection.execute("ROLLBACK TO work")
        self.connection.execute("RELEASE work")

    def _write_exclusively(self, queued: _Queued) -> Any:
        with translated(self._path), self.transaction():
            states: dict[Account, States] = {}
            self._write(queued, states)
            self._write_states(states)
        self.overwrite_erased()
        return queued.result

    def _write(self, queued: _Queued, states: dict[Account, States]) -> None:
        """`states` are the accounts' rows as of now in this transaction: each is read once, and written at its end."""
        assert queued.account is not None
        assert queued.work is not None
        before = states.get(queued.account) or self._lock_row(queued.account)
        write = SqliteTransaction(self.session, queued.account, before, self._now(queued.account))
        queued.result = queued.work(write)
        if write.erased_users is not None:
            self.note_erasure()
        states[queued.account] = write.finish()

    def _lock_row(self, account: Account) -> States:
        """The account's row, for a write. Raises AccountFrozen, StoreUnavailable."""
        sql = QUERIES.select("lock_state", StateRow)
        for *columns, frozen_until in self.session.fetch(sql, {"account_id": account.account_id}):
            end_freeze(self.session, account, frozen_until, self._clock())
            return StateRow(*columns).states
        raise no_account_row(account)

    def _write_states(self, states: dict[Account, States]) -> None:
        for account, after in states.items():
            if after != lock_states(self.session, account):
                write_states(self.session, account, after)


def _run_into(queued: _Queued, job: Callable[[], Any]) -> None:
    try:
        queued.result = job()
    except BaseException as error:
        queued.error = error


def _settle(group: list[_Queued]) -> None:
    """Resolve all futures of a group, waking each event loop once."""
    for loop in {queued.future.get_loop() for queued in group}:
        here = [queued for queued in group if queued.future.get_loop() is loop]

        def settle(here: list[_Queued] = here) -> None:
            for queued in here:
                queued.settle()

        with contextlib.suppress(RuntimeError):  # the loop was closed, and its callers with it
            loop.call_soon_threadsafe(settle)
