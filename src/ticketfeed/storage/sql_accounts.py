"""Whole accounts on an engine with SQL: frozen, erased, and filled with what another store has of one.

An account that is being filled or erased has a name that no host has, so nobody sees half of one. It is filled and
erased in many short transactions, between which other accounts are written; one of them gives it its name, or takes it.
What an interrupted one leaves is erased by the next fill or erasure of that name.
"""

from abc import abstractmethod
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from ticketfeed.protocol import watermark
from ticketfeed.protocol.consumers import TEST_REQUESTS_KEPT, Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import decode_mirror, encode_mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.saved_accounts import account_exists, saved_subdomain
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.queries import ACCOUNT_TABLES, delete_rows_sql
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.sql_saved import SavedRow
from ticketfeed.storage.sql_session import SqlSession, find_clock, lock_states, write_states
from ticketfeed.storage.sql_store import SqlStore
from ticketfeed.storage.sql_transaction import SqlTransaction, rewound_key

__all__ = ["COPIED_TABLES", "MOVED", "SqlAccountStore", "usage_key"]

T = TypeVar("T")

# The end of the freeze of an account that was moved to another store.
MOVED = INT64_MAX
# Those of an account that are copied as they are. The others are filled through a transaction: the account's row, and
# tickets and records with the search index, which each engine has in a form of its own.
COPIED_TABLES = tuple(
    table for table in ACCOUNT_TABLES if table not in ("feed_state", "ticket", "record", "search_entry")
)
# Rows of one transaction: some megabytes.
BATCH = 500
_Usage = tuple[list[Consumer], list[RequestRecord]]


