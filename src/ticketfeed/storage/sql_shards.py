"""What is asked of many accounts at once, on an engine with SQL."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.account_size import AccountSize
from ticketfeed.storage.queries import Queries
from ticketfeed.storage.shard_contract import AgedStatus
from ticketfeed.storage.shares import ALL_ACCOUNTS

__all__ = ["SqlShardStore"]

_STATE_COLUMNS = len(StateRow._fields)


class SqlShardStore(ABC):
    """A ShardStore. Each statement has the ids of its accounts in it: the index then has a range for each."""

    queries: Queries

    @abstractmethod
    async def list_accounts(self, *, current: bool = True) -> list[Account]: ...

    @abstractmethod
    async def _fetch_batch(self, sql: str, bindings: dict[str, Any], account_id: int) -> list[Any]:
        """All rows of a query, from the primary as long as it answers; it does not delay the event loop.

        `account_id`: of one of the accounts of a shard, or ALL_ACCOUNTS.
        """

    async def list_shards(self) -> list[list[Account]]:
        accounts = await self.list_accounts()
        return [accounts] if accounts else []

    async def find_expired(self, accounts: Sequence[Account], until: int) -> set[int]:
        return {id for (id,) in await self._find("find_expired", accounts, until=until)}

    async def find_aged(self, accounts: Sequence[Account], status: AgedStatus, until: int) -> set[int]:
        return {id for (id,) in await self._find("find_aged", accounts, status=status, until=until)}

    async def find_open_jobs(self, accounts: Sequence[Account], until: int) -> list[tuple[int, str]]:
        return [(account_id, id) for account_id, id in await self._find("find_open_jobs", accounts, until=until)]

    async def find_sizes(self, accounts: Sequence[Account]) -> list[tuple[int, FeedState, AccountSize | None]]:
        sql = self.queries.select("find_sizes", AccountSize)
        found = await self._fetch_of(sql, accounts)
        return [(account_id, *_with_size(columns)) for account_id, *columns in found]

    async def find_full(self, accounts: Sequence[Account] | None = None) -> set[int]:
        if accounts is None:
            return {id for (id,) in await self._fetch_batch(self.queries["list_full"], {}, ALL_ACCOUNTS)}
        return {id for (id,) in await self._find("find_full", accounts)}

    async def _find(self, name: str, accounts: Sequence[Account], **bindings: Any) -> list[Any]:
        return await self._fetch_of(self.queries[name], accounts, **bindings)

    async def _fetch_of(self, sql: str, accounts: Sequence[Account], **bindings: Any) -> list[Any]:
        ids = [account.account_id for account in accounts]
        return await self._fetch_batch(sql, {"ids": self.queries.bind_list(ids), **bindings}, ids[0]) if ids else []

    async def _list_all(self, name: str) -> list[Any]:
        """The rows of a query that names no account, as far as accounts can be reached."""
        return await self._fetch_batch(self.queries[name], {}, ALL_ACCOUNTS)


def _with_size(columns: Sequence[Any]) -> tuple[FeedState, AccountSize | None]:
    state, size = columns[:_STATE_COLUMNS], columns[_STATE_COLUMNS:]
    return StateRow(*state).tickets, None if size[0] is None else AccountSize(*size)
