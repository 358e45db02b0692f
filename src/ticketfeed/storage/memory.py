"""The store in memory: dictionaries. The reference behaviour that every other backend is measured against."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol import budgets, watermark
from ticketfeed.protocol.budgets import Allowance, Spent, Window
from ticketfeed.protocol.departures import Departures
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.listing import slice_rows
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Slice, TicketList, Token
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import LINK_COLUMNS, SIDELOADED_KINDS
from ticketfeed.protocol.soundness import StoredRecord, StoredTicket
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.base import CredentialKind, Rows, Snapshot, WriteTransaction

__all__ = ["MemoryStore"]

T = TypeVar("T")


@dataclass
class _Held:
    """All that one account holds. Values are never changed in place, so a shallow copy is a snapshot."""

    state: FeedState = field(default_factory=FeedState)
    record_state: FeedState = field(default_factory=FeedState)
    tickets: dict[int, tuple[int, TicketDraft]] = field(default_factory=dict)
    records: dict[tuple[str, int], tuple[int, RecordDraft]] = field(default_factory=dict)
    credentials: dict[int, tuple[Token, str]] = field(default_factory=dict)
    departures: tuple[tuple[int, int, int], ...] = ()

    def snapshot(self) -> "_Held":
        parts = dict(self.tickets), dict(self.records), dict(self.credentials)
        return _Held(self.state, self.record_state, *parts, self.departures)


class MemoryStore:
    """A Store that lives as long as its process."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._held: dict[int, _Held] = {}
        self._changes = 0
        self._windows: dict[int, dict[str, Window]] = {}
        self._fenced_at = 0
        self._lock = asyncio.Lock()
        self.store_id = uuid.uuid4().hex

    def stamp(self) -> int | None:
        return self._changes

    async def close(self) -> None:
        return None

    async def list_accounts(self) -> list[Account]:
        return list(self._accounts.values())

    async def create_account(self, subdomain: str) -> Account:
        account = self._accounts.setdefault(subdomain, Account(len(self._accounts) + 1, subdomain))
        self._held.setdefault(
            account.account_id, _Held(FeedState(watermark=self._fenced_at), FeedState(watermark=self._fenced_at))
        )
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

    async def read_departures(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        held = self._held[account.account_id]
        return held.state, [Position(*place) for number, *place in held.departures if number > since]

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, Rows]:
        held = self._held[account.account_id]
        until = min(until, held.record_state.watermark)
        rows = sorted(
            (second, id, draft.body)
            for (of_kind, id), (second, draft) in held.records.items()
            if of_kind == kind and after < (second, id) and second <= until
        )
        return held.record_state, rows[:limit]

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Rows:
        records = self._held[account.account_id].records
        return [(id, records[kind, id][1].body) for id in sorted(set(ids)) if (kind, id) in records]

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Rows:
        tickets = self._held[account.account_id].tickets
        return [_row(*tickets[id], links=True) for id in sorted(set(ids)) if id in tickets]

    async def list_tickets(self, account: Account, tickets: TicketList, part: Slice) -> Rows:
        listed = self._listed(account, tickets)

        def key(second: int, draft: TicketDraft) -> int | str:
            return draft.id if part.order == "id" else second if part.order == "updated_at" else draft.status

        return slice_rows([(key(second, draft), draft.id, draft.body(second)) for second, draft in listed], part)

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        return len(self._listed(account, tickets))

    async def list_records(self, account: Account, kind: str, part: Slice, ticket_id: int | None = None) -> Rows:
        return slice_rows([(d.id, d.id, d.body) for d in self._records(account, kind, ticket_id)], part)

    async def count_records(self, account: Account, kind: str, ticket_id: int | None = None) -> int:
        return len(self._records(account, kind, ticket_id))

    async def read_of_tickets(self, account: Account, kind: str, ticket_ids: Sequence[int]) -> Rows:
        found = [(draft.ticket_id or 0, draft.id, draft.body) for draft in self._records(account, kind, None)]
        return sorted(row for row in found if row[0] in set(ticket_ids))

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        audits = [draft for draft in self._records(account, "audits", None) if draft.ticket_id in set(ticket_ids)]
        counts: Counter[int] = Counter()
        for audit in audits:
            counts[audit.ticket_id or 0] += audit.comment_count or 0
        return dict(counts)

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        tickets = (draft for _, draft in self._listed(account, TicketList()))
        return dict(
            Counter(d.problem_id for d in tickets if d.problem_id is not None and d.problem_id in set(problem_ids))
        )

    async def close_newest(self, account: Account) -> bool:
        held, now = self._held[account.account_id], self._clock()
        state, records = held.state, held.record_state
        if self._lock.locked() or not (watermark.can_close(state, now) or watermark.can_close_records(records, now)):
            return False
        held.state, held.record_state = watermark.close(state, now), watermark.close_records(records, now)
        return True

    def _listed(self, account: Account, tickets: TicketList) -> list[tuple[int, TicketDraft]]:
        return [
            (second, draft)
            for second, draft in self._held[account.account_id].tickets.values()
            if (draft.status == "deleted") == tickets.deleted
            and _passes(draft, Filters(support_type_scope=tickets.support_type_scope))
            and tickets.external_id in (None, draft.external_id)
            and (tickets.start_time is None or second >= tickets.start_time)
        ]

    def _records(self, account: Account, kind: str, ticket_id: int | None) -> list[RecordDraft]:
        records = self._held[account.account_id].records
        return [d for (of, _), (_, d) in records.items() if of == kind and ticket_id in (None, d.ticket_id)]

    async def write(
        self,
        account: Account,
        work: Callable[[WriteTransaction], T],
        *,
        alone: bool = False,  # noqa: ARG002
    ) -> T:
        async with self._lock:
            transaction = _MemoryTransaction(self._held[account.account_id].snapshot(), self._clock())
            result = await asyncio.to_thread(work, transaction)
            self._held[account.account_id] = transaction.finish()
            self._changes += 1
            return result

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        async with self._lock:
            held = self._held[account.account_id]
            now = self._clock()
            held.state = watermark.fence(held.state, now, clock_error_seconds)
            records = watermark.fence(held.record_state, now, clock_error_seconds)
            held.record_state = replace(records, departures=0, record_changes=0)
            self._fenced_at = max(self._fenced_at, watermark.fence(FeedState(), now, clock_error_seconds).watermark)
            return held.state

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        held = {account_id: held.snapshot() for account_id, held in self._held.items()}
        return await asyncio.to_thread(work, _MemorySnapshot(list(self._accounts.values()), held))

    async def spend(self, account: Account, allowances: Sequence[Allowance], now: int) -> Spent:
        windows, spent = budgets.spend(self._windows.get(account.account_id, {}), allowances, now)
        if spent.refused is None:
            self._windows[account.account_id] = {**self._windows.get(account.account_id, {}), **windows}
        return spent

    async def find_token_user(self, account: Account, secret_hash: str) -> bytes | None:
        held = self._held[account.account_id]
        for token, stored in held.credentials.values():
            if token.kind == "api_token" and token.revoked_at is None and stored == secret_hash:
                _, user = held.records.get(("users", token.user_id), (0, None))
                return user.body if user else None
        return None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[str, bytes]]:
        held = self._held[account.account_id]
        return [
            (stored, found[1].body)
            for token, stored in held.credentials.values()
            if token.kind == "password" and token.revoked_at is None
            if (found := held.records.get(("users", token.user_id))) and found[1].email == email
        ]

    async def list_credentials(self, account: Account) -> list[Token]:
        held = self._held[account.account_id]
        users = {id: draft.email or "" for (kind, id), (_, draft) in held.records.items() if kind == "users"}
        return [replace(token, email=users.get(token.user_id, "")) for token, _ in held.credentials.values()]


