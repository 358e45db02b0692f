"""The part of the Store contract that finds, of many accounts at once, those in which something is due."""

from collections.abc import Sequence
from typing import Literal, Protocol

from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.account_size import AccountSize

__all__ = ["AgedStatus", "ShardStore"]

# Of tickets that time alone changes.
AgedStatus = Literal["solved", "deleted"]


class ShardStore(Protocol):
    """What is asked of many accounts in one statement: of those of one shard, as `list_shards` has them, or some of
    them.

    It raises StoreUnavailable if any of them is out of reach; each can be asked for by itself then.
    """

    async def list_shards(self) -> list[list[Account]]:
        """Every account, by account_id, those together whose rows lie together: in one list, unless accounts are
        distributed over several servers."""

    async def find_expired(self, accounts: Sequence[Account], until: int) -> set[int]:
        """The ids of those that have idempotency answers stored, or jobs finished, until then."""

    async def find_aged(self, accounts: Sequence[Account], status: AgedStatus, until: int) -> set[int]:
        """The ids of those in which `list_aged` finds a ticket; mirrors are left out."""

    async def find_open_jobs(self, accounts: Sequence[Account], until: int) -> list[tuple[int, str]]:
        """(account_id, id) of their jobs that were created until then and are not finished, oldest first."""

    async def find_sizes(self, accounts: Sequence[Account]) -> list[tuple[int, FeedState, AccountSize | None]]:
        """(account_id, state of its tickets, what was measured last) of each that has its row."""

    async def find_full(self, accounts: Sequence[Account] | None = None) -> set[int]:
        """The ids of those that have reached their quotas: of tickets as they are now, of bytes as they were measured
        last. None: of all accounts."""
