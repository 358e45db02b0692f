"""A connection to an engine inside one transaction, and what any transaction does with an account's row."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import AccountFrozen, StoreUnavailable
from ticketfeed.protocol.mirrors import decode_mirror, encode_mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.queries import Queries, build

__all__ = [
    "SqlSession",
    "create_account",
    "end_freeze",
    "fence_account",
    "fence_accounts",
    "fence_copy",
    "fence_new_accounts",
    "find_clock",
    "lock_states",
    "no_account_row",
    "state_bindings",
    "write_states",
]

T = TypeVar("T")


class SqlSession(ABC):
    """Runs queries by name. An engine may run what has no result when the next result is asked for."""

    queries: Queries

    @abstractmethod
    def fetch(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        """Run a query and return all its rows, as tuples."""

    @abstractmethod
    def count(self, name: str, bindings: Mapping[str, Any]) -> int:
        """Run a statement by its name; returns how many rows it changed."""

    @abstractmethod
    def run(self, sql: str, bindings: Mapping[str, Any]) -> None:
        """Run a statement that has no rows."""

    @abstractmethod
    def put_rows(
        self, table: str, row_type: Any, account_id: int, rows: Sequence[Any], key: tuple[str, ...] = ()
    ) -> None:
        """Insert rows of an account, or replace those that exist by `key`: the columns that identify one within it."""

    def execute(self, name: str, bindings: Mapping[str, Any]) -> None:
        """Run a statement by its name."""
        self.run(self.queries[name], bindings)

    def rows(self, name: str, row_type: type[T], bindings: Mapping[str, Any]) -> list[T]:
        """The rows of a query whose columns are those of `row_type`."""
        return build(row_type, self.fetch(self.queries.select(name, row_type), bindings))

    def value(self, name: str, bindings: Mapping[str, Any]) -> Any:
        """The only column of a query's first row; None where there is no row."""
        return next((value for (value,) in self.fetch(self.queries[name], bindings)), None)


def lock_states(session: SqlSession, account: Account) -> States:
    """Lock the account's row until the end of the transaction, and read it, whether or not it is frozen.

    Raises StoreUnavailable.
    """
    for row in session.rows("lock_state", StateRow, {"account_id": account.account_id}):
        return row.states
    raise no_account_row(account)


def end_freeze(session: SqlSession, account: Account, frozen_until: int, now: int) -> None:
    """End the freeze of an account whose row is locked, if its time is over. Raises AccountFrozen if it is not.

    Whoever has frozen the account learns from this that it was written since.
    """
    if frozen_until > now:
        raise AccountFrozen(account.subdomain, is_moved=frozen_until == INT64_MAX)
    if frozen_until:
        session.execute("write_freeze", {"account_id": account.account_id, "frozen_until": 0})


def write_states(session: SqlSession, account: Account, states: States) -> None:
    """Store the account's row, which must be locked."""
    session.execute("write_state", state_bindings(account, states))


def state_bindings(account: Account, states: States) -> dict[str, int]:
    """The parameters of the query write_state."""
    return {"account_id": account.account_id, **StateRow.of(states)._asdict()}


def create_account(session: SqlSession, subdomain: str) -> tuple[Account, bool]:
    """The account of this name, added with its row if there is none; and whether its row was."""
    session.execute("create_account", {"subdomain": subdomain})
    (account,) = session.rows("find_account", Account, {"subdomain": subdomain})
    fenced_at = session.value("read_fenced_at", {})
    added = session.count("create_state", {"account_id": account.account_id, "watermark": fenced_at})
    return account, added > 0


def fence_account(
    session: SqlSession, account: Account, states: States, now: int, clock_error_seconds: int
) -> FeedState:
    """Fence one account, whose row is locked, and those that are created later. Returns the state of its tickets.

    `now`: the machine's. A server may have gone by the account's own clock, or not.
    """
    newest = max(now, find_clock(session, account.account_id).time(now))
    tickets, _ = fenced = watermark.fence_states(states, newest, clock_error_seconds)
    write_states(session, account, fenced)
    fence_new_accounts(session, now, clock_error_seconds)
    return tickets


def fence_new_accounts(session: SqlSession, now: int, clock_error_seconds: int) -> None:
    """Fence accounts that are created later: one may have existed before, and been lost."""
    fenced_at = watermark.fence(FeedState(), now, clock_error_seconds).watermark
    session.execute("write_fenced_at", {"fenced_at": fenced_at})


def fence_accounts(
    session: SqlSession, now: int, clock_error_seconds: int
) -> list[tuple[Account, FeedState | StoreUnavailable]]:
    """`fence_account` of every account, in one statement; returns its state, or that its row is missing."""
    closed = now + clock_error_seconds
    bindings = {"closed": closed, "fenced": watermark.FENCED}
    rows = session.fetch(session.queries.select("fence_states", StateRow), bindings)
    fenced = {account_id: StateRow(*row) for account_id, *row in rows}
    fence_new_accounts(session, now, clock_error_seconds)
    for account_id, *clock in session.fetch(session.queries["list_clocks"], {}):
        ahead = MovedClock(*clock).time(now) + clock_error_seconds
        if ahead > closed and (row := fenced.get(account_id)) and not row.is_mirror:
            row = row._replace(watermark=max(row.watermark, ahead), record_watermark=max(row.record_watermark, ahead))
            fenced[account_id] = row
            write_states(session, Account(account_id, ""), row.states)
    return [
        (account, row.tickets if (row := fenced.get(account.account_id)) else no_account_row(account))
        for account in session.rows("list_accounts", Account, {"limit": INT64_MAX})
    ]


def fence_copy(session: SqlSession, now: int, clock_error_seconds: int) -> list[tuple[Account, FeedState]]:
    """Fence every account of a restored store. Raises StoreUnavailable if one has no row.

    The process that has the lease of a mirror is that of the store which was copied, not of this one.
    """
    fenced = []
    for account_id, body in session.fetch(session.queries["list_mirrors"], {}):
        free = encode_mirror(msgspec.structs.replace(decode_mirror(body), lease=None))
        session.execute("put_mirror", {"account_id": account_id, "body": free})
    for account, state in fence_accounts(session, now, clock_error_seconds):
        if isinstance(state, StoreUnavailable):
            raise state
        fenced.append((account, state))
    return fenced


def find_clock(session: SqlSession, account_id: int) -> MovedClock:
    """The clock of an account as it is stored."""
    return next(iter(session.rows("find_clock", MovedClock, {"account_id": account_id})), MovedClock())


def no_account_row(account: Account) -> StoreUnavailable:
    return StoreUnavailable(
        f"account {account.subdomain} has no row in feed_state: was it erased, or the store restored?"
    )
