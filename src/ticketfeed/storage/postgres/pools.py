"""Reading from PostgreSQL: from replicas in turn where there are any, retried for a bounded time while one is away.

Decisions on errors rest on SQLSTATE alone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg_pool import PoolTimeout
from psycopg_pool.abc import AsyncConnectionCB

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage.connection_limits import ConnectionLimits
from ticketfeed.storage.pool_status import PoolStatus
from ticketfeed.storage.postgres.connection_pools import ReadPool
from ticketfeed.storage.postgres.pool_status import pool_status
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.shares import AccountSlots, Slot
from ticketfeed.storage.wait_budget import spend_wait, wait_deadline

__all__ = [
    "CONNECTION",
    "NO_REPLICA",
    "PROPAGATE_SETTINGS",
    "RETRY_SECONDS",
    "WAIT_SECONDS",
    "PostgresReaders",
    "connect_options",
    "explain",
    "is_transient",
    "prepare_statements",
]

T = TypeVar("T")

# How long a request waits for a database that is away before its answer is 503: less than clients wait for one.
WAIT_SECONDS = 5.0
RETRY_SECONDS = 0.1
# A server that failed is asked last for so long, unless it answers meanwhile.
AVOID_SECONDS = 10.0
# How long it has to show that it only waited for something behind it.
PING_SECONDS = 1.0
# Serialization failure, deadlock, shutdown by the administrator, after a crash, while starting; no such table or
# schema, on a replica that has not replicated a new store yet.
TRANSIENT_STATES = {"40001", "40P01", "57P01", "57P02", "57P03", "42P01", "3F000"}
# Those of them that a server has by itself, whatever else is asked of it.
OWN_STATES = {"57P01", "57P02", "57P03", "42P01", "3F000"}
NO_REPLICA = "it is no replica of the store"
# Runs of a statement on a connection before it is prepared on the server, if it may be.
PREPARED_AFTER = 5
# Without current statistics, as after a load or the move of a shard, the planner prefers to gather all the rest of the
# feed and to sort it: thirty times the work at thirty thousand tickets, and growing.
_IN_FEED_ORDER = ("enable_bitmapscan = off", "enable_sort = off")
# Citus tells its workers of the settings of a transaction then, and never of those of a connection. Without Citus it is
# a name that nobody reads.
PROPAGATE_SETTINGS = "citus.propagate_set_commands = 'local'"
_IN_ORDER_ON_WORKERS = (PROPAGATE_SETTINGS, "enable_sort = off")  # what a bitmap finds has to be sorted
# No prepared statements yet: a pooler in transaction mode gives the next transaction another connection.
CONNECTION: dict[str, Any] = {
    "autocommit": True,
    "prepare_threshold": None,
    "connect_timeout": 5,
    # A host that vanished without closing its connections is noticed within some ten seconds.
    "tcp_user_timeout": 10000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


class PostgresReaders:
    """Connections for reading: to the primary, and to each replica of the store. `is_citus`: the database has Citus;
    `node_of`: as of AccountSlots."""

    def __init__(
        self,
        url: str,
        read_urls: Sequence[str],
        store_id: str,
        connections: ConnectionLimits,
        node_of: Callable[[int], int | None],
        *,
        is_citus: bool,
    ) -> None:
        self._in_order = _IN_ORDER_ON_WORKERS if is_citus else ()
        self.primary = _reader_pool(url, connections, _read_in_feed_order)
        prepare = partial(_prepare_replica, store_id)
        self._replicas = [_reader_pool(read_url, connections, prepare) for read_url in read_urls]
        self._turn = 0
        quick = connections.quick_reads
        self._slots = AccountSlots(quick, connections.reads_of_account, connections.reads - quick, node_of)
        self._abandoned: set[asyncio.Future[Any]] = set()
        self._avoided_until: dict[ReadPool, float] = {}

    async def open(self) -> None:
        for pool in (self.primary, *self._replicas):
            await pool.open()

    def statuses(self) -> list[PoolStatus]:
        """How each of the pools is used."""
        roles = [(self.primary, "primary"), *((pool, "replica") for pool in self._replicas)]
        return [pool_status(pool, role, "reads", is_avoided=self._is_avoided(pool)) for pool, role in roles]

    async def close(self) -> None:
        for pool in (self.primary, *self._replicas):
            await pool.close()

    async def read(self, sql: str, bindings: dict[str, Any], settings: Sequence[str] = ()) -> list[Any]:
        """From the replicas in turn, then the primary. `settings`: of the server, for this statement alone."""
        self._turn += 1
        turn = self._turn % len(self._replicas) if self._replicas else 0
        pools = [*self._replicas[turn:], *self._replicas[:turn], self.primary]
        return await self._read(sql, bindings, pools, settings)

    async def read_in_order(self, sql: str, bindings: dict[str, Any]) -> list[Any]:
        """As `read`, of rows that an index has in the order that is asked for: it is used, and nothing is sorted."""
        return await self.read(sql, bindings, self._in_order)

    async def read_current(self, sql: str, bindings: dict[str, Any], account_id: int | None = None) -> list[Any]:
        """From the primary, as long as it answers: what must be current, such as a new token.

        `account_id`: whose share it takes a connection of, for a query that names no account.
        """
        return await self._read(sql, bindings, [self.primary, *self._replicas], account_id=account_id)

    async def read_primary(self, sql: str, bindings: dict[str, Any]) -> list[Any]:
        """From the primary only."""
        return await self._read(sql, bindings, [self.primary])

    async def read_any(self, sql: str, bindings: dict[str, Any]) -> list[Any]:
        """From whichever server answers first: all are asked at once."""
        reading = [
            asyncio.ensure_future(self.within(WAIT_SECONDS, _fetch(pool, sql, bindings)))
            for pool in (self.primary, *self._replicas)
        ]
        reason: Exception | None = None
        try:
            for answer in asyncio.as_completed(reading):
                try:
                    return await answer
                except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                    reason = error
        finally:
            for each in reading:
                each.cancel()
        assert reason is not None
        raise StoreUnavailable(f"the store cannot serve: {explain(reason)}") from reason

    async def _read(
        self,
        sql: str,
        bindings: dict[str, Any],
        pools: Sequence[ReadPool],
        settings: Sequence[str] = (),
        account_id: int | None = None,
    ) -> list[Any]:
        deadline = wait_deadline(WAIT_SECONDS)
        async with self.slot_of(bindings.get("account_id", account_id), deadline) as slot:
            return await self._read_until(deadline, sql, bindings, pools, settings, slot)

    @contextlib.asynccontextmanager
    async def slot_of(self, account_id: int | None, deadline: float) -> AsyncIterator[Slot | None]:
        """A slot of the account; none for None. Raises StoreUnavailable.

        Whoever waits for a slot waits for what others of the account wait for, mostly in vain.
        """
        if account_id is None:
            yield None
            return
        started = time.monotonic()
        try:
            slot = await self._slots.take(account_id, deadline)
        finally:
            spend_wait(started)
        try:
            yield slot
        finally:
            slot.release()

    async def _read_until(
        self,
        deadline: float,
        sql: str,
        bindings: dict[str, Any],
        pools: Sequence[ReadPool],
        settings: Sequence[str],
        slot: Slot | None,
    ) -> list[Any]:
        reason: Exception | None = None
        while True:
            for pool in sorted(pools, key=self._is_avoided):
                started = time.monotonic()
                if reason is not None and started > deadline:
                    raise StoreUnavailable(f"the store cannot serve: {explain(reason)}") from reason
                try:
                    reading = _fetch(pool, sql, bindings, settings)
                    return await self.within(min(deadline - started, WAIT_SECONDS / len(pools)), reading, slot)
                except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                    spend_wait(started)
                    if slot is not None:
                        slot.has_failed = True
                    if not is_transient(error):
                        raise StoreUnavailable(f"the store cannot serve: {explain(error)}") from error
                    self._note_failure(pool, error)
                    why = pool.failure.explain(error, WAIT_SECONDS)
                    if reason is None or isinstance(why, psycopg.Error):  # which says more than that time was over
                        reason = why
            await asyncio.sleep(RETRY_SECONDS)

    def _note_failure(self, pool: ReadPool, error: Exception) -> None:
        """Avoid a server for an error of its own. One that has not answered in time may have waited for a lock, or for
        a server behind it, so it is asked for something else."""
        if isinstance(error, psycopg.Error) and not is_own_failure(error):
            return
        is_first = not self._is_avoided(pool)
        self._avoided_until[pool] = time.monotonic() + AVOID_SECONDS
        if is_first and isinstance(error, TimeoutError | PoolTimeout):
            self._in_background(asyncio.ensure_future(self._ping(pool)))

    async def _ping(self, pool: ReadPool) -> None:
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(PING_SECONDS):
                async with await psycopg.AsyncConnection.connect(str(pool.conninfo), **CONNECTION) as connection:
                    await connection.execute("SELECT 1")
                self._avoided_until.pop(pool, None)

    async def within(self, seconds: float, query: Coroutine[Any, Any, T], slot: Slot | None = None) -> T:
        """Raise TimeoutError after so long, even if the server hangs: cancelling a query takes its cooperation.

        `slot`: held until the query has ended.
        """
        task = asyncio.ensure_future(query)
        if slot is not None:
            slot.hold()
            task.add_done_callback(lambda _: slot.release())
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, seconds))
            if done:
                return task.result()
            raise TimeoutError(f"no answer within {max(0.0, seconds):.1f} seconds")
        finally:
            if not task.done():
                task.cancel()  # it ends at some time
                if slot is not None:
                    slot.abandon()
                self._in_background(task)

    def _in_background(self, task: "asyncio.Future[Any]") -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Future[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log that it never was

    def _is_avoided(self, pool: ReadPool) -> bool:
        """Whether a server failed lately, so that it is not waited for on every request."""
        return self._avoided_until.get(pool, 0.0) > time.monotonic()


def connect_options(connections: ConnectionLimits) -> dict[str, Any]:
    """The options of a connection in a pool."""
    return {**CONNECTION, "prepare_threshold": PREPARED_AFTER if connections.prepared == "always" else None}


def prepare_statements(connection: psycopg.Connection[Any]) -> None:
    """Prepare the statements of a connection that no pooler shares: it tells the process that serves it by its true id.

    Not on Citus, which makes other plans for other accounts.
    """
    sql = QUERIES["read_backend"].encode()
    for process_id, is_citus in connection.execute(sql):
        if process_id == connection.info.backend_pid and not is_citus:
            connection.prepare_threshold = PREPARED_AFTER


def _reader_pool(url: str, connections: ConnectionLimits, configure: AsyncConnectionCB[Any]) -> ReadPool:
    return ReadPool(
        url,
        connect_options(connections),
        min_size=0,
        max_size=connections.reads,
        open=False,
        configure=configure,
        reconnect_timeout=WAIT_SECONDS,
    )


async def _read_in_feed_order(connection: psycopg.AsyncConnection[Any]) -> None:
    """Make pages scan the feed's index."""
    for setting in _IN_FEED_ORDER:
        await connection.execute(f"SET {setting}".encode())


