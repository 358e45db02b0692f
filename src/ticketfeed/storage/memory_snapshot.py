"""What a store in memory holds at one moment, for checks, copies and measurements."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import chain

from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.rows import (
    RecordRow,
    TicketRow,
)
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.memory_transaction import AccountData
from ticketfeed.storage.pool_status import NodeStatus

__all__ = ["MemorySnapshot"]


class MemorySnapshot:
    """A Snapshot of a store in memory: copies of the data of its accounts."""

    def __init__(self, accounts: list[Account], data: dict[int, AccountData]) -> None:
        self._accounts, self._data = accounts, data

    def list_accounts(self) -> list[Account]:
        return list(self._accounts)

    def state(self, account: Account) -> FeedState | None:
        data = self._data.get(account.account_id)
        return data.state if data else None

    def accounts(self, of: Sequence[Account] | None = None) -> Iterator[tuple[Account, FeedState | None]]:
        return ((account, self.state(account)) for account in (self._accounts if of is None else of))

    def tickets(self, account: Account) -> Iterator[TicketRow]:
        return iter(sorted(self._data[account.account_id].tickets.values(), key=position_of))

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        return (position_of(row) for _, row in sorted(self._data[account.account_id].tickets.items()))

    def records(self, account: Account) -> Iterator[RecordRow]:
        return (row for _, row in sorted(self._data[account.account_id].records.items()))

    def record_state(self, account: Account) -> FeedState | None:
        return self._data[account.account_id].record_state

    def mirror(self, account: Account) -> Iterator[Mirror]:
        mirror = self._data[account.account_id].mirror
        return iter(() if mirror is None else (mirror,))

    def mirrors(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, Mirror]]:
        found = ((account_id, data.mirror) for account_id, data in self._of(of))
        return ((account_id, mirror) for account_id, mirror in found if mirror is not None)

    def kind_states(self, account: Account) -> Iterator[tuple[str, FeedState]]:
        return iter(self._data[account.account_id].kind_states.items())

    def ids_after(self, account: Account, kind: str, id: int) -> Iterator[int]:
        data = self._data[account.account_id]
        ids = data.tickets if kind == "tickets" else (each for of_kind, each in data.records if of_kind == kind)
        return iter(sorted(each for each in ids if each > id))

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        data = self._data[account.account_id]
        for token, _ in data.credentials.values():
            if ("users", token.user_id) not in data.records:
                yield token.id, token.user_id

    def dangling_oauth(self, account: Account) -> Iterator[tuple[str, int, str, int]]:
        data = self._data[account.account_id]
        for token in data.oauth.tokens.values():
            if token.client_id not in data.oauth.clients:
                yield "token", token.id, "client", token.client_id
            if ("users", token.user_id) not in data.records:
                yield "token", token.id, "user", token.user_id
        for client in data.oauth.clients.values():
            if ("users", client.user_id) not in data.records:
                yield "client", client.id, "user", client.user_id

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        return iter(())

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        data = self._data[account.account_id]
        rows: list[TicketRow] | list[RecordRow]
        if kind == "tickets":
            rows = [row for row in data.tickets.values() if allows(row, filters)]
        else:
            rows = [row for (of_kind, _), row in data.records.items() if of_kind == kind]
        found = sorted(position for position in map(position_of, rows) if after < position <= until)[:limit]
        return len(found), found[0].generated_timestamp if found else None

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        tickets = self._data[account.account_id].tickets.values()
        changed = (row.generated_timestamp for row in tickets if row.generated_timestamp >= since)
        return sorted(Counter(second // seconds * seconds for second in changed).items())

    def find_words(self, words: StoredWords) -> Iterator[tuple[int, str]]:
        saved = ((each.account.account_id, data) for own in self._data.values() for each, data in own.saved.values())
        for account_id, data in chain(self._data.items(), saved):
            parts = {each.name: getattr(data, each.name) for each in fields(data)}
            for name, part in parts.items():
                rows = part.items() if isinstance(part, dict) else [(0, part)]
                for key, row in rows:
                    numbers = {number for value in _leaves(row) for number, _ in words.find(value)}
                    yield from ((number, f"{name} {key} of account {account_id}") for number in sorted(numbers))

    def size_bytes(self) -> int:
        return 0

    def self_check(self) -> Iterator[str]:
        return iter(())

    def risks(self) -> Iterator[str]:
        return iter(())

    def measure(self, account: Account, now: int) -> AccountSize:
        data = self._data[account.account_id]
        ticket_bytes = sum(len(row.body) for row in data.tickets.values())
        record_bytes = sum(len(row.body) for row in data.records.values())
        return AccountSize(len(data.tickets), ticket_bytes, len(data.records), record_bytes, now)

    def find_size(self, account: Account) -> AccountSize | None:
        return self._data[account.account_id].size

    def sizes(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountSize]]:
        found = ((account_id, data.size) for account_id, data in self._of(of))
        return ((account_id, size) for account_id, size in found if size is not None)

    def find_quota(self, account: Account) -> AccountQuota:
        return self._data[account.account_id].quota

    def quotas(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountQuota]]:
        return ((account_id, data.quota) for account_id, data in self._of(of))

    def _of(self, accounts: Sequence[Account] | None) -> Iterable[tuple[int, AccountData]]:
        if accounts is None:
            return self._data.items()
        return [(account.account_id, self._data[account.account_id]) for account in accounts]

    def nodes(self) -> Iterator[NodeStatus]:
        return iter(())

    def migration_problems(self) -> Iterator[str]:
        return iter(())


def allows(row: TicketRow, filters: Filters) -> bool:
    """Whether an export with these filters has this ticket."""
    if filters.exclude_deleted and row.status == "deleted":
        return False
    is_ai_agent = row.support_type == "ai_agent"
    return filters.support_type_scope == "all" or is_ai_agent == (filters.support_type_scope == "ai_agent")


def _leaves(value: object) -> Iterator[object]:
    """The texts and bytes of a stored value."""
    if isinstance(value, tuple | list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, IdempotentAnswer):
        yield from (value.body, value.location)
    elif isinstance(value, str | bytes):
        yield value
