"""The store in memory: dictionaries. The reference behaviour that every other backend is measured against."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Token
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import LINK_COLUMNS
from ticketfeed.protocol.soundness import StoredRecord, StoredTicket
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.base import CredentialKind, Rows, Snapshot, WriteTransaction

__all__ = ["MemoryStore"]

T = TypeVar("T")


@dataclass
class _Held:
    """All that one account holds. Values are never changed in place, so a shallow copy is a snapshot."""

    state: FeedState = field(default_factory=FeedState)
    tickets: dict[int, tuple[int, TicketDraft]] = field(default_factory=dict)
    records: dict[tuple[str, int], RecordDraft] = field(default_factory=dict)
    credentials: dict[int, tuple[Token, str]] = field(default_factory=dict)

    def snapshot(self) -> "_Held":
        return _Held(self.state, dict(self.tickets), dict(self.records), dict(self.credentials))


class MemoryStore:
    """A Store that lives as long as its process."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._held: dict[int, _Held] = {}
        self._fenced_at = 0
        self._lock = asyncio.Lock()
        self.store_id = uuid.uuid4().hex

    async def close(self) -> None:
        return None

    async def list_accounts(self) -> list[Account]:
        return list(self._accounts.values())

    async def create_account(self, subdomain: str) -> Account:
        account = self._accounts.setdefault(subdomain, Account(len(self._accounts) + 1, subdomain))
        self._held.setdefault(account.account_id, _Held(FeedState(watermark=self._fenced_at)))
        return account

    async def read_state(self, account: Account) -> FeedState:
        return self._held[account.account_id].state

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, Rows]:
        held = self._held[account.account_id]
        until = min(until, held.state.watermark)
        wanted = sorted(
            (second, ticket_id)
            for ticket_id, (second, draft) in held.tickets.items()
            if after < (second, ticket_id) and second <= until and _passes(draft, filters)
        )
        return held.state, [_row(*held.tickets[ticket_id], links) for _, ticket_id in wanted[:limit]]

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> list[bytes]:
        records = self._held[account.account_id].records
        return [records[kind, id].body for id in sorted(set(ids)) if (kind, id) in records]

    async def close_newest(self, account: Account) -> bool:
        held = self._held[account.account_id]
        if self._lock.locked() or not watermark.can_close(held.state, self._clock()):
            return False
        held.state = watermark.close(held.state, self._clock())
        return True

    async def write(self, account: Account, work: Callable[[WriteTransaction], T]) -> T:
        async with self._lock:
            transaction = _MemoryTransaction(self._held[account.account_id].snapshot(), self._clock())
            result = await asyncio.to_thread(work, transaction)
            self._held[account.account_id] = transaction.finish()
            return result

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        async with self._lock:
            held = self._held[account.account_id]
            now = self._clock()
            held.state = watermark.fence(held.state, now, clock_error_seconds)
            self._fenced_at = max(self._fenced_at, watermark.fence(FeedState(), now, clock_error_seconds).watermark)
            return held.state

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        held = {account_id: held.snapshot() for account_id, held in self._held.items()}
        return await asyncio.to_thread(work, _MemorySnapshot(list(self._accounts.values()), held))

    async def find_token_user(self, account: Account, secret_hash: str) -> bytes | None:
        held = self._held[account.account_id]
        for token, stored in held.credentials.values():
            if token.kind == "api_token" and token.revoked_at is None and stored == secret_hash:
                user = held.records.get(("users", token.user_id))
                return user.body if user else None
        return None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[str, bytes]]:
        held = self._held[account.account_id]
        return [
            (stored, user.body)
            for token, stored in held.credentials.values()
            if token.kind == "password" and token.revoked_at is None
            if (user := held.records.get(("users", token.user_id))) and user.email == email
        ]

    async def list_credentials(self, account: Account) -> list[Token]:
        held = self._held[account.account_id]
        users = {id: draft.email or "" for (kind, id), draft in held.records.items() if kind == "users"}
        return [replace(token, email=users.get(token.user_id, "")) for token, _ in held.credentials.values()]


