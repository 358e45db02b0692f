"""The store in memory: dictionaries. The reference behaviour that every other backend is measured against."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol import rate_limits, watermark
from ticketfeed.protocol.consumers import REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate, kept_consumers, note
from ticketfeed.protocol.integrity import StoredRecord, StoredTicket
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.list_request import slice_rows
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Slice, TicketList, Token
from ticketfeed.protocol.rate_limits import RateLimit, Spent, Window
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import LINK_COLUMNS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import Rows, Snapshot, WriteTransaction
from ticketfeed.storage.memory_transaction import Held, MemoryTransaction

__all__ = ["MemoryStore"]

T = TypeVar("T")


class MemoryStore:
    """A Store that lives as long as its process."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._held: dict[int, Held] = {}
        self._changes = 0
        self._windows: dict[int, dict[str, Window]] = {}
        self._consumers: dict[int, dict[str, Consumer]] = {}
        self._requests: dict[int, list[RequestRecord]] = {}
        self._fenced_at = 0
        self._lock = asyncio.Lock()
        self.store_id = uuid.uuid4().hex

    def copy(self, clock: Clock) -> "MemoryStore":
        """Another store that holds the same, and from now on changes by itself; nothing was noted of its readers."""
        copied = MemoryStore(clock)
        copied._accounts, copied._fenced_at = dict(self._accounts), self._fenced_at
        copied._held = {account_id: held.snapshot() for account_id, held in self._held.items()}
        return copied

    def change_counter(self) -> int | None:
        return self._changes

    async def close(self) -> None:
        return None

    async def list_accounts(self) -> list[Account]:
        return list(self._accounts.values())

    async def create_account(self, subdomain: str) -> Account:
        account = self._accounts.setdefault(subdomain, Account(len(self._accounts) + 1, subdomain))
        self._held.setdefault(
            account.account_id, Held(FeedState(watermark=self._fenced_at), FeedState(watermark=self._fenced_at))
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

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        held = self._held[account.account_id]
        return held.state, [Position(*place) for number, *place in held.invalidations if number > since]

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

    async def list_aged(self, account: Account, status: str, after: Position, until: int, limit: int) -> list[Position]:
        tickets = self._held[account.account_id].tickets.values()
        found = sorted(Position(second, draft.id) for second, draft in tickets if draft.status == status)
        return [position for position in found if position > after and position.generated_timestamp <= until][:limit]

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        held = sorted(
            self._held[account.account_id].jobs.values(), key=lambda found: (-found[0].created_at, found[0].id)
        )
        found = [
            (job, [result for _, result in items if result is not None])
            for job, items in held
            if ids is None or job.id in ids
        ]
        return found[:100]

    async def list_open_jobs(self, account: Account) -> list[str]:
        jobs = [job for job, _ in self._held[account.account_id].jobs.values() if job.finished_at is None]
        return [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id))]

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
            and (tickets.archived_at is None or draft.status != "closed" or second > tickets.archived_at)
        ]

    def _records(self, account: Account, kind: str, ticket_id: int | None) -> list[RecordDraft]:
        records = self._held[account.account_id].records
        return [
            d
            for (of, _), (_, d) in records.items()
            if of == kind and ticket_id in (None, d.ticket_id) and not d.is_deleted
        ]

    async def write(
        self,
        account: Account,
        work: Callable[[WriteTransaction], T],
        *,
        exclusive: bool = False,  # noqa: ARG002
    ) -> T:
        async with self._lock:
            transaction = MemoryTransaction(self._held[account.account_id].snapshot(), self._clock())
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
            held.record_state = replace(records, invalidations=0, record_changes=0)
            self._fenced_at = max(self._fenced_at, watermark.fence(FeedState(), now, clock_error_seconds).watermark)
            return held.state

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        held = {account_id: held.snapshot() for account_id, held in self._held.items()}
        return await asyncio.to_thread(work, _MemorySnapshot(list(self._accounts.values()), held))

    async def spend(self, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
        windows, spent = rate_limits.spend(self._windows.get(account.account_id, {}), limits, now)
        if spent.refused is None:
            self._windows[account.account_id] = {**self._windows.get(account.account_id, {}), **windows}
        return spent

    async def record_usage(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord], now: float
    ) -> None:
        known = self._consumers.get(account.account_id, {})
        known = known | {key: note(known.get(key), noted) for key, noted in consumers.items()}
        kept = kept_consumers([(key, consumer.last_at) for key, consumer in known.items()], now)
        self._consumers[account.account_id] = {key: consumer for key, consumer in known.items() if key in kept}
        newest = [*reversed(requests), *self._requests.get(account.account_id, [])]
        self._requests[account.account_id] = newest[:REQUESTS_KEPT]

    async def read_consumers(self, account: Account) -> list[Consumer]:
        known = self._consumers.get(account.account_id, {})
        return [known[key] for key in sorted(known, key=lambda key: (-known[key].last_at, key))]

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        return self._requests.get(account.account_id, [])

    async def find_credential(self, account: Account, credential_id: int) -> tuple[str, bytes] | None:
        return next((found[1:] for found in self._in_force(account) if found[0].id == credential_id), None)

    async def find_token_user(self, account: Account, secret_hash: str) -> tuple[int, bytes] | None:
        for token, stored, body in self._in_force(account):
            if token.kind == "api_token" and stored == secret_hash:
                return token.id, body
        return None

    async def find_passwords(self, account: Account, email: str) -> list[tuple[int, str, bytes]]:
        records = self._held[account.account_id].records
        return [
            (token.id, stored, body)
            for token, stored, body in self._in_force(account)
            if token.kind == "password" and records["users", token.user_id][1].email == email
        ]

    def _in_force(self, account: Account) -> list[tuple[Token, str, bytes]]:
        """Credentials that are not revoked and have a user, each with its hash and the user's body."""
        held = self._held[account.account_id]
        return [
            (token, stored, found[1].body)
            for token, stored in held.credentials.values()
            if token.revoked_at is None and (found := held.records.get(("users", token.user_id)))
        ]

    async def list_credentials(self, account: Account) -> list[Token]:
        held = self._held[account.account_id]
        users = {id: draft.email or "" for (kind, id), (_, draft) in held.records.items() if kind == "users"}
        return [replace(token, email=users.get(token.user_id, "")) for token, _ in held.credentials.values()]


