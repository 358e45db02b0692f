"""The sidecar of a PostgreSQL store: unlogged tables, which a crash of the server empties."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg_pool import PoolTimeout

from ticketfeed.protocol.consumers import REQUESTS_KEPT, TEST_REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import RateLimit, RateLimitResult
from ticketfeed.storage.erased_usage import ErasedUsage
from ticketfeed.storage.postgres.pools import WAIT_SECONDS, PostgresReaders, explain
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.queries import POSTGRES
from ticketfeed.storage.sql_accounts import SqlAccountStore
from ticketfeed.storage.sql_sidecar import (
    Statement,
    Steps,
    add_login_steps,
    count_request_steps,
    decode_all_consumers,
    decode_consumers,
    decode_requests,
    end_lease_steps,
    end_login_steps,
    record_usage_steps,
    replace_consumers_steps,
    replace_full_accounts_steps,
    take_lease_steps,
)
from ticketfeed.storage.wait_budget import wait_deadline

__all__ = ["PostgresSidecarStore"]

T = TypeVar("T")


class PostgresSidecarStore(SqlAccountStore):
    """A SidecarStore, on the primary."""

    _readers: PostgresReaders
    _erased: ErasedUsage

    async def count_request(self, account: Account, limits: Sequence[RateLimit], now: int) -> RateLimitResult:
        return await self._run_sidecar(account, count_request_steps(POSTGRES, account, limits, now))

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
        await self._run_sidecar(account, record_usage_steps(POSTGRES, account, consumers, requests, now, keep))

    async def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None:
        await self._run_sidecar(account, replace_consumers_steps(POSTGRES, account, consumers))

    async def read_consumers(self, account: Account) -> list[Consumer]:
        return decode_consumers(await self._query("read_consumers", account, current=True))

    async def read_all_consumers(self) -> dict[int, list[Consumer]]:
        return decode_all_consumers(await self._fetch(QUERIES["read_all_consumers"], {}, current=True))

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        return decode_requests(await self._query("read_requests", account, current=True, keep=TEST_REQUESTS_KEPT))

    async def add_login(self, account: Account, token_hash: str, now: int, ends_at: int) -> None:
        await self._run_sidecar(account, add_login_steps(account, token_hash, now, ends_at))

    async def has_login(self, account: Account, token_hash: str, now: int) -> bool:
        return bool(await self._query("find_login", account, current=True, token_hash=token_hash, now=now))

    async def end_login(self, account: Account, token_hash: str) -> None:
        await self._run_sidecar(account, end_login_steps(account, token_hash))

    async def take_lease(self, name: str, owner: str, seconds: float) -> bool:
        return await self._run_sidecar(None, take_lease_steps(name, owner, seconds))

    async def end_lease(self, name: str, owner: str) -> None:
        await self._run_sidecar(None, end_lease_steps(name, owner))

    async def replace_full_accounts(self, account_ids: set[int]) -> None:
        await self._run_sidecar(None, replace_full_accounts_steps(POSTGRES, account_ids))

    async def read_full_accounts(self) -> set[int]:
        return {id for (id,) in await self._fetch(QUERIES["read_full_accounts"], {}, current=True)}

    async def _run_sidecar(self, account: Account | None, steps: Steps[T]) -> T:
        """On the primary, within a bounded time. Raises StoreUnavailable."""
        deadline = wait_deadline(WAIT_SECONDS)

        async def run() -> T:
            async with self._readers.primary.connection(WAIT_SECONDS) as connection:
                return await _run_steps(connection, steps)

        try:
            async with self._readers.slot_of(account.account_id if account else None, deadline) as slot:
                return await self._readers.within(deadline - time.monotonic(), run(), slot)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            reason = self._readers.primary.failure.explain(error, WAIT_SECONDS)
            raise StoreUnavailable(f"the store cannot serve: {explain(reason)}") from error


async def _run_steps(connection: psycopg.AsyncConnection[Any], steps: Steps[T]) -> T:
    """Run the steps in one transaction."""
    async with connection.transaction(), connection.cursor(binary=True) as cursor:
        try:
            statement = next(steps)
            while True:
                statement = steps.send(await _run(cursor, statement))
        except StopIteration as stop:
            result: T = stop.value
            return result


async def _run(cursor: psycopg.AsyncCursor[Any], statement: Statement) -> list[Any]:
    sql = QUERIES[statement.name].encode()
    if len(statement.bindings) != 1:
        await cursor.executemany(sql, statement.bindings)  # in one round trip
        return []
    (bindings,) = statement.bindings
    await cursor.execute(sql, bindings)
    return await cursor.fetchall() if cursor.description else []
