"""A snapshot of an engine with SQL: all of the Snapshot but what the engine says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.mirrors import Mirror, decode_mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.list_query import range_bindings
from ticketfeed.storage.migrations import migration_problems, parse_additive
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.queries import Queries, build, list_rows_sql, of_accounts_sql, orphans_sql, translate

__all__ = ["SqlSnapshot"]

# Columns that are shown of a row: those of the longest key.
KEY_COLUMNS_MAX = 3


class SqlSnapshot(ABC):
    """A Snapshot over a connection inside a read transaction. Rows are returned as they are, valid or not."""

    queries: Queries

    @abstractmethod
    def _scan(self, sql: str, bindings: Mapping[str, Any]) -> Iterator[Any]:
        """The rows of a query one by one. Raises StoreError if the engine cannot read them."""

    @abstractmethod
    def self_check(self) -> Iterator[str]:
        """As in the contract."""

    @abstractmethod
    def risks(self) -> Iterator[str]:
        """As in the contract."""

    def scan(self, name: str, /, **bindings: Any) -> Iterator[Any]:
        """The rows of a query by its name."""
        return self._scan(self.queries[name], bindings)

    def scan_into(self, name: str, row_type: type[Any], /, **bindings: Any) -> Iterator[Any]:
        """The same, of the columns of a class."""
        return self._scan(self.queries.select(name, row_type), bindings)

    def rows_of(self, account: Account, table: str, columns: Sequence[str]) -> Iterator[Any]:
        """What a table has of an account."""
        sql = list_rows_sql(self.queries.dialect, table, tuple(columns))
        return self._scan(sql, {"account_id": account.account_id})

    def list_accounts(self) -> list[Account]:
        return build(Account, self._scan(self.queries.select("list_accounts", Account), {"limit": INT64_MAX}))

    def state(self, account: Account) -> FeedState | None:
        state = self._state(account)
        return state.tickets if state else None

    def accounts(self, of: Sequence[Account] | None = None) -> Iterator[tuple[Account, FeedState | None]]:
        """In two statements: an outer join from a reference table to a distributed one loses rows on Citus."""
        rows = self._scan_of(of, self.queries.select("list_states", StateRow))
        states = {account_id: StateRow(*row).tickets for account_id, *row in rows}
        return ((each, states.get(each.account_id)) for each in (self.list_accounts() if of is None else of))

    def record_state(self, account: Account) -> FeedState | None:
        state = self._state(account)
        return state.records if state else None

    def tickets(self, account: Account) -> Iterator[TicketRow]:
        return map(TicketRow._make, self._rows("scan_tickets", TicketRow, account))

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        return map(Position._make, self._rows("scan_positions_by_id", Position, account))

    def records(self, account: Account) -> Iterator[RecordRow]:
        return map(RecordRow._make, self._rows("scan_records", RecordRow, account))

    def mirror(self, account: Account) -> Iterator[Mirror]:
        return (_decode(body) for (body,) in self._query("find_mirror", account_id=account.account_id))

    def mirrors(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, Mirror]]:
        rows = self._scan_of(of, self.queries["list_mirrors"])
        return ((account_id, _decode(body)) for account_id, body in rows)

    def kind_states(self, account: Account) -> Iterator[tuple[str, FeedState]]:
        for kind, last, closed in self._query("find_kind_states", account_id=account.account_id):
            yield kind, FeedState(last, closed, is_mirror=True)

    def ids_after(self, account: Account, kind: str, id: int) -> Iterator[int]:
        name, own = "scan_large_record_ids", {"kind": kind}
        if kind == "tickets":
            name, own = "scan_large_ticket_ids", {}
        return (found for (found,) in self._query(name, account_id=account.account_id, id_max=id, **own))

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        return self._query("scan_dangling_credentials", account_id=account.account_id)

    def dangling_oauth(self, account: Account) -> Iterator[tuple[str, int, str, int]]:
        return self._query("scan_dangling_oauth", account_id=account.account_id)

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        return self._scan(orphans_sql(self.queries.dialect), {})

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        own = {"account_id": account.account_id, "limit": limit, **range_bindings(after, until)}
        if kind == "tickets":
            scope = {"exclude_deleted": filters.exclude_deleted, "scope": filters.support_type_scope}
            counted = self._query("count_changes", **own, **scope)
        else:
            counted = self._query("count_record_changes", **own, kind=kind)
        count, first = next(counted)
        return count, first

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        return list(self._query("count_by_time", account_id=account.account_id, since=since, seconds=seconds))

    def size_bytes(self) -> int:
        return int(self._values("size_bytes")[0])

    def find_words(self, words: StoredWords) -> Iterator[tuple[int, str]]:
        for table in self._values("list_tables"):
            for row in self._scan(translate(self.queries.dialect, f"SELECT * FROM ticketfeed.{table}"), {}):
                numbers = {number for value in row for number, _ in words.find(value)}
                key = " ".join(str(value) for value in row[:KEY_COLUMNS_MAX] if not isinstance(value, bytes))
                yield from ((number, f"table {table}, row {key}") for number in sorted(numbers))

    def measure(self, account: Account, now: int) -> AccountSize:
        own = {"account_id": account.account_id}
        ((tickets, ticket_bytes),) = self._query("measure_tickets", **own)
        ((records, record_bytes),) = self._query("measure_records", **own)
        return AccountSize(tickets, int(ticket_bytes), records, int(record_bytes), now)

    def find_size(self, account: Account) -> AccountSize | None:
        return next(map(AccountSize._make, self._rows("find_size", AccountSize, account)), None)

    def sizes(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountSize]]:
        rows = self._scan_of(of, self.queries.select("list_sizes", AccountSize))
        return ((account_id, AccountSize(*row)) for account_id, *row in rows)

    def find_quota(self, account: Account) -> AccountQuota:
        return next(map(AccountQuota._make, self._rows("find_quota", AccountQuota, account)), AccountQuota())

    def quotas(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountQuota]]:
        rows = self._scan_of(of, self.queries.select("list_quotas", AccountQuota))
        return ((account_id, AccountQuota(*row)) for account_id, *row in rows)

    def nodes(self) -> Iterator[NodeStatus]:
        return iter(())

    def migration_problems(self) -> Iterator[str]:
        additive = parse_additive(next(iter(self._values("read_additive")), None))
        return migration_problems(self.queries.dialect.name, list(self._query("list_migrations")), additive)

    def _state(self, account: Account) -> StateRow | None:
        return next(map(StateRow._make, self._rows("read_state", StateRow, account)), None)

    def _rows(self, name: str, row_type: type[Any], account: Account) -> Iterator[Any]:
        return self._scan(self.queries.select(name, row_type), {"account_id": account.account_id})

    def _scan_of(self, accounts: Sequence[Account] | None, sql: str) -> Iterator[Any]:
        """The rows of a query, which begin with account_id: of all accounts, or of some."""
        if accounts is None:
            return self._scan(sql, {})
        ids = self.queries.bind_list([account.account_id for account in accounts])
        return self._scan(of_accounts_sql(self.queries.dialect, sql), {"ids": ids})

    def _values(self, name: str) -> list[Any]:
        return [value for (value,) in self._query(name)]

    def _query(self, name: str, **bindings: Any) -> Iterator[Any]:
        return self._scan(self.queries[name], bindings)


def _decode(body: bytes) -> Mirror:
    try:
        return decode_mirror(body)
    except (TypeError, msgspec.DecodeError) as error:
        raise StoreError(str(error)) from error