class SqlAccountStore(SqlStore):
    """The part of a Store on an engine with SQL that is about whole accounts."""

    @abstractmethod
    async def _transact(self, work: Callable[[SqlSession], T], *, erases: bool = False) -> T:
        """Run `work` in a transaction; returns what it returns. `erases`: the engine's files are to be overwritten."""

    @abstractmethod
    def _add_account(self, session: SqlSession, subdomain: str) -> Account:
        """Create an account that does not exist, with its row."""

    @abstractmethod
    def _run_write(
        self, session: SqlSession, account: Account, states: States, work: Callable[[SqlTransaction], T]
    ) -> T:
        """Run `work` in a write of an account whose row is locked. The row stays as it was."""

    @abstractmethod
    def newest(self) -> int:
        """The newest time that any clock shows which is known here, in Unix seconds."""

    @abstractmethod
    async def _erase_sidecar(self, account: Account) -> None:
        """Erase what the sidecar has of an account."""

    async def freeze(self, account: Account, until: int, *, own: int | None = None) -> int:
        """Refuse writes of the account until this second; returns the end of the freeze, another one for each.

        An account that was moved stays so. `own`: the end of the caller's freeze, which is to go on. Raises StoreError
        if the account may have been written since.
        """

        def freeze(session: SqlSession) -> int:
            lock_states(session, account)
            before = int(session.value("read_freeze", {"account_id": account.account_id}))
            if own is not None and before != own:
                raise StoreError(
                    f"the end of {account.subdomain} took longer to copy than its writes are refused, and it was not "
                    "copied: try again when it is written less, or with a longer --freeze"
                )
            if before == MOVED:
                return before
            end = max(until, before + 1)
            session.execute("write_freeze", {"account_id": account.account_id, "frozen_until": end})
            return end

        return await self._transact(freeze)

    async def unfreeze(self, account: Account, *, own: int | None = None) -> bool:
        """Take writes of the account again; whether they were refused. `own`: only if this is the end of the freeze."""

        def unfreeze(session: SqlSession) -> bool:
            lock_states(session, account)
            bindings = {"account_id": account.account_id}
            before = session.value("read_freeze", bindings)
            if own in (None, before):
                session.execute("write_freeze", {**bindings, "frozen_until": 0})
            return bool(before)

        return await self._transact(unfreeze)

    async def begin_account(self, subdomain: str) -> Account:
        """Create an account that nobody sees, to be filled. Raises BadInput if there is one of this name."""
        hidden = hidden_subdomain(subdomain)
        if await self._find_all(subdomain):
            raise account_exists(subdomain)
        for left in await self._find_all(hidden):
            await self._erase_rows(left, hidden, is_indexed=True)
        return await self._transact(lambda session: self._add_account(session, hidden))

    async def fill_account(self, hidden: Account, rows: Sequence[TicketRow | RecordRow]) -> None:
        """Put rows into an account that was begun, in place of those with their ids."""

        def put(session: SqlSession) -> None:
            states = _lock_hidden(session, hidden)
            self._run_write(session, hidden, states, lambda write: write.put_rows(rows))

        await self._transact(put)

    async def remove_rows(self, hidden: Account, kind: str, ids: Sequence[int]) -> None:
        """Remove tickets ("tickets") or records from an account that was begun."""

        def remove(session: SqlSession) -> None:
            states = _lock_hidden(session, hidden)
            self._run_write(session, hidden, states, lambda write: write.remove_rows(kind, ids))

        await self._transact(remove)

    async def fill_table(
        self, hidden: Account, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Add rows of another table to an account that was begun, without their account_id."""

        def put(session: SqlSession) -> None:
            _lock_hidden(session, hidden)
            session.put_rows(table, _row_type(tuple(columns)), hidden.account_id, rows)

        await self._transact(put)

    async def count_rows(self, hidden: Account) -> dict[str, int]:
        """How many tickets ("tickets") and records of each kind an account has that was begun."""
        rows = await self._transact(
            lambda session: session.fetch(session.queries["count_rows"], {"account_id": hidden.account_id})
        )
        return dict(rows)

    async def list_kind_ids(self, hidden: Account, kind: str) -> list[int]:
        """The ids of its tickets ("tickets") or records of a kind."""
        own = {"account_id": hidden.account_id, "kind": kind}
        rows = await self._transact(lambda session: session.fetch(session.queries["list_kind_ids"], own))
        return [id for (id,) in rows]

    async def list_columns(self, table: str) -> list[str]:
        """The columns of a table."""
        rows = await self._transact(lambda session: session.fetch(session.queries["list_columns"], {"name": table}))
        return [name for (name,) in rows]

    async def complete_account(
        self,
        hidden: Account,
        subdomain: str,
        states: States,
        now: int,
        clock_error_seconds: int,
        meta: Mapping[str, str],
    ) -> Account:
        """Fence an account that was begun, and give it its name. `states`: of the account that it is a copy of. `meta`:
        what the store as a whole has of it.

        `now`: the newest time that any clock shows, in Unix seconds. Raises BadInput if there is one of this name.
        """
        account = Account(hidden.account_id, subdomain)
        own = {"account_id": account.account_id}

        def complete(session: SqlSession) -> None:
            if session.rows("find_account", Account, {"subdomain": subdomain}):
                raise account_exists(subdomain)
            _lock_hidden(session, hidden)
            newest = max(now, find_clock(session, account.account_id).time(now))
            tickets, records = watermark.fence_states(states, newest, clock_error_seconds)
            write_states(session, account, (tickets, records))
            for (body,) in session.fetch(session.queries["find_mirror"], own):
                free = encode_mirror(msgspec.structs.replace(decode_mirror(body), lease=None))
                session.execute("put_mirror", {**own, "body": free})
            for name, value in meta.items():
                session.execute("put_meta", {"name": name, "value": value})
            session.execute("rename_account", {**own, "subdomain": subdomain})

        await self._transact(complete)
        return account

    async def has_account(self, subdomain: str) -> bool:
        """Whether the store has anything of an account: itself, or what an interrupted copy or erasure has left."""
        return bool(await self._find_all(subdomain, hidden_subdomain(subdomain)))

    async def erase_account(self, subdomain: str) -> None:
        """Erase all that the store has of an account, of what was saved of it, and of unfinished copies.

        It may be repeated and interrupted at any time: from its beginning on nobody sees the account any more.
        """
        saved = await self._transact(lambda session: _saved_accounts(session, subdomain))
        erased = [*await self._find_all(hidden_subdomain(subdomain), subdomain), *saved]
        for account in erased:
            await self._erase_rows(account, hidden_subdomain(subdomain), is_indexed=account not in saved)
        for account in erased:
            await self._erase_sidecar(account)
        await self.overwrite_erased()

    async def read_usage(self, account: Account) -> _Usage:
        """The consumers and the recent requests of an account: those of the sidecar, else those that a file of the
        account has itself."""
        consumers, requests = await self.read_consumers(account), await self.read_requests(account)
        if not consumers and not requests:
            sql, bindings = self.queries["read_meta"], {"name": usage_key(account)}
            for (value,) in await self._fetch(sql, bindings, current=True):
                usage: _Usage = msgspec.json.decode(value, type=_Usage)
                return usage
        return consumers, requests

    async def write_usage(self, account: Account, usage: _Usage, now: float) -> None:
        """Store what `read_usage` returned."""
        consumers, requests = usage
        await self.replace_consumers(account, consumers)
        await self.record_usage(account, {}, requests[::-1], now, keep=TEST_REQUESTS_KEPT)

    async def _find_all(self, *subdomains: str) -> list[Account]:
        """The accounts of these names that exist."""

        def find(session: SqlSession) -> list[Account]:
            found = (session.rows("find_account", Account, {"subdomain": each}) for each in subdomains)
            return list(chain.from_iterable(found))

        return await self._transact(find)

    async def _erase_rows(self, account: Account, hidden: str, *, is_indexed: bool) -> None:
        """Delete all rows of an account; it is called `hidden` until then. `is_indexed`: the search index has it."""
        await self._transact(lambda session: _hide(session, account, hidden), erases=True)
        while is_indexed and await self._transact(lambda session: self._erase_batch(session, account), erases=True):
            pass
        await self._transact(lambda session: _erase_rest(session, account), erases=True)

    def _erase_batch(self, session: SqlSession, account: Account) -> bool:
        """Delete some tickets or records with their entries in the search index; whether there were any."""
        bindings = {"account_id": account.account_id, "limit": BATCH}
        by_kind: dict[str, list[int]] = {}
        for kind, id in session.fetch(session.queries["list_some_rows"], bindings):
            by_kind.setdefault(kind, []).append(id)

        def remove(write: SqlTransaction) -> None:
            for kind, ids in by_kind.items():
                write.remove_rows(kind, ids)

        self._run_write(session, account, (FeedState(), FeedState()), remove)
        return bool(by_kind)

    # Of the contract, as an engine implements them.

    store_id: str

    @abstractmethod
    async def inspect(
        self,
        work: Callable[[Snapshot], T],
        *,
        accounts: Sequence[Account] | None = None,
        is_probe: bool = False,
        statement_seconds: float = SHORT_STATEMENT_SECONDS,
    ) -> T: ...

    @abstractmethod
    async def close_newest(self, account: Account) -> bool: ...

    @abstractmethod
    async def overwrite_erased(self, *, own: bool = False) -> None: ...

    @abstractmethod
    async def read_consumers(self, account: Account) -> list[Consumer]: ...

    @abstractmethod
    async def read_requests(self, account: Account) -> list[RequestRecord]: ...

    @abstractmethod
    async def replace_consumers(self, account: Account, consumers: Sequence[Consumer]) -> None: ...

    @abstractmethod
    async def record_usage(
        self,
        account: Account,
        consumers: Mapping[str, UsageUpdate],
        requests: Sequence[RequestRecord],
        now: float,
        *,
        keep: int = ...,
    ) -> None: ...


def hidden_subdomain(subdomain: str) -> str:
    """The name of an account that is being filled or erased. No host has an @."""
    return f"@{subdomain}"


def _lock_hidden(session: SqlSession, hidden: Account) -> States:
    try:
        return lock_states(session, hidden)
    except StoreUnavailable as error:
        raise StoreError(
            f"another copy to {hidden.subdomain.removeprefix('@')} has begun, and ended this one"
        ) from error


@cache
def _row_type(columns: tuple[str, ...]) -> Any:
    return namedtuple("_Row", columns)


def usage_key(account: Account) -> str:
    """Under which a file of one account has what its sidecar would."""
    return f"usage_{account.account_id}"


def _saved_accounts(session: SqlSession, subdomain: str) -> list[Account]:
    rows = session.fetch(session.queries["list_saved"], {"pattern": saved_subdomain(Account(0, subdomain), "%")})
    return [Account(row.account_id, row.subdomain) for row in (SavedRow(*each) for each in rows)]


def _hide(session: SqlSession, account: Account, hidden: str) -> None:
    """From here on nobody sees the account, not even who has found it before: its row and its credentials are gone."""
    own = {"account_id": account.account_id}
    for table in ("feed_state", *COPIED_TABLES):
        session.run(delete_rows_sql(session.queries.dialect, table), own)
    session.execute("forget_default_account", {"subdomain": account.subdomain})
    session.execute("add_erasure", {})
    if "@" not in account.subdomain:
        session.execute("rename_account", {**own, "subdomain": hidden})


def _erase_rest(session: SqlSession, account: Account) -> None:
    """Delete the rows of the other tables, and those of the store as a whole."""
    own = {"account_id": account.account_id}
    for table in ACCOUNT_TABLES:
        session.run(delete_rows_sql(session.queries.dialect, table), own)
    for name in (rewound_key(account.account_id), usage_key(account), f"saved_{account.account_id}"):
        session.execute("forget_meta", {"name": name})
    session.execute("add_erasure", {})
    session.execute("put_erased_account_id", own)
    session.execute("delete_account", own)
