"""Scheduled maintenance, in small writes: closes old solved tickets and scrubs old deleted ones.

These are changes by the system: they move `generated_timestamp` but not `updated_at`. The age of a ticket counts from
its last change of any kind.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.idempotency import IDEMPOTENCY_SECONDS
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.storage.account_batches import Away, read_in_batches
from ticketfeed.storage.contract import Store
from ticketfeed.storage.shard_contract import AgedStatus
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["by_time", "find_due", "maintain"]

DAY_SECONDS = 86400
# Tickets of one write, for whose end other writes wait.
BATCH = 100

_SYSTEM = Identity(SYSTEM_ID, "", "admin")


async def find_due(
    store: Store,
    shards: Iterable[Sequence[Account]],
    now: Callable[[Account], int],
    *,
    close_solved_days: int = 0,
    scrub_deleted_days: int = 0,
) -> tuple[list[Account], Away]:
    """The accounts in which `maintain` has something to do; and those that are out of reach."""

    async def find(accounts: Sequence[Account]) -> list[Account]:
        due = set[int]()
        for at, some in by_time(accounts, now):
            due |= await store.find_expired(some, at - IDEMPOTENCY_SECONDS)
            if close_solved_days:
                due |= await store.find_aged(some, "solved", at - close_solved_days * DAY_SECONDS)
            if scrub_deleted_days:
                due |= await store.find_aged(some, "deleted", at - scrub_deleted_days * DAY_SECONDS)
        return [account for account in accounts if account.account_id in due]

    return await read_in_batches(shards, find)


def by_time(accounts: Iterable[Account], now: Callable[[Account], int]) -> Iterator[tuple[int, list[Account]]]:
    """The accounts by what their clocks show, which is the same for all whose clock was not moved."""
    of: dict[int, list[Account]] = {}
    for account in accounts:
        of.setdefault(now(account), []).append(account)
    return iter(of.items())


async def maintain(
    store: Store, account: Account, *, close_solved_days: int = 0, scrub_deleted_days: int = 0, now: int
) -> dict[str, int]:
    """Close and scrub the tickets that are old enough, 0 days for never; returns how many of each.

    None of a mirror: its source does that. Also deletes idempotency answers and finished jobs whose time is over. It
    may be repeated and interrupted at any time, and several processes may do it at once.
    """
    counts, scrubbed_until = {"closed": 0, "scrubbed": 0}, -1
    if (await store.read_state(account)).is_mirror:
        close_solved_days = scrub_deleted_days = 0
    if close_solved_days:
        until = now - close_solved_days * DAY_SECONDS
        counts["closed"] = await _each(store, account, "solved", until, TicketWriter.close)
    if scrub_deleted_days:
        scrubbed_until = now - scrub_deleted_days * DAY_SECONDS
        counts["scrubbed"] = await _each(store, account, "deleted", scrubbed_until, TicketWriter.scrub)

    def finish(write: WriteTransaction) -> None:
        write.delete_expired()
        if scrubbed_until >= 0:
            write.put_scrubbed_until(scrubbed_until)

    await store.write(account, finish)
    return counts


async def _each(
    store: Store,
    account: Account,
    status: AgedStatus,
    until: int,
    change: Callable[[TicketWriter, int], None],
) -> int:
    count, after = 0, Position(0, -1)
    while batch := await store.list_aged(account, status, after, until, BATCH):
        after = batch[-1]

        def work(write: WriteTransaction, batch: list[Position] = batch) -> int:
            return sum(_change(write, account, position, status, change) for position in batch)

        count += await store.write(account, work)
    return count


def _change(
    write: WriteTransaction,
    account: Account,
    position: Position,
    status: str,
    change: Callable[[TicketWriter, int], None],
) -> bool:
    """Whether the ticket was changed; not if it has changed since it was listed, or was scrubbed before."""
    tickets = TicketWriter(write, account.subdomain, _SYSTEM)
    if not tickets.is_at(position, status):
        return False
    try:
        change(tickets, position.id)
    except RecordNotFound:  # was scrubbed before
        return False
    return True
