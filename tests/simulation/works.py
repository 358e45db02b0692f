"""What the writes of a script put, and how: at once, or standing still in their transaction until they are released."""

import threading

import msgspec

from tests.simulation.script import START_SECOND, Write
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.write_contract import WriteTransaction

WAIT_SECONDS_MAX = 300.0


def make_drafts(step: Write, number: int) -> list[TicketDraft]:
    """Each draft has a subject of its own, so that no two versions of a ticket have the same bytes."""
    drafts = []
    for index, entry in enumerate(step.entries):
        values = {
            "id": entry.id,
            "generated_timestamp": entry.second,
            "status": entry.status,
            "support_type": entry.support_type,
            "subject": f"step {number}, draft {index}",
        }
        drafts.append(parse_ticket(msgspec.json.encode(values), account="acme", now=START_SECOND))
    return drafts


def put(step: Write, drafts: list[TicketDraft], transaction: WriteTransaction) -> int:
    count = transaction.put_tickets(iter(drafts), keep_generated_timestamp=step.keep)
    if step.fails:
        raise BadInput("as the script wants it")
    return count


def put_and_wait(
    step: Write,
    drafts: list[TicketDraft],
    has_put: threading.Event,
    release: threading.Event,
    transaction: WriteTransaction,
) -> int:
    count = transaction.put_tickets(iter(drafts))
    has_put.set()
    release.wait(WAIT_SECONDS_MAX)
    if step.fails:
        raise BadInput("as the script wants it")
    return count
