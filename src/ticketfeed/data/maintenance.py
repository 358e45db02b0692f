"""Scheduled maintenance, in small writes: closes old solved tickets and scrubs old deleted ones.

These are changes by the system: they move `generated_timestamp` but not `updated_at`. The age of a ticket counts from
its last change of any kind.
"""

from collections.abc import Callable
from typing import Literal

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.model import Account, Identity, Position
from ticketfeed.storage.contract import Store, WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["maintain"]

DAY_SECONDS = 86400
# Tickets of one write, for whose end other writes wait.
BATCH = 100

_SYSTEM = Identity(SYSTEM_ID, "", "admin")


async def maintain(
    store: Store, account: Account, *, close_solved_days: int = 0, scrub_deleted_days: int = 0, now: int
) -> dict[str, int]:
    """Close and scrub the tickets that are old enough, 0 days for never; returns how many of each.

    None of a mirror: its source does that. Also deletes idempotency answers and finished jobs whose time is over. It
    may be repeated and interrupted at any time.
    """
    counts = {"closed": 0, "scrubbed": 0}
    if (await store.read_state(account)).is_mirror:
        close_solved_days = scrub_deleted_days = 0
    if close_solved_days:
        until = now - close_solved_days * DAY_SECONDS
        counts["closed"] = await _each(store, account, "solved", until, TicketWriter.close)
    if scrub_deleted_days:
        until = now - scrub_deleted_days * DAY_SECONDS
        counts["scrubbed"] = await _each(store, account, "deleted", until, TicketWriter.scrub)
    await store.write(account, lambda write: write.delete_expired())
    return counts


async def _each(
    store: Store,
    account: Account,
    status: Literal["solved", "deleted"],
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
