"""The SQLite store: one writer thread, reads in the caller's thread, one file.

WAL and `synchronous=FULL`: a write that returned survives a power cut, and readers never wait for it. A page is
one range read of about a millisecond; handing it to another thread would cost a third more, so it is not.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ticketfeed.clock import Clock
from ticketfeed.protocol.consumers import Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.invalidations import invalidations_of
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Slice, TicketList, Token
from ticketfeed.protocol.rate_limits import RateLimit, Spent
from ticketfeed.protocol.rows import BodyRow, ChangeRow, LinkedTicketRow, ListRow, TicketRecordRow, make_rows
from ticketfeed.storage.contract import FeedRows, Snapshot, WriteTransaction
from ticketfeed.storage.list_query import compose_list, list_bindings, ticket_bindings
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sql_transaction import jobs_of
from ticketfeed.storage.sqlite.file import (
    connect,
    explain,
    prepare,
    snapshot,
    transaction,
    translated,
)
from ticketfeed.storage.sqlite.sidecar import SqliteSidecar
from ticketfeed.storage.sqlite.snapshot import SqliteSnapshot
from ticketfeed.storage.sqlite.transaction import close_account, fence_account
from ticketfeed.storage.sqlite.writer import SqliteWriter

__all__ = ["SqliteStore"]

T = TypeVar("T")

READ_CACHE_KIB = 2048

Q = load_queries("sqlite")
_READ_LINKS = Q["read_changes"].replace("generated_timestamp, id, body", ", ".join(LinkedTicketRow._fields), 1)


class SqliteStore:
    """A Store in one SQLite file. Open it with `SqliteStore.open`."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float) -> None:
        self._path, self._clock, self._busy_seconds = path, clock, busy_seconds
        self._reader = connect(path, busy_seconds, READ_CACHE_KIB)
        self._writer = SqliteWriter(path, clock, busy_seconds)
        self._beside = SqliteSidecar(path)
        self.store_id = str(self._reader.execute("SELECT value FROM meta WHERE name = 'store_id'").get)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, create: bool = True, busy_seconds: float = 10.0) -> "SqliteStore":
        """Open the file, make it when `create`, and bring its schema up to date. Raises StoreError."""
        if not create and not path.exists():
            raise StoreError(f"there is no store at {path}")
        try:
            prepare(path, busy_seconds)
            return cls(path, clock, busy_seconds)
        except apsw.Error as error:
            raise StoreError(f"cannot open the store {path}: {explain(error)}") from error

    def change_counter(self) -> int | None:
        """SQLite counts the commits of all connections but the one that asks, and ours for reading never writes."""
        try:
            return int(self._reader.execute("PRAGMA data_version").get)
        except apsw.Error:
            return None  # whoever asks next is told why

    async def close(self) -> None:
        await self._writer.close()
        self._beside.close()
        self._reader.close()

    async def list_accounts(self) -> list[Account]:
        return [Account(*row) for row in self._read("list_accounts", {})]

    async def create_account(self, subdomain: str) -> Account:
        def create() -> None:
            execute = self._writer.connection.execute
            with translated(self._path), self._writer.transaction():
                execute(Q["create_account"], {"subdomain": subdomain})
                account_id = execute(Q["find_account"], {"subdomain": subdomain}).get
                fenced_at = execute(Q["read_fenced_at"]).get
                execute(Q["create_feed_state"], {"account_id": account_id, "watermark": fenced_at})

        await self._writer.run(create)
        return next(found for found in await self.list_accounts() if found.subdomain == subdomain)

    async def read_state(self, account: Account) -> FeedState:
        return FeedState(*self._read("read_state", {"account_id": account.account_id})[0])

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, FeedRows]:
        with translated(self._path), snapshot(self._reader):
            state = FeedState(*self._reader.execute(Q["read_state"], {"account_id": account.account_id}).get)
            rows = self._reader.execute(
                _READ_LINKS if links else Q["read_changes"],
                {
                    "account_id": account.account_id,
                    "after_timestamp": after.generated_timestamp,
                    "after_id": after.id,
                    "until": min(until, state.watermark),
                    "exclude_deleted": filters.exclude_deleted,
                    "scope": filters.support_type_scope,
                    "limit": limit,
                },
            ).fetchall()
        return state, make_rows(LinkedTicketRow, rows) if links else make_rows(ChangeRow, rows)

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        return invalidations_of(self._read("read_invalidations", {"account_id": account.account_id, "since": since}))

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, FeedRows]:
        with translated(self._path), snapshot(self._reader):
            row = self._reader.execute(Q["read_record_state"], {"account_id": account.account_id}).get
            state = FeedState(*row)
            bindings = {
                "account_id": account.account_id,
                "kind": kind,
                "after_timestamp": after.generated_timestamp,
                "after_id": after.id,
                "until": min(until, state.watermark),
                "limit": limit,
            }
            rows = self._reader.execute(Q["read_record_changes"], bindings).fetchall()
        return state, make_rows(ChangeRow, rows)

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        return make_rows(BodyRow, self._read("read_records", {**_ids(account, ids), "kind": kind}))

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        return make_rows(LinkedTicketRow, self._read("read_tickets", _ids(account, ids)))

    async def list_tickets(self, account: Account, tickets: TicketList, part: Slice) -> Sequence[ListRow]:
        bindings = {"account_id": account.account_id, **ticket_bindings(tickets), **list_bindings(part)}
        return make_rows(ListRow, self._read_sql(compose_list(Q["list_tickets"], part, tickets), bindings))

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        sql = compose_list(Q["count_listed_tickets"], Slice(0), tickets)
        return int(self._read_sql(sql, {"account_id": account.account_id, **ticket_bindings(tickets)})[0][0])

    async def list_records(
        self, account: Account, kind: str, part: Slice, ticket_id: int | None = None
    ) -> Sequence[ListRow]:
        sql = Q["list_records" if ticket_id is None else "list_records_of_ticket"]
        bindings = {"account_id": account.account_id, "kind": kind, "ticket_id": ticket_id, **list_bindings(part)}
        return make_rows(ListRow, self._read_sql(compose_list(sql, part), bindings))

    async def count_records(self, account: Account, kind: str, ticket_id: int | None = None) -> int:
        name = "count_records" if ticket_id is None else "count_records_of_ticket"
        return int(self._read(name, {"account_id": account.account_id, "kind": kind, "ticket_id": ticket_id})[0][0])

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        rows = self._read("read_of_tickets", {**_ids(account, ticket_ids), "kind": kind})
        return make_rows(TicketRecordRow, rows)

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        return dict(self._read("count_comments", _ids(account, ticket_ids)))

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        return dict(self._read("count_incidents", _ids(account, problem_ids)))

    async def list_aged(self, account: Account, status: str, after: Position, until: int, limit: int) -> list[Position]:
        bindings = {"account_id": account.account_id, "status": status, "until": until, "limit": limit}
        bindings |= {"after_timestamp": after.generated_timestamp, "after_id": after.id}
        return [Position(*row) for row in self._read("list_aged", bindings)]

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        bindings: dict[str, Any] = {"account_id": account.account_id}
        chosen = [row[0] for row in self._read("list_job_ids", bindings)] if ids is None else list(ids)
        bindings["ids"] = json.dumps(chosen)
        return jobs_of(self._read("read_jobs", bindings), self._read("read_results", bindings))

    async def list_open_jobs(self, account: Account) -> list[str]:
        return [row[0] for row in self._read("list_open_jobs", {"account_id": account.account_id})]

    async def close_newest(self, account: Account) -> bool:
        if self._writer.is_busy:
            return False
        return await self._writer.run(lambda: self._close_newest(account))

    async def write(self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool = False) -> T:
        return await self._writer.write(account, work, exclusive=exclusive)

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        return await self._writer.run(lambda: self._fence(account, clock_error_seconds))

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        return await asyncio.to_thread(self._inspect, work)

    async def spend(self, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
        return self._beside.spend(account, limits, now)

    async def record_usage(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord], now: float
    ) -> None:
        self._beside.record_usage(account, consumers, requests, now)

    async def read_consumers(self, account: Account) -> list[Consumer]:
        return self._beside.read_consumers(account)

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        return self._beside.read_requests(account)

    async def find_credential(self, account: Account, credential_id: int) -> tuple[str, bytes] | None:
        rows = self._read("find_credential", {"account_id": account.account_id, "id": credential_id})
        return rows[0] if rows else None

    async def find_token_user(self, account: Account, secret_hash: str) -> tuple[int, bytes] | None:
        rows = self._read("find_token_user", {"account_id": account.account_id, "secret_hash": secret_hash})
        return rows[0] if rows else None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[int, str, bytes]]:
        return self._read("find_passwords", {"account_id": account.account_id, "email": email})

    async def list_credentials(self, account: Account) -> list[Token]:
        return [Token(*row) for row in self._read("list_credentials", {"account_id": account.account_id})]

    def _read(self, name: str, bindings: dict[str, Any]) -> list[Any]:
        return self._read_sql(Q[name], bindings)

    def _read_sql(self, sql: str, bindings: dict[str, Any]) -> list[Any]:
        with translated(self._path):
            return self._reader.execute(sql, bindings).fetchall()

    def _fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        with translated(self._path), self._writer.transaction():
            return fence_account(self._writer.connection, account, self._clock(), clock_error_seconds)

    def _inspect(self, work: Callable[[Snapshot], T]) -> T:
        connecting = contextlib.closing(connect(self._path, self._busy_seconds, READ_CACHE_KIB))
        with translated(self._path), connecting as connection:
            connection.execute("BEGIN")  # ended by closing: SQLite commits nothing of a file that is damaged
            return work(SqliteSnapshot(connection))

    def _close_newest(self, account: Account) -> bool:
        connection = self._writer.connection
        connection.set_busy_timeout(0)
        try:
            with transaction(connection):
                return close_account(connection, account, self._clock())
        except apsw.Error:  # another process writes, the disk is full: a page ends at the watermark, and is a page
            return False
        finally:
            connection.set_busy_timeout(round(self._busy_seconds * 1000))


def _ids(account: Account, ids: Sequence[int]) -> dict[str, Any]:
    return {"account_id": account.account_id, "ids": json.dumps(list(ids))}