class _MemoryTransaction:
    def __init__(self, held: _Held, now: int) -> None:
        self._held, self._now = held, now
        self.state = held.state
        self._departures = Departures(held.state)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self._beside = False

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
            if draft.id in self._held.tickets:
                self._departures.note(Position(self._held.tickets[draft.id][0], draft.id))
            self._held.tickets[draft.id] = (carried, draft)
            self._newest = max(carried, self._newest or 0)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        state, count = self._held.record_state, 0
        second = watermark.next_generated_timestamp(state, self._now)
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            carried = draft.generated_timestamp if watermark.can_keep_records(state) else second
            self._held.records[draft.kind, draft.id] = (carried, draft)
            self._beside |= draft.kind in SIDELOADED_KINDS
            self._newest_record = max(carried, self._newest_record or 0)
        return count

    def find_user(self, email: str) -> bytes | None:
        email = email.strip().lower()
        users = ((id, draft) for (kind, id), (_, draft) in self._held.records.items() if kind == "users")
        found = sorted((id, draft.body) for id, draft in users if draft.email == email)
        return found[0][1] if found else None

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        self._beside = True
        in_force = (stored for token, stored in self._held.credentials.values() if token.revoked_at is None)
        if secret_hash in in_force:
            raise BadInput("this token is in use already")
        credential_id = max(self._held.credentials, default=0) + 1
        token = Token(credential_id, user_id, "", kind, self._now, None)
        self._held.credentials[credential_id] = (token, secret_hash)
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        self._beside = True
        token, stored = self._held.credentials.get(credential_id, (None, ""))
        if token is None or token.revoked_at is not None:
            return False
        self._held.credentials[credential_id] = (replace(token, revoked_at=self._now), stored)
        return True

    def finish(self) -> _Held:
        before = self.state, self._held.record_state
        added = len(self._held.tickets) - self.state.ticket_count
        left = self._departures
        after = watermark.after_write(
            before, self._newest, self._newest_record, self._now, added, left.count, beside=self._beside
        )
        noted = (*self._held.departures, *left.numbered())
        self._held.departures = tuple(departure for departure in noted if departure[0] > left.forgotten)
        self._held.state, self._held.record_state = after
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
        records = self._held[account.account_id].records
        for second, draft in (records[key] for key in sorted(records)):
            columns = (getattr(draft, column) for column in StoredRecord._fields[3:])
            yield StoredRecord(draft.kind, draft.id, second, *columns)

    def record_state(self, account: Account) -> FeedState | None:
        return self._held[account.account_id].record_state

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