class _MemorySnapshot:
    def __init__(self, accounts: list[Account], held: dict[int, Held]) -> None:
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

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        held = self._held[account.account_id]
        if kind == "tickets":
            places = [(second, id) for id, (second, draft) in held.tickets.items() if _passes(draft, filters)]
        else:
            places = [(second, id) for (of_kind, id), (second, _) in held.records.items() if of_kind == kind]
        found = sorted(place for place in places if after < place <= until)[:limit]
        return len(found), found[0][0] if found else None

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        changed = (second for second, _ in self._held[account.account_id].tickets.values() if second >= since)
        return sorted(Counter(second // seconds * seconds for second in changed).items())

    def size_bytes(self) -> int:
        return 0

    def self_check(self) -> Iterator[str]:
        return iter(())

    def risks(self) -> Iterator[str]:
        return iter(())

    def migration_faults(self) -> Iterator[str]:
        return iter(())


def _passes(draft: TicketDraft, filters: Filters) -> bool:
    if filters.exclude_deleted and draft.status == "deleted":
        return False
    is_ai_agent = draft.support_type == "ai_agent"
    return filters.support_type_scope == "all" or is_ai_agent == (filters.support_type_scope == "ai_agent")


def _row(second: int, draft: TicketDraft, links: bool) -> tuple[Any, ...]:
    columns = tuple(getattr(draft, column) for column in LINK_COLUMNS) if links else ()
    return (second, draft.id, draft.body(second), *columns)