class _MemoryTransaction:
    def __init__(self, held: _Held, now: int) -> None:
        self._held, self._now = held, now
        self.state = held.state
        self._newest: int | None = None

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        if keep_generated_timestamp and not watermark.can_keep(self.state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        second = watermark.next_generated_timestamp(self.state, self._now)
        given: dict[int, int] = {}
        count = 0
        for draft in drafts:
            count += 1
            if draft.generated_timestamp < given.get(draft.id, 0):
                continue
            given[draft.id] = draft.generated_timestamp
            carried = draft.generated_timestamp if keep_generated_timestamp else second
            self._held.tickets[draft.id] = (carried, draft)
            self._newest = max(carried, self._newest or 0)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        before = 0
        for before, draft in enumerate(drafts, 1):  # noqa: B007
            self._held.records[draft.kind, draft.id] = draft
        return before

    def find_user(self, email: str) -> bytes | None:
        email = email.strip().lower()
        found = (d for (kind, _), d in sorted(self._held.records.items()) if kind == "users" and d.email == email)
        return next((draft.body for draft in found), None)

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        in_force = (stored for token, stored in self._held.credentials.values() if token.revoked_at is None)
        if secret_hash in in_force:
            raise BadInput("this token is in use already")
        credential_id = max(self._held.credentials, default=0) + 1
        token = Token(credential_id, user_id, "", kind, self._now, None)
        self._held.credentials[credential_id] = (token, secret_hash)
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        token, stored = self._held.credentials.get(credential_id, (None, ""))
        if token is None or token.revoked_at is not None:
            return False
        self._held.credentials[credential_id] = (replace(token, revoked_at=self._now), stored)
        return True

    def finish(self) -> _Held:
        if self._newest is not None:
            self._held.state = watermark.written(self.state, self._newest, self._now, len(self._held.tickets))
        return self._held


class _MemorySnapshot:
    def __init__(self, accounts: list[Account], held: dict[int, _Held]) -> None:
        self._accounts, self._held = accounts, held

    def accounts(self) -> Iterator[tuple[Account, FeedState | None]]:
        for account in self._accounts:
            held = self._held.get(account.account_id)
            yield account, held.state if held else None

    def tickets(self, account: Account) -> Iterator[StoredTicket]:
        held = self._held[account.account_id]
        for second, ticket_id in sorted((second, ticket_id) for ticket_id, (second, _) in held.tickets.items()):
            _, draft = held.tickets[ticket_id]
            columns = (getattr(draft, column) for column in StoredTicket._fields[2:-1])
            yield StoredTicket._make((second, ticket_id, *columns, draft.body(second)))

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        held = self._held[account.account_id]
        return (Position(second, ticket_id) for ticket_id, (second, _) in sorted(held.tickets.items()))

    def records(self, account: Account) -> Iterator[StoredRecord]:
        for _, draft in sorted(self._held[account.account_id].records.items()):
            yield StoredRecord(draft.kind, draft.id, draft.updated_timestamp, draft.email, draft.body)

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        held = self._held[account.account_id]
        for token, _ in held.credentials.values():
            if ("users", token.user_id) not in held.records:
                yield token.id, token.user_id

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        return iter(())

    def self_check(self) -> Iterator[str]:
        return iter(())


def _passes(draft: TicketDraft, filters: Filters) -> bool:
    if filters.exclude_deleted and draft.status == "deleted":
        return False
    is_ai_agent = draft.support_type == "ai_agent"
    return filters.support_type_scope == "all" or is_ai_agent == (filters.support_type_scope == "ai_agent")


def _row(second: int, draft: TicketDraft, links: bool) -> tuple[Any, ...]:
    columns = tuple(getattr(draft, column) for column in LINK_COLUMNS) if links else ()
    return (second, draft.id, draft.body(second), *columns)
