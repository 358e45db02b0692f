"""Deletes a person for good inside one write: the record, and the copies of name and addresses elsewhere."""

from typing import Any

from ticketfeed.protocol.erasure import TICKET_KINDS, USER_KINDS, erased_record
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.person_erasure import Person
from ticketfeed.protocol.record_types import IdentityRecord
from ticketfeed.protocol.records import RecordDraft, encode, is_deleted, make_record, parse_stored, split_record
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["erase_person", "erase_user"]

# Records that are found, erased and stored at once.
BATCH = 250

_IDENTITY = StoredDecoder(IdentityRecord)
_VALUES = StoredDecoder(dict[str, Any])


def erase_user(write: WriteTransaction, account: str, actor: Identity, user_id: int) -> RecordDraft:
    """Delete a user for good, who must be deleted. Nothing is left but an id. Raises RecordNotFound.

    It reads all tickets and audits of the account: some seconds for a million tickets.
    """
    body = write.find_records("users", [user_id]).get(user_id)
    if body is None or not is_deleted("users", body):
        raise RecordNotFound
    if _VALUES.decode(body).get("permanently_deleted") is True:
        raise RecordNotFound
    draft = make_record("users", split_record(erased_record("users", body)), account=account, now=write.now)
    write.put_records([draft])
    erase_person(write, account, actor, user_id, body)
    return draft


def erase_person(write: WriteTransaction, account: str, actor: Identity, user_id: int, body: bytes) -> None:
    """Erase what belongs to a user whose record was `body`, and the copies of the name and the addresses elsewhere."""
    person = Person(_VALUES.decode(body), _erase_records_of(write, account, user_id))
    for kind in ("tickets", *TICKET_KINDS):
        ids = write.find_containing(kind, person.needles)
        for at in range(0, len(ids), BATCH):
            _erase_copies(write, account, actor, person, kind, ids[at : at + BATCH])
    write.erase_copies(person.erase_copy, user_id)


def _erase_records_of(write: WriteTransaction, account: str, user_id: int) -> list[str]:
    """Erase what belongs to a user; returns the values of the identities as they were."""
    values = []
    for kind in USER_KINDS:
        found = write.find_of_user(kind, user_id, deleted=None)
        values += [_IDENTITY.decode(body).value.strip() for body in found if kind == "identities"]
        erased = [split_record(erased_record(kind, body)) for body in found]
        write.put_records([make_record(kind, record, account=account, now=write.now) for record in erased])
    return values


def _erase_copies(
    write: WriteTransaction, account: str, actor: Identity, person: Person, kind: str, ids: list[int]
) -> None:
    if kind == "tickets":
        tickets = TicketWriter(write, account, actor)
        for ticket_id in ids:
            tickets.rewrite(ticket_id, person.erase)
        return
    for body in write.find_records(kind, ids).values():
        values = _VALUES.decode(body)  # without what cannot be decoded
        erased = person.erase(values)
        if erased != values or values.keys() != split_record(body).keys():
            write.put_records([parse_stored(kind, encode(erased), account=account, now=write.now)])
