"""What is asked of many accounts of a store in memory at once."""

from collections.abc import Sequence

from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.storage.account_size import AccountSize
from ticketfeed.storage.memory_transaction import AccountData
from ticketfeed.storage.shard_contract import AgedStatus

__all__ = ["MemoryShardStore", "aged_positions"]


class MemoryShardStore:
    """A ShardStore."""

    _accounts: dict[str, Account]
    _data: dict[int, AccountData]

    async def list_shards(self) -> list[list[Account]]:
        return [list(self._accounts.values())] if self._accounts else []

    async def find_expired(self, accounts: Sequence[Account], until: int) -> set[int]:
        return {account.account_id for account in accounts if _has_expired(self._data[account.account_id], until)}

    async def find_aged(self, accounts: Sequence[Account], status: AgedStatus, until: int) -> set[int]:
        return {
            account.account_id
            for account in accounts
            if not (data := self._data[account.account_id]).state.is_mirror and aged_positions(data, status, until)
        }

    async def find_open_jobs(self, accounts: Sequence[Account], until: int) -> list[tuple[int, str]]:
        found = [
            (job.created_at, job.id, account.account_id)
            for account in accounts
            for job, _ in self._data[account.account_id].jobs.values()
            if job.finished_at is None and job.created_at <= until
        ]
        return [(account_id, id) for _, id, account_id in sorted(found)]

    async def find_sizes(self, accounts: Sequence[Account]) -> list[tuple[int, FeedState, AccountSize | None]]:
        of = ((account.account_id, self._data[account.account_id]) for account in accounts)
        return [(account_id, data.state, data.size) for account_id, data in of]

    async def find_full(self, accounts: Sequence[Account] | None = None) -> set[int]:
        of = self._data if accounts is None else [account.account_id for account in accounts]
        found = ((account_id, self._data[account_id]) for account_id in of)
        return {account_id for account_id, data in found if data.quota.is_reached(data.state.ticket_count, data.size)}


def aged_positions(data: AccountData, status: str, until: int) -> list[Position]:
    """The positions of the tickets of this status that have not changed since `until`, in order; of deleted ones those
    that are not known to be scrubbed."""
    scrubbed = data.scrubbed_until if status == "deleted" and data.scrubbed_until <= until else -1
    after, found = Position(scrubbed, INT64_MAX), (row for row in data.tickets.values() if row.status == status)
    return sorted(at for at in map(position_of, found) if at > after and at.generated_timestamp <= until)


def _has_expired(data: AccountData, until: int) -> bool:
    answers = any(answer.stored_at <= until for answer in data.answers.values())
    finished = (job.finished_at for job, _ in data.jobs.values())
    return answers or any(at is not None and at <= until for at in finished)
