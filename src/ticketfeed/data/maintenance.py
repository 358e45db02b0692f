"""What time alone does to tickets, in small writes: solved ones are closed, deleted ones lose what they said.

These are changes of the system: they move `generated_timestamp`, and not `updated_at`. A ticket's age counts from the
last time that anything happened to it.
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
# Tickets of one write: others wait for its end.
BATCH = 100

_SYSTEM = Identity(SYSTEM_ID, "", "admin")


async def maintain(
    store: Store, account: Account, *, close_solved_days: int = 0, scrub_deleted_days: int = 0, now: int
) -> dict[str, int]:
    """Close and scrub what is old enough; 0 days for never. Returns how many of each. May be repeated, or cut off."""
    done = {"closed": 0, "scrubbed": 0}
    if close_solved_days:
        until = now - close_solved_days * DAY_SECONDS
        done["closed"] = await _each(store, account, "solved", until, TicketWriter.close)
    if scrub_deleted_days:
        until = now - scrub_deleted_days * DAY_SECONDS
        done["scrubbed"] = await _each(store, account, "deleted", until, TicketWriter.scrub)
    return done


async def _each(
    store: Store,
    account: Account,
    status: Literal["solved", "deleted"],
    until: int,
    change: Callable[[TicketWriter, int], None],
) -> int:
    count, after = 0, Position(0, -1)
    while found := await store.list_aged(account, status, after, until, BATCH):
        after = found[-1]

        def work(write: WriteTransaction, found: list[Position] = found) -> int:
            return sum(_change(write, account, position, status, change) for position in found)

        count += await store.write(account, work)
    return count


def _change(
    write: WriteTransaction,
    account: Account,
    position: Position,
    status: str,
    change: Callable[[TicketWriter, int], None],
) -> bool:
    """Unless something has happened to it meanwhile, or nothing is left to do."""
    tickets = TicketWriter(write, account.subdomain, _SYSTEM)
    if not tickets.is_at(position, status):
        return False
    try:
        change(tickets, position.id)
    except RecordNotFound:  # scrubbed already
        return False
    return True
