"""Brings an account back whose feed lies in the future, because the clock of a machine that wrote it was ahead.

Every change that carries a second of the future is put again, as a change of now. What its record says of times, such
as `updated_at`, stays as it was written. Readers that were given the change before get it twice; those whose position
lies in the future are read from where the feed was brought back to, so they miss nothing (export/answer.py).
"""

from dataclasses import dataclass

from ticketfeed.protocol.model import INT64_MAX, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.tickets import stored_draft
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["ClockRepair", "repair_clock"]

_BATCH = 250


@dataclass(frozen=True, slots=True)
class ClockRepair:
    """What was repaired: how many tickets and records were put again, which is the newest second that they carried, and
    the watermark now."""

    tickets: int
    records: int
    newest: int
    watermark: int


def repair_clock(write: WriteTransaction, clock_error_seconds: int) -> ClockRepair | None:
    """Bring the account back; None if its feed does not lie in the future. Raises BadRecord."""
    newest = write.state.last_generated_timestamp
    watermark = write.rewind(clock_error_seconds)
    if watermark is None:
        return None
    start, tickets, records = Position(watermark, INT64_MAX), 0, 0
    after = start
    while rows := write.find_tickets_after(after, _BATCH):
        after, newest = position_of(rows[-1]), max(newest, rows[-1].generated_timestamp)
        tickets += write.put_tickets([stored_draft(row) for row in rows])
    for kind in RESOURCES:
        after = start
        while found := write.find_records_after(kind, after, _BATCH):
            after, newest = position_of(found[-1]), max(newest, found[-1].generated_timestamp)
            records += write.put_records(found)
    return ClockRepair(tickets, records, newest, watermark)
