"""The store in memory: dictionaries. The reference for the behaviour of every other engine."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.list_request import slice_rows
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Owner, Position, Slice, TicketList, Token
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.oauth import OauthClient, OauthToken
from ticketfeed.protocol.paging import page_rows, position_of
from ticketfeed.protocol.rows import (
    BodyRow,
    ChangeRow,
    LinkedTicketRow,
    ListRow,
    RecordRow,
    TicketRecordRow,
    TicketRow,
)
from ticketfeed.protocol.saved_accounts import SavedAccount, account_exists, forked_states
from ticketfeed.protocol.search import SearchHit, SearchPart, SearchQuery
from ticketfeed.protocol.search_match import search_entries
from ticketfeed.storage.account_clocks import AccountClocks
from ticketfeed.storage.clock_check import ClockCheck
from ticketfeed.storage.contract import Credential, FeedRows
from ticketfeed.storage.memory_shards import MemoryShardStore, aged_positions
from ticketfeed.storage.memory_sidecar import MemorySidecarStore
from ticketfeed.storage.memory_snapshot import MemorySnapshot, allows
from ticketfeed.storage.memory_transaction import AccountData, MemoryTransaction
from ticketfeed.storage.mirror_writes import with_copies
from ticketfeed.storage.oauth_contract import AccessToken
from ticketfeed.storage.pool_status import PoolStatus
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["MemoryStore"]

T = TypeVar("T")
RowT = TypeVar("RowT", BodyRow, LinkedTicketRow, ListRow)


class MemoryStore(MemoryShardStore, MemorySidecarStore):
    """A Store that lives as long as its process."""

    def __init__(self, clock: Clock = system_clock, clock_check: ClockCheck | None = None) -> None:
        super().__init__()
        self._clock, self._clock_check = clock, clock_check or ClockCheck()
        self.clocks = AccountClocks()
        self._accounts: dict[str, Account] = {}
        self._data: dict[int, AccountData] = {}
        self._changes = 0
        self._fenced_at = 0
        self._default_account = ""
        self._erasures = 0
        self._lock = asyncio.Lock()
        self.store_id = uuid.uuid4().hex

    def copy(self, clock: Clock) -> "MemoryStore":
        """An independent copy of the accounts and their data, without rate limits and usage."""
        copied = MemoryStore(clock)
        copied._accounts, copied._fenced_at = dict(self._accounts), self._fenced_at
        copied._default_account = self._default_account
        copied._data = {account_id: data.snapshot() for account_id, data in self._data.items()}
        return copied

    def change_counter(self) -> int | None:
        return self._changes

    def read_pools(self) -> list[PoolStatus]:
        return []

    async def close(self) -> None:
        return None

    async def list_accounts(self, *, limit: int = INT64_MAX, current: bool = True) -> list[Account]:  # noqa: ARG002
        return list(self._accounts.values())[:limit]

    async def find_account(self, subdomain: str) -> Account | None:
        return self._accounts.get(subdomain)

    async def create_account(self, subdomain: str, work: Callable[[WriteTransaction], object] | None = None) -> Account:
        async with self._lock:
            account = self._accounts.get(subdomain) or Account(len(self._accounts) + 1, subdomain)
            fenced = FeedState(watermark=self._fenced_at)
            data = self._data.get(account.account_id) or AccountData(fenced, fenced)
            if work is not None:
                transaction = MemoryTransaction(account.account_id, data.snapshot(), self._now(account))
                await asyncio.to_thread(work, transaction)
                data = transaction.finish()
            self._accounts[subdomain], self._data[account.account_id] = account, data
            self._changes += 1
            return account

    async def list_saved(self, account: Account) -> list[SavedAccount]:
        return [saved for saved, _ in self._data[account.account_id].saved.values()]

    async def find_default_account(self) -> Account | None:
        return self._accounts.get(self._default_account) or next(iter(self._accounts.values()), None)

    async def put_default_account(self, account: Account) -> None:
        self._default_account = account.subdomain
        self._changes += 1

    async def read_state(self, account: Account) -> FeedState:
        return self._data[account.account_id].state

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, FeedRows]:
        data = self._data[account.account_id]
        until = min(until, data.state.watermark)
        rows = sorted(
            (
                row
                for row in data.tickets.values()
                if after < position_of(row) and row.generated_timestamp <= until and allows(row, filters)
            ),
            key=position_of,
        )[:limit]
        return data.state, [_linked(row) for row in rows] if links else [_change(row) for row in rows]

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        data = self._data[account.account_id]
        return data.state, [
            Position(entry.generated_timestamp, entry.id) for entry in data.invalidations if entry.number > since
        ]

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, FeedRows]:
        data = self._data[account.account_id]
        state = data.kind_states.get(kind, data.record_state)
        until = min(until, state.watermark)
        rows = sorted(
            _change(row)
            for (of_kind, _), row in data.records.items()
            if of_kind == kind and after < position_of(row) and row.generated_timestamp <= until
        )
        return state, rows[:limit]

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        records = self._data[account.account_id].records
        return _page([BodyRow(id, records[kind, id].body) for id in sorted(set(ids)) if (kind, id) in records])

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        tickets = self._data[account.account_id].tickets
        return _page([_linked(tickets[id]) for id in sorted(set(ids)) if id in tickets])

    async def search(self, account: Account, query: SearchQuery, part: SearchPart) -> list[SearchHit]:
        _, hits = await asyncio.to_thread(search_entries, self._data[account.account_id].entries.values(), query, part)
        return hits

    async def count_results(self, account: Account, query: SearchQuery) -> int:
        part = SearchPart(0)
        count, _ = await asyncio.to_thread(search_entries, self._data[account.account_id].entries.values(), query, part)
        return count

    async def list_tickets(
        self, account: Account, tickets: TicketList, part: Slice, *, bodies: bool = True
    ) -> Sequence[ListRow]:
        def key(row: TicketRow) -> int | str:
            keys: dict[str, int | str] = {"id": row.id, "status": row.status}
            return keys.get(part.order, row.generated_timestamp)

        rows = self._listed(account, tickets)
        return _page(slice_rows([ListRow(key(row), row.id, row.body if bodies else b"") for row in rows], part))

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        return len(self._listed(account, tickets))

    async def list_records(
        self, account: Account, kind: str, part: Slice, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> Sequence[ListRow]:
        rows = self._records(account, kind, owner, deleted=deleted)
        return _page(slice_rows([ListRow(row.id, row.id, row.body) for row in rows], part))

    async def count_records(
        self, account: Account, kind: str, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> int:
        return len(self._records(account, kind, owner, deleted=deleted))

    async def read_of_users(self, account: Account, kind: str, user_ids: Sequence[int]) -> Sequence[BodyRow]:
        wanted = set(user_ids)
        return sorted(BodyRow(row.id, row.body) for row in self._records(account, kind) if row.user_id in wanted)

    async def read_external(self, account: Account, kind: str, external_ids: Sequence[str]) -> Sequence[BodyRow]:
        rows = self._records(account, kind)
        return sorted(BodyRow(row.id, row.body) for row in rows if row.external_id in set(external_ids))

    async def read_by_key(self, account: Account, kind: str, keys: Sequence[str]) -> Sequence[BodyRow]:
        rows = self._records(account, kind)
        return sorted(BodyRow(row.id, row.body) for row in rows if row.lookup_key in keys)

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        wanted = set(ticket_ids)
        rows = ((row.ticket_id, row) for row in self._records(account, kind))
        found = [TicketRecordRow(of, row.id, row.body) for of, row in rows if of is not None and of in wanted]
        return sorted(found)

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        counts: Counter[int] = Counter()
        for audit in self._records(account, "audits"):
            if audit.ticket_id in set(ticket_ids):
                counts[audit.ticket_id or 0] += audit.comment_count or 0
        return dict(counts)

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        problems = (row.problem_id for row in self._listed(account, TicketList()))
        return dict(Counter(id for id in problems if id is not None and id in set(problem_ids)))

    async def list_aged(self, account: Account, status: str, after: Position, until: int, limit: int) -> list[Position]:
        found = aged_positions(self._data[account.account_id], status, until)
        return [position for position in found if position > after][:limit]

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        jobs = self._data[account.account_id].jobs
        found = [
            (job, [result for _, result in items if result is not None])
            for job, items in jobs.values()
            if ids is None or job.id in ids
        ]
        found.sort(key=lambda pair: (-pair[0].created_at, pair[0].id))
        return found[:100]

    async def list_open_jobs(self, account: Account) -> list[str]:
        jobs = [job for job, _ in self._data[account.account_id].jobs.values() if job.finished_at is None]
        return [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id))]

    async def close_newest(self, account: Account) -> bool:
        data = self._data[account.account_id]
        closed = watermark.close_states((data.state, data.record_state), self.clocks.at(account, self._clock()))
        if closed is None or self._lock.locked():
            return False
        data.state, data.record_state = closed
        self._changes += 1
        return True

    def _listed(self, account: Account, tickets: TicketList) -> list[TicketRow]:
        return [
            row
            for row in self._data[account.account_id].tickets.values()
            if (row.status == "deleted") == tickets.deleted
            and allows(row, Filters(support_type_scope=tickets.support_type_scope))
            and tickets.external_id in (None, row.external_id)
            and tickets.problem_id in (None, row.problem_id)
            and (tickets.term is None or tickets.term in self._terms(account, row.id))
            and not any(text in row.body for text in tickets.missing_texts())
            and (tickets.start_time is None or row.generated_timestamp >= tickets.start_time)
            and (tickets.archived_at is None or row.status != "closed" or row.generated_timestamp > tickets.archived_at)
        ]

    def _terms(self, account: Account, ticket_id: int) -> list[str]:
        entry = self._data[account.account_id].entries.get(("tickets", ticket_id))
        return entry.terms.split() if entry else []

    def _records(
        self, account: Account, kind: str, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> list[RecordRow]:
        records = self._data[account.account_id].records
        return [
            row
            for (of_kind, _), row in records.items()
            if of_kind == kind
            and (owner is None or getattr(row, owner.column) == owner.id)
            and deleted in (None, bool(row.is_deleted))
        ]

    async def write(
        self,
        account: Account,
        work: Callable[[WriteTransaction], T],
        *,
        exclusive: bool = False,  # noqa: ARG002
        mirror: bool = False,
    ) -> T:
        async with self._lock:
            data = self._data[account.account_id].snapshot()
            transaction = MemoryTransaction(account.account_id, data, self._now(account))
            result = await asyncio.to_thread(with_copies(work) if mirror else work, transaction)
            data = transaction.finish()
            if transaction.forked is not None:
                self._add_fork(*transaction.forked)
            self._data[account.account_id] = data
            self._changes += 1
            if transaction.erased_users is not None:
                self._erasures += 1
                self._erase_usage(account, self._clock(), transaction.erased_users)
            return result

    def _add_fork(self, subdomain: str, data: AccountData) -> None:
        if subdomain in self._accounts:
            raise account_exists(subdomain)
        account = Account(len(self._accounts) + 1, subdomain)
        data.state, data.record_state = forked_states((data.state, data.record_state), self._fenced_at)
        self._accounts[subdomain], self._data[account.account_id] = account, data

    async def overwrite_erased(self, *, own: bool = False) -> None:  # noqa: ARG002
        return None

    async def count_erasures(self) -> int:
        return self._erasures

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        async with self._lock:
            self._clock_check.refuse()
            data, now = self._data[account.account_id], self._clock()
            states, newest = (data.state, data.record_state), max(now, data.clock.time(now))
            data.state, data.record_state = watermark.fence_states(states, newest, clock_error_seconds)
            self._fenced_at = max(self._fenced_at, watermark.fence(FeedState(), now, clock_error_seconds).watermark)
            self._changes += 1
            return data.state

    async def fence_accounts(self, clock_error_seconds: int) -> list[tuple[Account, FeedState | StoreUnavailable]]:
        return [(account, await self.fence(account, clock_error_seconds)) for account in self._accounts.values()]

    def _now(self, account: Account) -> int:
        """The time of a write. Raises StoreUnavailable while the machine's clock is wrong."""
        self._clock_check.refuse()
        return self.clocks.at(account, self._clock())

    async def read_clocks(self) -> dict[int, MovedClock]:
        return {account_id: data.clock for account_id, data in self._data.items() if data.clock != MovedClock()}

    async def read_mirror(self, account: Account) -> Mirror | None:
        return self._data[account.account_id].mirror

    async def read_mirrors(self) -> dict[int, Mirror]:
        return {account_id: data.mirror for account_id, data in self._data.items() if data.mirror is not None}

    async def read_rewound_at(self, account: Account) -> int:
        return self._data[account.account_id].rewound_at

    async def clock_problem(self) -> str | None:
        return self._clock_check.problem()

    async def inspect(
        self,
        work: Callable[[Snapshot], T],
        *,
        accounts: Sequence[Account] | None = None,  # noqa: ARG002
        is_probe: bool = False,  # noqa: ARG002
        statement_seconds: float = SHORT_STATEMENT_SECONDS,  # noqa: ARG002
    ) -> T:
        data = {account_id: data.snapshot() for account_id, data in self._data.items()}
        return await asyncio.to_thread(work, MemorySnapshot(list(self._accounts.values()), data))

    async def find_credential(self, account: Account, credential_id: int) -> Credential | None:
        return next((found for token, found in self._in_force(account) if token.id == credential_id), None)

    async def find_token_user(self, account: Account, secret_hash: str) -> Credential | None:
        for token, found in self._in_force(account):
            if token.kind == "api_token" and found.secret_hash == secret_hash:
                return found
        return None

    async def find_passwords(self, account: Account, email: str) -> list[Credential]:
        users = self._data[account.account_id].records
        passwords = [(token, found) for token, found in self._in_force(account) if token.kind == "password"]
        return [found for token, found in passwords if users["users", token.user_id].email == email]

    def _in_force(self, account: Account) -> list[tuple[Token, Credential]]:
        data = self._data[account.account_id]
        return [
            (token, Credential(token.id, secret_hash, user.body, token.used_at))
            for token, secret_hash in data.credentials.values()
            if token.revoked_at is None and (user := data.records.get(("users", token.user_id)))
        ]

    async def list_credentials(self, account: Account) -> list[Token]:
        data = self._data[account.account_id]
        users = {id: row.email or "" for (kind, id), row in data.records.items() if kind == "users"}
        return [replace(token, email=users.get(token.user_id, "")) for token, _ in data.credentials.values()]

    async def find_access_token(self, account: Account, access_hash: str) -> AccessToken | None:
        data = self._data[account.account_id]
        return data.oauth.find_access_token(access_hash, data.records)

    async def find_oauth_client(self, account: Account, identifier: str) -> OauthClient | None:
        return self._data[account.account_id].oauth.find_client(identifier)

    async def find_oauth_token(self, account: Account, token_id: int) -> OauthToken | None:
        token = self._data[account.account_id].oauth.tokens.get(token_id)
        return token if token is not None and token.ended_at is None else None

    async def list_oauth_clients(self, account: Account) -> list[OauthClient]:
        clients = self._data[account.account_id].oauth.clients
        return [clients[id] for id in sorted(clients)]

    async def list_oauth_tokens(self, account: Account) -> list[OauthToken]:
        tokens = self._data[account.account_id].oauth.tokens
        return [tokens[id] for id in sorted(tokens) if tokens[id].ended_at is None]


def _page(rows: Sequence[RowT]) -> Sequence[RowT]:
    """As many as other stores read at once: one more than make a page by their bytes."""
    return rows[: len(page_rows(rows)) + 1]


def _change(row: TicketRow | RecordRow) -> ChangeRow:
    return ChangeRow(row.generated_timestamp, row.id, row.body)


def _linked(row: TicketRow) -> LinkedTicketRow:
    return LinkedTicketRow(*(getattr(row, column) for column in LinkedTicketRow._fields))
