"""The SQLite store: one writer thread, one file.

WAL and `synchronous=FULL`: a write that returned survives a power cut, and readers never wait for it. Pages and single
records are read in the caller's thread: a page is one range read of about a millisecond, and a hop to another thread
would add a third to it. What may read many rows, lists, counts and snapshots, has threads of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw

from ticketfeed.clock import Clock
from ticketfeed.protocol import watermark
from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import NoStore, StoreError, StoreUnavailable
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult
from ticketfeed.protocol.rows import LazyRows, columns_of
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_clocks import AccountClocks
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.clock_check import ClockCheck
from ticketfeed.storage.erased_usage import ErasedUsage, with_erasure
from ticketfeed.storage.mirror_writes import with_copies
from ticketfeed.storage.queries import build
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.sql_accounts import SqlAccountStore
from ticketfeed.storage.sql_session import (
    SqlSession,
    create_account,
    fence_account,
    fence_accounts,
    lock_states,
    no_account_row,
    write_states,
)
from ticketfeed.storage.sql_transaction import SqlTransaction
from ticketfeed.storage.sqlite.file import connect, connect_reader, explain, prepare, snapshot, transaction, translated
from ticketfeed.storage.sqlite.readers import READ_CACHE_KIB, SqliteReaders, cursor_rows
from ticketfeed.storage.sqlite.session import QUERIES, SqliteSession, SqliteTransaction
from ticketfeed.storage.sqlite.sidecar import SqliteSidecar
from ticketfeed.storage.sqlite.snapshot import SqliteSnapshot
from ticketfeed.storage.sqlite.writer import SqliteWriter
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["SqliteStore"]

T = TypeVar("T")
RowT = TypeVar("RowT", bound=tuple[Any, ...])

# How long a write waits for another process, and with it the request: then it is answered with 503.
WAIT_SECONDS = 5.0
# Threads for snapshots; a probe has one of its own.
INSPECTORS_MAX = 4


class SqliteStore(SqlAccountStore):
    """A Store in one SQLite file. Open it with `SqliteStore.open`."""

    queries = QUERIES

    def __init__(self, path: Path, clock: Clock, busy_seconds: float, clock_check: ClockCheck) -> None:
        self._path, self._clock, self._busy_seconds = path, clock, busy_seconds
        self._clock_check, self.clocks = clock_check, AccountClocks()
        self._reader = connect(path, busy_seconds, READ_CACHE_KIB)
        self._writer = SqliteWriter(path, clock, self._account_now, busy_seconds, clock_check)
        self._file_id, self._is_closed = self._writer.file_id, False
        self._readers = SqliteReaders(path, busy_seconds, self._file_id)
        self._inspectors, self._prober, self._sidecar_thread = (
            ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"sqlite-{name}")
            for name, count in (("inspector", INSPECTORS_MAX), ("prober", 1), ("sidecar", 1))
        )
        self._sidecar = SqliteSidecar(path)
        self._erased = ErasedUsage()
        # The change counter, and the event loop in whose current pass it was read.
        self._change_counter, self._counted_in = 0, cast(asyncio.AbstractEventLoop | None, None)
        self.store_id = str(self._reader.execute("SELECT value FROM meta WHERE name = 'store_id'").get)

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        create: bool = True,
        busy_seconds: float = WAIT_SECONDS,
        clock_check: ClockCheck | None = None,
    ) -> "SqliteStore":
        """Open the file, create it if `create`, and bring its schema up to date. Raises StoreError."""
        if not create and not path.exists():
            raise NoStore(f"there is no store at {path}")
        try:
            prepare(path, busy_seconds)
            return cls(path, clock, busy_seconds, clock_check or ClockCheck())
        except apsw.Error as error:
            raise StoreError(f"cannot open the store {path}: {explain(error)}") from error

    def change_counter(self) -> int | None:
        """SQLite counts the commits of all connections but the asking one, and the reader's never commits.

        It is read once in each pass of the event loop, as it takes SQLite two locks of the file. What was committed
        before a request came in is seen: the loop takes requests only between two passes.
        """
        loop = asyncio.get_running_loop()
        if self._counted_in is not loop:
            try:
                self._change_counter = int(self._reader.execute("PRAGMA data_version").get)
            except apsw.Error:
                return None  # the read that follows raises the reason
            self._counted_in = loop
            loop.call_soon(self._forget_counter)
        return self._change_counter

    def _forget_counter(self) -> None:
        self._counted_in = None

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for threads in (self._inspectors, self._prober, self._sidecar_thread):
            await asyncio.to_thread(threads.shutdown)
        if self._file_id.is_replaced():  # what the log holds must not be written into another file
            for connection in (self._reader, self._writer.connection, *self._readers.connections()):
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        await self._readers.close()
        await self._writer.close()
        self._sidecar.close()
        self._reader.close()

    async def list_accounts(self, *, limit: int = INT64_MAX, current: bool = True) -> list[Account]:
        self._file_id.refuse_replaced()
        return await super().list_accounts(limit=limit, current=current)

    async def find_account(self, subdomain: str) -> Account | None:
        self._file_id.refuse_replaced()
        return await super().find_account(subdomain)

    async def create_account(self, subdomain: str, work: Callable[[WriteTransaction], object] | None = None) -> Account:
        def create() -> Account:
            with translated(self._path), self._writer.transaction():
                account, _ = create_account(self._writer.session, subdomain)
                if work is not None:
                    self._writer.run_in_transaction(account, work)
                return account

        return await self._writer.run(create)

    async def _transact(self, work: Callable[[SqlSession], T], *, erases: bool = False) -> T:
        def transact() -> T:
            with translated(self._path), self._writer.transaction():
                self._clock_check.refuse()
                if erases:
                    self._writer.note_erasure()
                return work(self._writer.session)

        return await self._writer.run(transact)

    def _add_account(self, session: SqlSession, subdomain: str) -> Account:
        account, _ = create_account(session, subdomain)
        return account

    def _run_write(
        self, session: SqlSession, account: Account, states: States, work: Callable[[SqlTransaction], T]
    ) -> T:
        assert isinstance(session, SqliteSession)
        write = SqliteTransaction(session, account, states, self._account_now(account))
        result = work(write)
        write.finish()
        return result

    def newest(self) -> int:
        return self._clock()

    async def _erase_sidecar(self, account: Account) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.erase_account(account))

    async def put_default_account(self, account: Account) -> None:
        def put() -> None:
            with translated(self._path), self._writer.transaction():
                self._writer.session.execute("put_default_account", {"subdomain": account.subdomain})

        await self._writer.run(put)

    async def close_newest(self, account: Account) -> bool:
        if self._writer.is_busy:
            return False
        return await self._writer.run(lambda: self._close_newest(account))

    async def write(
        self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool = False, mirror: bool = False
    ) -> T:
        watched, erased = with_erasure(with_copies(work) if mirror else work)
        result = await self._writer.write(account, watched, exclusive=exclusive)
        for user_ids in erased:
            self._erased.add(account, self._clock(), user_ids)
            with contextlib.suppress(StoreUnavailable):  # the sidecar cannot be used: it serves no requests either
                await self._run_sidecar(partial(SqliteSidecar.erase_usage, account=account, user_ids=user_ids))
        return result

    async def overwrite_erased(self, *, own: bool = False) -> None:  # noqa: ARG002
        await self._writer.run(lambda: self._writer.overwrite_erased(at_once=True))

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        def fence() -> FeedState:
            with translated(self._path), self._writer.transaction():
                self._clock_check.refuse()
                states = lock_states(self._writer.session, account)
                return fence_account(self._writer.session, account, states, self._clock(), clock_error_seconds)

        return await self._writer.run(fence)

    async def fence_accounts(self, clock_error_seconds: int) -> list[tuple[Account, FeedState | StoreUnavailable]]:
        def fence() -> list[tuple[Account, FeedState | StoreUnavailable]]:
            with translated(self._path), self._writer.transaction():
                self._clock_check.refuse()
                return fence_accounts(self._writer.session, self._clock(), clock_error_seconds)

        return await self._writer.run(fence)

    async def clock_problem(self) -> str | None:
        return self._clock_check.problem()

    async def inspect(
        self,
        work: Callable[[Snapshot], T],
        *,
        accounts: Sequence[Account] | None = None,  # noqa: ARG002
        is_probe: bool = False,
        statement_seconds: float = SHORT_STATEMENT_SECONDS,  # noqa: ARG002
    ) -> T:
        return await _run_in(self._prober if is_probe else self._inspectors, lambda: self._inspect(work))

    async def count_request(self, account: Account, limits: Sequence[RateLimit], now: int) -> RateLimitResult:
        return await self._run_sidecar(lambda sidecar: sidecar.count_request(account, limits, now))

    async def record_usage(
        self,
        account: Account,
        consumers: Mapping[str, UsageUpdate],
        requests: Sequence[RequestRecord],
        now: float,
        *,
        keep: int = REQUESTS_KEPT,
    ) -> None:
        consumers, requests = self._erased.remaining(account, consumers, requests)
        await self._run_sidecar(lambda sidecar: sidecar.record_usage(account, consumers, requests, now, keep))

    async def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.replace_consumers(account, consumers))

    async def read_consumers(self, account: Account) -> list[Consumer]:
        return await _run_in(self._inspectors, lambda: self._sidecar.read_consumers(account))

    async def read_all_consumers(self) -> dict[int, list[Consumer]]:
        return await _run_in(self._inspectors, self._sidecar.read_all_consumers)

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        return await _run_in(self._inspectors, lambda: self._sidecar.read_requests(account))

    async def _run_sidecar(self, work: Callable[[SqliteSidecar], T]) -> T:
        """Write to the sidecar in its thread: another process may have it locked."""
        return await _run_in(self._sidecar_thread, lambda: work(self._sidecar))

    async def _fetch_many(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:
        return await self._readers.fetch(sql, bindings, body)

    async def _fetch_batch(self, sql: str, bindings: dict[str, Any], account_id: int) -> list[Any]:  # noqa: ARG002
        return await self._readers.fetch(sql, bindings)

    async def _fetch_freely(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:
        return await self._readers.fetch(sql, bindings, body)

    async def add_login(self, account: Account, token_hash: str, now: int, ends_at: int) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.add_login(account, token_hash, now, ends_at))

    async def has_login(self, account: Account, token_hash: str, now: int) -> bool:
        return await _run_in(self._inspectors, lambda: self._sidecar.has_login(account, token_hash, now))

    async def end_login(self, account: Account, token_hash: str) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.end_login(account, token_hash))

    async def take_lease(self, name: str, owner: str, seconds: float) -> bool:
        return await self._run_sidecar(lambda sidecar: sidecar.take_lease(name, owner, seconds))

    async def end_lease(self, name: str, owner: str) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.end_lease(name, owner))

    async def replace_full_accounts(self, account_ids: set[int]) -> None:
        await self._run_sidecar(lambda sidecar: sidecar.replace_full_accounts(account_ids))

    async def read_full_accounts(self) -> set[int]:
        return await _run_in(self._inspectors, self._sidecar.read_full_accounts)

    async def _fetch(
        self,
        sql: str,
        bindings: dict[str, Any],
        *,
        current: bool,  # noqa: ARG002
        body: int | None = None,
    ) -> list[Any]:
        with translated(self._path):
            return cursor_rows(self._reader.execute(sql, bindings), body)

    async def _read_feed(
        self, account: Account, name: str, row_type: type[RowT], bindings: dict[str, Any]
    ) -> tuple[StateRow, LazyRows[RowT]]:
        self._file_id.refuse_moved()
        with translated(self._path), snapshot(self._reader):
            own = {"account_id": account.account_id}
            states = build(StateRow, self._reader.execute(QUERIES.select("read_state", StateRow), own))
            if not states:
                raise no_account_row(account)
            (state,) = states
            if state.is_mirror and name == "read_record_changes":
                state = self._with_kind_state(account, bindings["kind"], state)
            closed = state.watermark if name == "read_changes" else state.record_watermark
            bindings["until"] = min(bindings["until"], closed)
            body = columns_of(row_type).index("body")
            rows = cursor_rows(self._reader.execute(QUERIES.select(name, row_type), bindings), body)
        return state, LazyRows(row_type, rows)

    def _with_kind_state(self, account: Account, kind: str, state: StateRow) -> StateRow:
        """The row of a mirror, with the state of one kind in place of that of all records."""
        for of_kind, last, closed in self._reader.execute(
            QUERIES["find_kind_states"], {"account_id": account.account_id}
        ):
            if of_kind == kind:
                state = state._replace(record_last_timestamp=last, record_watermark=closed)
        return state

    def _account_now(self, account: Account) -> int:
        return self.clocks.at(account, self._clock())

    def _inspect(self, work: Callable[[Snapshot], T]) -> T:
        self._file_id.refuse_replaced()
        connecting = contextlib.closing(connect_reader(self._path, self._busy_seconds, READ_CACHE_KIB))
        with translated(self._path), connecting as connection:
            connection.execute("BEGIN")  # ended by closing: SQLite commits nothing of a file that is damaged
            return work(SqliteSnapshot(connection))

    def _close_newest(self, account: Account) -> bool:
        connection, session = self._writer.connection, self._writer.session
        if self._file_id.is_replaced():
            return False
        connection.set_busy_timeout(0)
        try:
            with transaction(connection):
                closed = watermark.close_states(lock_states(session, account), self._account_now(account))
                if closed is None:
                    return False
                write_states(session, account, closed)
                return True
        except apsw.Error:  # another process writes, or the disk is full: the page ends at the watermark
            return False


async def _run_in(threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work)
