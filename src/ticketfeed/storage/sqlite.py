"""The SQLite store: one writer thread, reads in the caller's thread, one file.

WAL and `synchronous=FULL`: a write that returned survives a power cut, and readers never wait for it. A page is
one range read of about a millisecond; handing it to another thread would cost a third more, so it is not.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ticketfeed.clock import Clock
from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput, StoreError
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Token
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import LINK_COLUMNS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.base import CredentialKind, Rows, Snapshot, WriteTransaction
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sqlite_file import (
    connect,
    explain,
    prepare,
    snapshot,
    transaction,
    translated,
    use_write_ahead_log,
)
from ticketfeed.storage.sqlite_snapshot import SqliteSnapshot

__all__ = ["SqliteStore", "fence_account"]

T = TypeVar("T")

READ_CACHE_KIB, WRITE_CACHE_KIB = 8192, 32768

Q = load_queries("sqlite")
_READ_LINKS = Q["read_changes"].replace("body", ", ".join(("body", *LINK_COLUMNS)), 1)


class SqliteStore:
    """A Store in one SQLite file. Open it with `SqliteStore.open`."""

    def __init__(self, path: Path, clock: Clock, busy_seconds: float) -> None:
        self._path, self._clock, self._busy_seconds = path, clock, busy_seconds
        self._reader = connect(path, busy_seconds, READ_CACHE_KIB)
        self._writer = connect(path, busy_seconds, WRITE_CACHE_KIB)
        self._writer.execute("CREATE TEMP TABLE given (id INTEGER PRIMARY KEY, generated_timestamp INTEGER)")
        self._writer_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-writer")
        self._has_log = False
        self._under_way: set[Future[Any]] = set()
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

    async def close(self) -> None:
        await asyncio.to_thread(self._writer_thread.shutdown)
        for connection in (self._reader, self._writer):
            connection.close()

    async def list_accounts(self) -> list[Account]:
        return [Account(*row) for row in self._read("list_accounts", {})]

    async def create_account(self, subdomain: str) -> Account:
        def create() -> None:
            with translated(self._path), self._transaction():
                self._writer.execute(Q["create_account"], {"subdomain": subdomain})
                account_id = self._writer.execute(Q["find_account"], {"subdomain": subdomain}).get
                fenced_at = self._writer.execute(Q["read_fenced_at"]).get
                self._writer.execute(Q["create_feed_state"], {"account_id": account_id, "watermark": fenced_at})

        await self._in_writer(create)
        return next(found for found in await self.list_accounts() if found.subdomain == subdomain)

    async def read_state(self, account: Account) -> FeedState:
        return FeedState(*self._read("read_state", {"account_id": account.account_id})[0])

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, Rows]:
        with translated(self._path), snapshot(self._reader):
            state = read_state(self._reader, account)
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
        return state, rows

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> list[bytes]:
        bindings = {"account_id": account.account_id, "kind": kind, "ids": json.dumps(list(ids))}
        return [row[0] for row in self._read("read_records", bindings)]

    async def close_newest(self, account: Account) -> bool:
        if self._under_way:
            return False
        return await self._in_writer(lambda: self._close_newest(account))

    async def write(self, account: Account, work: Callable[[WriteTransaction], T]) -> T:
        return await self._in_writer(lambda: self._write(account, work))

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        return await self._in_writer(lambda: self._fence(account, clock_error_seconds))

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        return await asyncio.to_thread(self._inspect, work)

    async def find_token_user(self, account: Account, secret_hash: str) -> bytes | None:
        rows = self._read("find_token_user", {"account_id": account.account_id, "secret_hash": secret_hash})
        return rows[0][0] if rows else None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[str, bytes]]:
        return self._read("find_passwords", {"account_id": account.account_id, "email": email})

    async def list_credentials(self, account: Account) -> list[Token]:
        return [Token(*row) for row in self._read("list_credentials", {"account_id": account.account_id})]

    def _read(self, name: str, bindings: dict[str, Any]) -> list[Any]:
        with translated(self._path):
            return self._reader.execute(Q[name], bindings).fetchall()

    async def _in_writer(self, work: Callable[[], T]) -> T:
        under_way = self._writer_thread.submit(work)
        self._under_way.add(under_way)
        under_way.add_done_callback(self._under_way.discard)  # not when the caller is done, who may give up waiting
        return await asyncio.wrap_future(under_way)

    def _write(self, account: Account, work: Callable[[WriteTransaction], T]) -> T:
        with translated(self._path), self._transaction():
            write = _SqliteTransaction(self._writer, account, self._clock())
            result = work(write)
            write.finish()
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._has_log:  # a restored file has none before its first write
            use_write_ahead_log(self._writer, self._busy_seconds)
            self._has_log = True
        with transaction(self._writer):
            yield

    def _fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        with translated(self._path), self._transaction():
            return fence_account(self._writer, account, self._clock(), clock_error_seconds)

    def _inspect(self, work: Callable[[Snapshot], T]) -> T:
        connecting = contextlib.closing(connect(self._path, self._busy_seconds, READ_CACHE_KIB))
        with translated(self._path), connecting as connection:
            connection.execute("BEGIN")  # ended by closing: SQLite commits nothing of a file that is damaged
            return work(SqliteSnapshot(connection))

    def _close_newest(self, account: Account) -> bool:
        self._writer.set_busy_timeout(0)
        try:
            with transaction(self._writer):
                state, now = read_state(self._writer, account), self._clock()
                if not watermark.can_close(state, now):
                    return False
                write_state(self._writer, account, watermark.close(state, now))
            return True
        except apsw.Error:  # another process writes, the disk is full: a page ends at the watermark, and is a page
            return False
        finally:
            self._writer.set_busy_timeout(round(self._busy_seconds * 1000))


class _SqliteTransaction:
    """One write. `finish` stores the account row when tickets were put."""

    def __init__(self, connection: apsw.Connection, account: Account, now: int) -> None:
        self._connection, self._account, self._now = connection, account, now
        self.state = read_state(connection, account)
        self._newest: int | None = None
        self._added = 0

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        if keep_generated_timestamp and not watermark.can_keep(self.state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        second = watermark.next_generated_timestamp(self.state, self._now)
        self._connection.execute(Q["forget_given"])
        count = 0
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            if self._is_newest_given(draft):
                self._put_ticket(draft, draft.generated_timestamp if keep_generated_timestamp else second)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        count = 0
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            row = (draft.kind, draft.id, draft.updated_timestamp, draft.email, draft.body)
            self._connection.execute(Q["put_record"], (self._account.account_id, *row))
        return count

    def find_user(self, email: str) -> bytes | None:
        bindings = {"account_id": self._account.account_id, "email": email.strip().lower()}
        return self._connection.execute(Q["find_user"], bindings).get  # type: ignore[no-any-return]

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        account_id = self._account.account_id
        bindings = {"account_id": account_id, "secret_hash": secret_hash}
        if self._connection.execute(Q["find_secret"], bindings).get is not None:
            raise BadInput("this token is in use already")
        credential_id = int(self._connection.execute(Q["next_credential_id"], {"account_id": account_id}).get)
        self._connection.execute(
            Q["add_credential"],
            {**bindings, "id": credential_id, "user_id": user_id, "kind": kind, "created_at": self._now},
        )
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        bindings = {"account_id": self._account.account_id, "id": credential_id, "revoked_at": self._now}
        self._connection.execute(Q["revoke_credential"], bindings)
        return self._connection.changes() > 0

    def finish(self) -> None:
        if self._newest is not None:
            count = self.state.ticket_count + self._added
            state = watermark.written(self.state, self._newest, self._now, count)
            write_state(self._connection, self._account, state)

    def _is_newest_given(self, draft: TicketDraft) -> bool:
        given = self._connection.execute(Q["find_given"], (draft.id,)).get
        if given is not None and draft.generated_timestamp < given:
            return False
        self._connection.execute(Q["note_given"], (draft.id, draft.generated_timestamp))
        return True

    def _put_ticket(self, draft: TicketDraft, second: int) -> None:
        account_id = self._account.account_id
        previous = self._connection.execute(Q["find_ticket"], (account_id, draft.id)).get
        if previous is None:
            self._added += 1
        else:
            self._connection.execute(Q["delete_ticket"], (account_id, previous, draft.id))
        self._connection.execute(
            Q["insert_ticket"],
            (
                account_id,
                second,
                draft.id,
                draft.status,
                draft.support_type,
                draft.external_id,
                draft.user_ids,
                draft.group_id,
                draft.organization_id,
                draft.body(second),
            ),
        )
        self._newest = max(second, self._newest or 0)


def read_state(connection: apsw.Connection, account: Account) -> FeedState:
    """Read the account row."""
    return FeedState(*connection.execute(Q["read_state"], {"account_id": account.account_id}).get)


def write_state(connection: apsw.Connection, account: Account, state: FeedState) -> None:
    """Store the account row."""
    connection.execute(
        Q["write_state"],
        {
            "account_id": account.account_id,
            "last_generated_timestamp": state.last_generated_timestamp,
            "watermark": state.watermark,
            "ticket_count": state.ticket_count,
        },
    )


def fence_account(connection: apsw.Connection, account: Account, now: int, clock_error_seconds: int) -> FeedState:
    """Fence one account, and those that are made later; inside a transaction."""
    state = watermark.fence(read_state(connection, account), now, clock_error_seconds)
    write_state(connection, account, state)
    fenced_at = watermark.fence(FeedState(), now, clock_error_seconds).watermark
    connection.execute(Q["write_fenced_at"], {"fenced_at": fenced_at})
    return state