async def _prepare_replica(store_id: str, connection: psycopg.AsyncConnection[Any]) -> None:
    """Refuse the connection to another store, whose accounts have the same ids."""
    await _read_in_feed_order(connection)
    with contextlib.suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):  # on a worker of Citus
        rows = await (await connection.execute(QUERIES["read_store_id"].encode())).fetchall()
        if rows != [(store_id,)]:
            raise psycopg.OperationalError(NO_REPLICA)


async def _fetch(pool: ReadPool, sql: str, bindings: dict[str, Any], settings: Sequence[str] = ()) -> list[Any]:
    async with pool.connection(WAIT_SECONDS) as connection:
        if settings:
            async with connection.pipeline(), connection.transaction():  # in one round trip
                for setting in settings:
                    await connection.execute(f"SET LOCAL {setting}".encode())
                reading = await connection.execute(sql.encode(), bindings, binary=True)
            found: list[Any] = await reading.fetchall()
            return found
        rows: list[Any] = await (await connection.execute(sql.encode(), bindings, binary=True)).fetchall()
        return rows


def is_transient(error: Exception) -> bool:
    """Whether the same statement may succeed in a moment: lost connections, restarts, lost races."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout | TimeoutError)
    return error.sqlstate[:2] == "08" or error.sqlstate in TRANSIENT_STATES


def is_own_failure(error: psycopg.Error) -> bool:
    """Whether a transient error is the server's own: it ends, or the connection to it was lost.

    On Citus, an error of class 08 that has a SQLSTATE is that of a worker behind it.
    """
    return error.sqlstate is None or error.sqlstate in OWN_STATES


def explain(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
