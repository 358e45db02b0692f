"""The PostgreSQL store: stateless server processes around one database, reads from replicas where there are some.

A read is one statement, hence one snapshot, and is repeated for a bounded time while the database is away. A write
runs in a thread, locks the account row, and is repeated only until it holds the lock: the work itself runs once.
Decisions on errors rest on SQLSTATE alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from ticketfeed.clock import Clock
from ticketfeed.protocol import watermark
from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.invalidations import invalidations_of
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Slice, TicketList, Token
from ticketfeed.protocol.rate_limits import RateLimit, Spent
from ticketfeed.protocol.rows import BodyRow, ChangeRow, LinkedTicketRow, ListRow, TicketRecordRow, make_rows
from ticketfeed.storage.contract import FeedRows, Snapshot, WriteTransaction
from ticketfeed.storage.list_query import compose_list, list_bindings, ticket_bindings
from ticketfeed.storage.postgres.pools import (
    CONNECTION,
    RETRY_SECONDS,
    WAIT_SECONDS,
    PostgresReaders,
    explain,
    is_passing,
)
from ticketfeed.storage.postgres.schema import prepare_schema, refuse_unreadable
from ticketfeed.storage.postgres.sidecar import keep_notes_in_postgres, spend_in_postgres
from ticketfeed.storage.postgres.snapshot import PostgresSnapshot, start_snapshot
from ticketfeed.storage.postgres.transaction import (
    PostgresTransaction,
    States,
    fence_account,
    lock_states,
    state_bindings,
)
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sql_transaction import jobs_of

__all__ = ["PostgresStore"]

T = TypeVar("T")

# No single statement of a write may take longer, nor wait longer for the account row.
STATEMENT_SECONDS = 60.0
# Connections of one process for writes, to the primary.
WRITERS_MAX = 8

_POSITION = attrgetter("generated_timestamp", "id")
Q = load_queries("postgres")
_READ_LINKS = (
    Q["read_changes"]
    .replace(
        "change.generated_timestamp, change.id, change.body",
        ", ".join(f"change.{n}" for n in LinkedTicketRow._fields),
        1,
    )
    .replace("generated_timestamp, id, body\n", ", ".join(LinkedTicketRow._fields) + "\n", 1)
)


class PostgresStore:
    """A Store in one PostgreSQL database. Open it with `PostgresStore.open`."""

    def __init__(self, url: str, read_urls: Sequence[str], clock: Clock, store_id: str) -> None:
        self._clock = clock
        self.store_id = store_id
        self._readers = PostgresReaders(url, read_urls)
        self._writers = ConnectionPool(
            url, min_size=0, max_size=WRITERS_MAX, open=False, kwargs=CONNECTION, reconnect_timeout=WAIT_SECONDS
        )
        self._threads = ThreadPoolExecutor(max_workers=WRITERS_MAX, thread_name_prefix="postgres-writer")

    @classmethod
    async def open(
        cls, url: str, clock: Clock, *, read_urls: Sequence[str] = (), create: bool = True
    ) -> "PostgresStore":
        """Connect, bring the schema up to date, open the pools. Raises StoreError."""

        for each in (url, *read_urls):
            refuse_unreadable(each)

        def prepare() -> str:
            with psycopg.connect(url, **CONNECTION) as connection:
                return prepare_schema(connection, create=create)

        try:
            store = cls(url, read_urls, clock, await asyncio.to_thread(prepare))
        except psycopg.Error as error:
            raise StoreError(f"cannot open the store: {explain(error)}") from error
        await store._readers.open()
        store._writers.open()
        return store

    def change_counter(self) -> int | None:
        return None

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._writers.close)
        await self._readers.close()

    async def list_accounts(self) -> list[Account]:
        return [Account(*row) for row in await self._readers.read_current(Q["list_accounts"], {})]

    async def create_account(self, subdomain: str) -> Account:
        def create() -> Account:
            with self._writers.connection() as connection, connection.transaction():
                connection.execute(Q["create_account"].encode(), {"subdomain": subdomain})
                row = connection.execute(Q["find_account"].encode(), {"subdomain": subdomain}).fetchone()
                assert row is not None
                fenced_at = connection.execute(Q["read_fenced_at"].encode()).fetchone()
                assert fenced_at is not None
                made = {"account_id": row[0], "watermark": fenced_at[0]}
                connection.execute(Q["create_feed_state"].encode(), made)
                return Account(row[0], subdomain)

        return await self._in_thread(lambda: _unavailable_after(create))

    async def read_state(self, account: Account) -> FeedState:
        rows = await self._readers.read_current(Q["read_state"], {"account_id": account.account_id})
        if not rows:
            raise _no_row(account)
        return FeedState(*rows[0])

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, FeedRows]:
        bindings = {
            "account_id": account.account_id,
            "after_timestamp": after.generated_timestamp,
            "after_id": after.id,
            "until": until,
            "exclude_deleted": filters.exclude_deleted,
            "scope": filters.support_type_scope,
            "limit": limit,
        }
        sql, row_type = (_READ_LINKS, LinkedTicketRow) if links else (Q["read_changes"], ChangeRow)
        return await self._read_feed(account, sql, bindings, row_type)

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        rows = await self._readers.read(Q["read_invalidations"], {"account_id": account.account_id, "since": since})
        return invalidations_of(rows)

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, FeedRows]:
        bindings = {
            "account_id": account.account_id,
            "kind": kind,
            "after_timestamp": after.generated_timestamp,
            "after_id": after.id,
            "until": until,
            "limit": limit,
        }
        return await self._read_feed(account, Q["read_record_changes"], bindings, ChangeRow)

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        return make_rows(BodyRow, await self._list("read_records", account, {"ids": list(ids), "kind": kind}))

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        return make_rows(LinkedTicketRow, await self._list("read_tickets", account, {"ids": list(ids)}))

    async def list_tickets(self, account: Account, tickets: TicketList, part: Slice) -> Sequence[ListRow]:
        sql = compose_list(Q["list_tickets"], part, tickets, "%({})s".format)
        rows = await self._list_sql(sql, account, {**ticket_bindings(tickets), **list_bindings(part)})
        return make_rows(ListRow, rows)

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        sql = compose_list(Q["count_listed_tickets"], Slice(0), tickets, "%({})s".format)
        return int((await self._list_sql(sql, account, ticket_bindings(tickets)))[0][0])

    async def list_records(
        self, account: Account, kind: str, part: Slice, ticket_id: int | None = None
    ) -> Sequence[ListRow]:
        sql = Q["list_records" if ticket_id is None else "list_records_of_ticket"]
        bindings = {"kind": kind, "ticket_id": ticket_id, **list_bindings(part)}
        return make_rows(ListRow, await self._list_sql(compose_list(sql, part), account, bindings))

    async def count_records(self, account: Account, kind: str, ticket_id: int | None = None) -> int:
        name = "count_records" if ticket_id is None else "count_records_of_ticket"
        return int((await self._list(name, account, {"kind": kind, "ticket_id": ticket_id}))[0][0])

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        rows = await self._list("read_of_tickets", account, {"ids": list(ticket_ids), "kind": kind})
        return make_rows(TicketRecordRow, rows)

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        return dict(await self._list("count_comments", account, {"ids": list(ticket_ids)}))

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        return dict(await self._list("count_incidents", account, {"ids": list(problem_ids)}))

    async def list_aged(self, account: Account, status: str, after: Position, until: int, limit: int) -> list[Position]:
        bindings = {"status": status, "until": until, "limit": limit}
        bindings |= {"after_timestamp": after.generated_timestamp, "after_id": after.id}
        return [Position(*row) for row in await self._list("list_aged", account, bindings)]

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        bindings: dict[str, Any] = {"account_id": account.account_id}
        read = self._readers.read_current
        bindings["ids"] = [row[0] for row in await read(Q["list_job_ids"], bindings)] if ids is None else list(ids)
        return jobs_of(await read(Q["read_jobs"], bindings), await read(Q["read_results"], bindings))

    async def list_open_jobs(self, account: Account) -> list[str]:
        rows = await self._readers.read_current(Q["list_open_jobs"], {"account_id": account.account_id})
        return [row[0] for row in rows]

    async def close_newest(self, account: Account) -> bool:
        try:
            return await self._readers.within(WAIT_SECONDS, self._close_newest(account))
        except (psycopg.Error, PoolTimeout, TimeoutError):
            return False

    async def write(
        self,
        account: Account,
        work: Callable[[WriteTransaction], T],
        *,
        exclusive: bool = False,  # noqa: ARG002
    ) -> T:
        return await self._in_thread(lambda: self._write(account, work))

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        return await self._in_thread(lambda: self._fence(account, clock_error_seconds))

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        return await self._in_thread(lambda: _unavailable_after(lambda: self._inspect(work)))

    async def spend(self, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
        return await self._beside(lambda connection: spend_in_postgres(connection, account, limits, now))

    async def record_usage(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord], now: float
    ) -> None:
        await self._beside(lambda connection: keep_notes_in_postgres(connection, account, consumers, requests, now))

    async def read_consumers(self, account: Account) -> list[Consumer]:
        rows = await self._readers.read_current(Q["read_consumers"], {"account_id": account.account_id})
        return [msgspec.json.decode(body, type=Consumer) for (body,) in rows]

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        bindings = {"account_id": account.account_id, "keep": REQUESTS_KEPT}
        rows = await self._readers.read_current(Q["read_requests"], bindings)
        return [msgspec.json.decode(body, type=RequestRecord) for (body,) in rows]

    async def find_credential(self, account: Account, credential_id: int) -> tuple[str, bytes] | None:
        bindings = {"account_id": account.account_id, "id": credential_id}
        rows = await self._readers.read_current(Q["find_credential"], bindings)
        return rows[0] if rows else None

    async def find_token_user(self, account: Account, secret_hash: str) -> tuple[int, bytes] | None:
        rows = await self._readers.read_current(
            Q["find_token_user"], {"account_id": account.account_id, "secret_hash": secret_hash}
        )
        return rows[0] if rows else None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[int, str, bytes]]:
        return await self._readers.read_current(Q["find_passwords"], {"account_id": account.account_id, "email": email})

    async def list_credentials(self, account: Account) -> list[Token]:
        return [
            Token(*row)
            for row in await self._readers.read_current(Q["list_credentials"], {"account_id": account.account_id})
        ]

    async def _beside(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """On the primary, within a bounded time. Raises StoreUnavailable."""

        async def run() -> T:
            async with self._readers.primary.connection(WAIT_SECONDS) as connection:
                return await work(connection)

        try:
            return await self._readers.within(WAIT_SECONDS, run())
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            raise StoreUnavailable(f"cannot count requests: {explain(error)}") from error

    async def _read_feed(
        self, account: Account, sql: str, bindings: dict[str, Any], row_type: type[ChangeRow] | type[LinkedTicketRow]
    ) -> tuple[FeedState, FeedRows]:
        """Rows of changes, each with the state of their feed behind it."""
        # A replica may not know yet of an account that was just made.
        rows = await self._readers.read(sql, bindings)
        rows = rows or await self._readers.read_primary(sql, bindings)
        if not rows:
            raise _no_row(account)
        width = len(row_type._fields)
        state = FeedState(*rows[0][width:])
        changes: list[Any] = make_rows(row_type, [row[:width] for row in rows])
        if changes[0].id is None:  # the account row alone
            return state, []
        # The inner query is in order, but SQL does not promise that of the join around it. Asking for it there makes
        # the database sort megabytes; here the rows are in order already, and looking costs a fortieth.
        changes.sort(key=_POSITION)
        return state, changes

    async def _list(self, name: str, account: Account, bindings: dict[str, Any]) -> list[Any]:
        return await self._list_sql(Q[name], account, bindings)

    async def _list_sql(self, sql: str, account: Account, bindings: dict[str, Any]) -> list[Any]:
        return await self._readers.read(sql, {"account_id": account.account_id, **bindings})

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _close_newest(self, account: Account) -> bool:
        """On a reader's connection: those for writes, and their threads, may all be waiting for this very row."""
        async with self._readers.primary.connection(RETRY_SECONDS) as connection, connection.transaction():
            sql, bindings = (Q["lock_state"] + " NOWAIT").encode(), {"account_id": account.account_id}
            row = await (await connection.execute(sql, bindings)).fetchone()
            if row is None:
                return False
            state, records, now = FeedState(*row[:5]), FeedState(*row[5:]), self._clock()
            if not watermark.can_close(state, now) and not watermark.can_close_records(records, now):
                return False
            closed = watermark.close(state, now), watermark.close_records(records, now)
            await connection.execute(Q["write_state"].encode(), state_bindings(account, closed))
        return True

    def _write(self, account: Account, work: Callable[[WriteTransaction], T]) -> T:
        def locked(connection: psycopg.Connection[Any], states: States) -> T:
            transaction = PostgresTransaction(connection, account, states, self._clock())
            result = work(transaction)
            transaction.finish()
            return result

        return self._with_row_locked(account, locked)

    def _fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        def locked(connection: psycopg.Connection[Any], states: States) -> FeedState:
            return fence_account(connection, account, states, self._clock(), clock_error_seconds)

        return self._with_row_locked(account, locked)

    def _inspect(self, work: Callable[[Snapshot], T]) -> T:
        with self._writers.connection(WAIT_SECONDS) as connection, connection.transaction():
            start_snapshot(connection)
            return work(PostgresSnapshot(connection))

    def _with_row_locked(self, account: Account, work: Callable[[psycopg.Connection[Any], States], T]) -> T:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            locked = False
            try:
                with self._writers.connection(WAIT_SECONDS) as connection, connection.transaction():
                    connection.execute(f"SET LOCAL statement_timeout = {round(STATEMENT_SECONDS * 1000)}".encode())
                    states = lock_states(connection, account)
                    locked = True
                    return work(connection, states)
            except (psycopg.Error, PoolTimeout) as error:
                if locked or not is_passing(error) or time.monotonic() > deadline:
                    held = not locked and isinstance(error, psycopg.errors.QueryCanceled)
                    reason = "another write holds the account" if held else explain(error)
                    raise StoreUnavailable(f"the store cannot serve: {reason}") from error
            time.sleep(RETRY_SECONDS)


def _no_row(account: Account) -> StoreUnavailable:
    return StoreUnavailable(f"account {account.subdomain} has no row in feed_state; is the store being restored?")


def _unavailable_after(work: Callable[[], T]) -> T:
    try:
        return work()
    except (psycopg.Error, PoolTimeout) as error:
        raise StoreUnavailable(f"the store cannot serve: {explain(error)}") from error
