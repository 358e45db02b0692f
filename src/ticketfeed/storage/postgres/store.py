"""The PostgreSQL store: stateless server processes around one database, reads from replicas where there are any.

A read is one statement, hence one snapshot, and is retried for a bounded time while the database is away. Writes run in
threads (`writer.py`). Decisions on errors rest on SQLSTATE alone.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from ticketfeed.clock import Clock
from ticketfeed.protocol import paging, watermark
from ticketfeed.protocol.errors import StoreError, StoreReadOnly, StoreUnavailable
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState
from ticketfeed.protocol.rows import LazyRows, columns_of
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.account_clocks import AccountClocks
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.clock_check import ClockCheck
from ticketfeed.storage.connection_limits import DEFAULT_CONNECTIONS, ConnectionLimits
from ticketfeed.storage.erased_usage import ErasedUsage, with_erasure
from ticketfeed.storage.mirror_writes import with_copies
from ticketfeed.storage.pool_status import PoolStatus
from ticketfeed.storage.postgres.citus import is_citus, refuse_tables
from ticketfeed.storage.postgres.nodes import AccountNodes, DistributedSize
from ticketfeed.storage.postgres.pool_status import pool_status
from ticketfeed.storage.postgres.pools import (
    CONNECTION,
    RETRY_SECONDS,
    WAIT_SECONDS,
    PostgresReaders,
    explain,
    prepare_statements,
)
from ticketfeed.storage.postgres.schema import prepare_schema, refuse_unreadable
from ticketfeed.storage.postgres.session import QUERIES, PostgresSession
from ticketfeed.storage.postgres.sidecar import PostgresSidecarStore
from ticketfeed.storage.postgres.snapshot import PostgresSnapshot, start_snapshot
from ticketfeed.storage.postgres.threads import ConnectionThreads
from ticketfeed.storage.postgres.timeline import fence_new_timeline, read_row, store_timeline
from ticketfeed.storage.postgres.transaction import PostgresTransaction
from ticketfeed.storage.postgres.write_session import WriteSession, write_transaction
from ticketfeed.storage.postgres.writer import READ_ONLY, STATEMENT_SECONDS, PostgresWriter, limit_statements
from ticketfeed.storage.queries import ACCOUNT_TABLES, POSTGRES, build, of_accounts_sql
from ticketfeed.storage.shares import ALL_ACCOUNTS, AccountSlots, Slot
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.sql_session import (
    SqlSession,
    create_account,
    fence_account,
    fence_accounts,
    fence_new_accounts,
    no_account_row,
    state_bindings,
)
from ticketfeed.storage.sql_sidecar import (
    erase_account_steps,
    erase_usage_steps,
)
from ticketfeed.storage.sql_transaction import SqlTransaction
from ticketfeed.storage.wait_budget import spend_wait, wait_deadline
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["PostgresStore"]

T = TypeVar("T")
RowT = TypeVar("RowT", bound=tuple[Any, ...])

# A search is no page: it gathers rows by the index of words, and sorts them.
_PLAN_FREELY = ("enable_bitmapscan = on", "enable_sort = on")
# The index of words. One that was interrupted while it was made anew has the same name with _ccnew.
_WORDS = "search_entry_words"
# Tables whose rows are erased.
ERASED_TABLES = (*ACCOUNT_TABLES, "account", "consumer", "request", "anonymous_request", "login")
# How long one account of all is waited for, and a few rows of all at once or of a shard.
ALONE_SECONDS = 1.0
# How often clocks are compared: one round trip more for a write that does.
COMPARE_SECONDS = 10.0
# How long one attempt to close a second before a page takes.
CLOSE_SECONDS = 2.0
# How much longer a snapshot is waited for than the server may take for a statement, so that it can tell the reason.
END_SECONDS = 0.5
# Connections of one process for snapshots of accounts (storage/shares.py): for quick ones, of one account at once, and
# for those that take longer. One more is for those of no account; and one for the readiness check.
QUICK_INSPECTIONS, INSPECTIONS_OF_ACCOUNT, SLOW_INSPECTIONS = 4, 2, 4
SNAPSHOT_CONNECTIONS = QUICK_INSPECTIONS + SLOW_INSPECTIONS + 2


class PostgresStore(PostgresSidecarStore):
    """A Store in one PostgreSQL database. Open it with `PostgresStore.open`."""

    queries = QUERIES

    def __init__(
        self,
        url: str,
        read_urls: Sequence[str],
        clock: Clock,
        store_id: str,
        clock_check: ClockCheck,
        connections: ConnectionLimits,
        *,
        is_citus: bool,
    ) -> None:
        self._clock, self._clock_check, self._compared_at = clock, clock_check, float("-inf")
        self.store_id, self.clocks = store_id, AccountClocks()
        self._erased, self._distributed = ErasedUsage(), DistributedSize()
        self._nodes = AccountNodes(self._read_nodes)
        node_of = self._nodes.of if is_citus else lambda _account_id: None
        self._readers = PostgresReaders(url, read_urls, store_id, connections, node_of, is_citus=is_citus)
        self._quick_writes = quick = connections.quick_writes
        self._writers, self._inspectors, self._prober = (
            ConnectionThreads(url, name, count, connections, configure)
            for name, count, configure in (
                ("writer", connections.writes, prepare_statements if connections.prepared == "auto" else None),
                ("inspector", SNAPSHOT_CONNECTIONS - 1, None),
                ("prober", 1, None),
            )
        )
        self._inspections = AccountSlots(QUICK_INSPECTIONS, INSPECTIONS_OF_ACCOUNT, SLOW_INSPECTIONS, node_of)
        slots = AccountSlots(quick, 1, connections.writes - quick, node_of)
        self._writer = PostgresWriter(self._writers, slots, self._now, self.newest, self._compare_clocks)

    @classmethod
    async def open(
        cls,
        url: str,
        clock: Clock,
        *,
        read_urls: Sequence[str] = (),
        create: bool = True,
        clock_check: ClockCheck | None = None,
        connections: ConnectionLimits = DEFAULT_CONNECTIONS,
    ) -> "PostgresStore":
        """Connect, bring the schema up to date, open the pools. Raises StoreError."""

        for each in (url, *read_urls):
            refuse_unreadable(each)

        def prepare() -> tuple[str, bool]:
            with psycopg.connect(url, **CONNECTION) as connection:
                store_id = prepare_schema(connection, create=create)
                refuse_tables(connection)
                return store_id, is_citus(connection)

        try:
            store_id, has_citus = await asyncio.to_thread(prepare)
            store = cls(url, read_urls, clock, store_id, clock_check or ClockCheck(), connections, is_citus=has_citus)
        except psycopg.Error as error:
            raise StoreError(f"cannot open the store: {explain(error)}") from error
        await store._readers.open()
        for threads in (store._writers, store._inspectors, store._prober):
            threads.pool.open()
        return store

    def change_counter(self) -> int | None:
        return None

    def read_pools(self) -> list[PoolStatus]:
        purposes = (("writes", self._writers), ("snapshots", self._inspectors), ("probes", self._prober))
        own = [pool_status(threads.pool, "primary", purpose) for purpose, threads in purposes]
        return [*self._readers.statuses(), *own]

    async def close(self) -> None:
        closing = (threads.close for threads in (self._writers, self._inspectors, self._prober))
        await asyncio.gather(*map(asyncio.to_thread, closing))
        await self._nodes.stop()
        await self._readers.close()

    async def list_accounts(self, *, limit: int = INT64_MAX, current: bool = True) -> list[Account]:
        if current:
            return await super().list_accounts(limit=limit)
        return build(Account, await self._readers.read_any(QUERIES.select("list_accounts", Account), {"limit": limit}))

    async def list_shards(self) -> list[list[Account]]:
        """Where accounts are distributed, those of one shard of Citus together."""
        accounts, shards = await self.list_accounts(), dict[int, list[Account]]()
        if not await self._is_distributed():
            return [accounts] if accounts else []
        ids = {"ids": [account.account_id for account in accounts]}
        placed = {id: placement for id, *placement in await self._fetch(QUERIES["list_placements"], ids, current=True)}
        self._nodes.note({id: node for id, (_, node) in placed.items()})
        for account in accounts:
            shards.setdefault(placed[account.account_id][0], []).append(account)
        return list(shards.values())

    async def _is_distributed(self) -> bool:
        if not await self._fetch(QUERIES["find_citus"], {}, current=True):
            return False
        distributed = await self._fetch(QUERIES["list_distributed"], {}, current=True)
        return any(table == ACCOUNT_TABLES[0] for table, *_ in distributed)

    async def _list_all(self, name: str) -> list[Any]:
        """Without those of accounts that are out of reach. Raises StoreUnavailable if all are."""
        try:
            return await _soon(super()._list_all(name))
        except StoreUnavailable as error:
            reason = error
        shards, sql = await self.list_shards(), of_accounts_sql(POSTGRES, QUERIES[name])
        found, away = await read_in_batches(shards, lambda accounts: _soon(self._fetch_of(sql, accounts)))
        if len(away) == sum(map(len, shards)):
            raise reason
        return found

    async def _read_nodes(self, account_ids: Sequence[int]) -> dict[int, int]:
        """The nodes of Citus that accounts lie on."""
        placements = await self._readers.read_current(QUERIES["list_placements"], {"ids": list(account_ids)})
        return {id: node for id, _, node in placements}

    async def create_account(self, subdomain: str, work: Callable[[WriteTransaction], object] | None = None) -> Account:
        def create() -> Account:
            with (
                self._writers.pool.connection(WAIT_SECONDS) as connection,
                write_transaction(connection) as pipeline,
            ):
                limit_statements(connection, WAIT_SECONDS)
                self._compare_clocks(connection)
                self._clock_check.refuse()
                session = WriteSession(connection, pipeline, 0)
                account = self._add_account(session, subdomain)
                if work is not None:
                    self._writer.run_first(session, account, work)
                return account

        return await self._writers.run(lambda: _translate_errors(create))

    def _add_account(self, session: SqlSession, subdomain: str) -> Account:
        fence_new_timeline(session, self.newest())
        account, is_new = create_account(session, subdomain)
        if is_new:
            store_timeline(session, account)
        return account

    async def _transact(self, work: Callable[[SqlSession], T], *, erases: bool = False) -> T:  # noqa: ARG002
        def transact() -> T:
            with (
                self._writers.pool.connection(WAIT_SECONDS) as connection,
                write_transaction(connection) as pipeline,
            ):
                limit_statements(connection, STATEMENT_SECONDS)
                self._compare_clocks(connection)
                self._clock_check.refuse()
                return work(WriteSession(connection, pipeline, 0))

        return await self._writers.run(lambda: _translate_errors(transact))

    def _run_write(
        self, session: SqlSession, account: Account, states: States, work: Callable[[SqlTransaction], T]
    ) -> T:
        assert isinstance(session, WriteSession)
        write = PostgresTransaction(session.renewed(account.account_id), account, states, self._now(account))
        result = work(write)
        write.finish_last()
        return result

    async def _erase_sidecar(self, account: Account) -> None:
        await self._run_sidecar(account, erase_account_steps(account))

    async def put_default_account(self, account: Account) -> None:
        def put() -> None:
            with self._writers.pool.connection(WAIT_SECONDS) as connection, connection.transaction():
                limit_statements(connection, WAIT_SECONDS)
                PostgresSession(connection).execute("put_default_account", {"subdomain": account.subdomain})

        await self._writers.run(lambda: _translate_errors(put))

    async def close_newest(self, account: Account) -> bool:
        started = time.monotonic()
        try:
            async with self._readers.slot_of(account.account_id, started + RETRY_SECONDS) as slot:
                closed = await self._readers.within(CLOSE_SECONDS, self._close_newest(account), slot)
            if closed is None:
                await self._with_row_locked(account, lambda _session, _states: None, WAIT_SECONDS)
        except (psycopg.Error, PoolTimeout, TimeoutError, StoreUnavailable) as error:
            if not isinstance(error, psycopg.errors.LockNotAvailable):
                spend_wait(started)
            return False
        return closed is not False

    async def write(
        self,
        account: Account,
        work: Callable[[WriteTransaction], T],
        *,
        exclusive: bool = False,
        mirror: bool = False,
    ) -> T:
        watched, erased = with_erasure(with_copies(work) if mirror else work)
        deadline = wait_deadline(WAIT_SECONDS)
        result = await self._writer.write(account, watched, deadline, is_alone=exclusive or mirror)
        for user_ids in erased:
            self._erased.add(account, self._clock(), user_ids)
            with contextlib.suppress(StoreUnavailable):
                await self._run_sidecar(account, erase_usage_steps(POSTGRES, account, user_ids))
        return result

    async def overwrite_erased(self, *, own: bool = False) -> None:
        if not own:
            await self._writers.run(lambda: _translate_errors(self._overwrite_erased))

    async def fence(self, account: Account, clock_error_seconds: int, wait_seconds: float | None = None) -> FeedState:
        def locked(session: WriteSession, states: States) -> FeedState:
            return fence_account(session, account, states, self._clock(), clock_error_seconds)

        return await self._with_row_locked(account, locked, WAIT_SECONDS if wait_seconds is None else wait_seconds)

    async def fence_accounts(self, clock_error_seconds: int) -> list[tuple[Account, FeedState | StoreUnavailable]]:
        problem = await self.clock_problem()
        if problem is not None:
            raise StoreUnavailable(problem)
        try:
            return await self._writers.run(lambda: _translate_errors(lambda: self._fence_accounts(clock_error_seconds)))
        except StoreReadOnly:
            raise
        except StoreUnavailable:  # some row is locked, or a server that holds rows is away
            accounts = await self.list_accounts()
            turns = asyncio.Semaphore(self._quick_writes)
            return await asyncio.gather(*(self._try_fence(each, clock_error_seconds, turns) for each in accounts))

    def _fence_accounts(self, clock_error_seconds: int) -> list[tuple[Account, FeedState | StoreUnavailable]]:
        now = self._clock()
        with self._writers.pool.connection(WAIT_SECONDS) as connection:
            session = PostgresSession(connection)
            # First, in a transaction of its own: an account that is being created is there when the others are fenced.
            with connection.transaction():
                limit_statements(connection, WAIT_SECONDS)
                fence_new_accounts(session, now, clock_error_seconds)
            with connection.transaction():
                limit_statements(connection, ALONE_SECONDS)
                return fence_accounts(session, now, clock_error_seconds)

    async def _try_fence(
        self, account: Account, clock_error_seconds: int, turns: asyncio.Semaphore
    ) -> tuple[Account, FeedState | StoreUnavailable]:
        async with turns:
            try:
                return account, await self.fence(account, clock_error_seconds, ALONE_SECONDS)
            except StoreUnavailable as error:
                return account, error

    async def clock_problem(self) -> str | None:
        def compare() -> None:
            with self._prober.pool.connection(WAIT_SECONDS) as connection:
                self._compare_clocks(connection)

        await self._prober.run(lambda: _translate_errors(compare))
        return self._clock_check.problem()

    def _compare_clocks(self, connection: psycopg.Connection[Any]) -> None:
        """Compare the clocks, unless that was done lately and they agreed."""
        if time.monotonic() < self._compared_at + COMPARE_SECONDS and self._clock_check.problem() is None:
            return
        ((instant,),) = connection.execute(QUERIES["read_clock"].encode(), binary=True).fetchall()
        self._clock_check.compare(instant)
        self._compared_at = time.monotonic()

    async def inspect(
        self,
        work: Callable[[Snapshot], T],
        *,
        accounts: Sequence[Account] | None = None,
        is_probe: bool = False,
        statement_seconds: float = SHORT_STATEMENT_SECONDS,
    ) -> T:
        threads, deadline = self._prober if is_probe else self._inspectors, time.monotonic() + statement_seconds
        slot: Slot | None = None
        if not is_probe and accounts != []:
            slot = await self._inspections.take(accounts[0].account_id if accounts else ALL_ACCOUNTS, deadline)

        def inspect() -> T:
            with threads.pool.connection(WAIT_SECONDS) as connection, connection.transaction():
                start_snapshot(connection)
                limit_statements(connection, statement_seconds)
                return work(PostgresSnapshot(connection, self._distributed))

        return await threads.run_until(deadline + END_SECONDS, lambda: _translate_errors(inspect), slot)

    def _overwrite_erased(self) -> None:
        """Remove dead rows, and what statistics and the index of words keep of them."""
        with self._writers.pool.connection(WAIT_SECONDS) as connection:
            session = PostgresSession(connection)
            erased = session.value("count_erasures", {})
            for table in ERASED_TABLES:
                connection.execute(f"VACUUM (ANALYZE) ticketfeed.{table}".encode())
            if erased != session.value("count_overwritten", {}):  # VACUUM leaves words that no row has any more
                connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS ticketfeed.{_WORDS}_ccnew".encode())
                connection.execute(f"REINDEX INDEX CONCURRENTLY ticketfeed.{_WORDS}".encode())
                session.execute("put_overwritten", {"value": str(erased)})

    async def _fetch_freely(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:  # noqa: ARG002
        return await self._readers.read(sql, bindings, _PLAN_FREELY)

    async def _fetch(
        self,
        sql: str,
        bindings: dict[str, Any],
        *,
        current: bool,
        body: int | None = None,  # noqa: ARG002
    ) -> list[Any]:
        return await (self._readers.read_current if current else self._readers.read)(sql, bindings)

    async def _fetch_many(self, sql: str, bindings: dict[str, Any], *, body: int | None = None) -> list[Any]:  # noqa: ARG002
        return await self._readers.read_in_order(sql, bindings)

    async def _fetch_batch(self, sql: str, bindings: dict[str, Any], account_id: int) -> list[Any]:
        return await self._readers.read_current(sql, bindings, account_id)

    async def _read_feed(
        self, account: Account, name: str, row_type: type[RowT], bindings: dict[str, Any]
    ) -> tuple[StateRow, LazyRows[RowT]]:
        """Each row of a page has the account's row after it."""
        sql = QUERIES.select(name, row_type)
        bindings["page_bytes_max"] = paging.PAGE_BYTES_MAX
        rows = await self._readers.read_in_order(sql, bindings)
        rows = rows or await self._readers.read_primary(sql, bindings)  # a replica may not have a new account yet
        if not rows:
            raise no_account_row(account)
        columns = columns_of(row_type)
        state = StateRow(*rows[0][len(columns) :])
        position = itemgetter(columns.index("generated_timestamp"), columns.index("id"))
        if position(rows[0]) == (None, None):  # a page without changes
            return state, LazyRows(row_type, [])
        # The inner query is in order, but SQL does not promise that of the join around it. An ORDER BY there makes the
        # database sort megabytes; these rows are in order already, and to check that costs a fortieth.
        rows.sort(key=position)
        return state, LazyRows(row_type, rows)

    async def _close_newest(self, account: Account) -> bool | None:
        """Whether there was something to close; None if the account is to be fenced instead.

        On a reader's connection: the writers', and their threads, may all be waiting for this very row.
        """
        own = {"account_id": account.account_id}
        async with self._readers.primary.connection(CLOSE_SECONDS) as connection, connection.transaction():
            sql = QUERIES.select("lock_state_nowait", StateRow).encode()
            for states, _, timeline in map(read_row, await (await connection.execute(sql, own)).fetchall()):
                closed = watermark.close_states(states, self.clocks.at(account, self._clock()))
                if closed is not None and timeline is not None:
                    return None
                if closed is not None:
                    await connection.execute(QUERIES["write_state"].encode(), state_bindings(account, closed))
                    return True
        return False

    async def _with_row_locked(
        self, account: Account, work: Callable[[WriteSession, States], T], wait_seconds: float
    ) -> T:
        return await self._writer.with_row_locked(account, work, wait_deadline(wait_seconds))

    def newest(self) -> int:
        return self._clock_check.newest(self._clock())

    def _now(self, account: Account) -> int:
        """The time of a write. Raises StoreUnavailable while the machine's clock is wrong."""
        self._clock_check.refuse()
        return self.clocks.at(account, self._clock())


async def _soon(reading: Awaitable[T]) -> T:
    """Raise StoreUnavailable after ALONE_SECONDS."""
    try:
        async with asyncio.timeout(ALONE_SECONDS):
            return await reading
    except TimeoutError:
        raise StoreUnavailable(f"no answer within {ALONE_SECONDS:g} s") from None


def _translate_errors(work: Callable[[], T]) -> T:
    try:
        return work()
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise StoreReadOnly(f"the store cannot serve: {READ_ONLY}") from error
    except (psycopg.Error, PoolTimeout) as error:
        raise StoreUnavailable(f"the store cannot serve: {explain(error)}") from error
