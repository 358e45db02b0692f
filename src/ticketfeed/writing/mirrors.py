"""Writes what the source of a mirror gives, inside one write of the mirror, and erases what was deleted there for good.

A source only shows what is left of a ticket or a person. What was copied of it before is still here: its audits,
metrics and ratings, a person's name in tickets, and what lies in the files of the store. It is erased by the functions
that erase it in an account of our own.
"""

from collections.abc import Sequence
from typing import Any

from ticketfeed.protocol.audits import SYSTEM_ID
from ticketfeed.protocol.erasure import is_erased_ticket
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.person_erasure import erase_person
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["put_copies"]

_SYSTEM = Identity(SYSTEM_ID, "", "admin")
_VALUES = StoredDecoder(dict[str, Any])


def put_copies(write: WriteTransaction, account: str, drafts: Sequence[TicketDraft | RecordDraft]) -> int:
    """Store what a source has given; returns how many of the drafts changed something here.

    What they show as deleted for good, and is not here, is erased. Of a person that takes some seconds for a million
    tickets.
    """
    tickets = {draft.id: draft for draft in drafts if isinstance(draft, TicketDraft) and _is_scrubbed(draft.row.body)}
    scrubbed = [id for id, body in write.find_tickets(list(tickets)).items() if not _is_scrubbed(body)]
    records = [draft for draft in drafts if not isinstance(draft, TicketDraft)]
    people = [draft.id for draft in records if draft.kind == "users" and _is_erased(draft.body)]
    people_before = {id: body for id, body in write.find_records("users", people).items() if not _is_erased(body)}
    count = write.load(drafts)
    for id in scrubbed:
        values = _VALUES.decode(tickets[id].row.body)
        followups = [each for each in values.get("followup_ids") or () if type(each) is int]
        TicketWriter(write, account, _SYSTEM).scrub_copies(id, followups, tickets[id])
    for id, body in people_before.items():
        erase_person(write, account, _SYSTEM, id, body)
    return count


def _is_scrubbed(body: bytes) -> bool:
    return b'"status":"deleted"' in body and is_erased_ticket(_VALUES.decode(body))


def _is_erased(body: bytes) -> bool:
    return b'"permanently_deleted":true' in body and _VALUES.decode(body).get("permanently_deleted") is True
