"""Jobs: one item at a time, each in a write of its own that stores the item's result, too."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import RecordInvalid, TooManyValues, WireError
from ticketfeed.protocol.jobs import JOB_ITEMS_MAX, Job
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.ticket_input import IMPORTED_TICKET, NEW_TICKET, TICKET_CHANGE
from ticketfeed.storage.contract import WriteTransaction
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["do_item", "put_failure", "start_job"]


class _Item(msgspec.Struct):
    """What is to be done with one record, named by one of the two. `values`: what is to be written."""

    id: int = 0
    external_id: str | None = None
    values: Raw = Raw(b"null")


class _Merge(msgspec.Struct):
    id: int
    ids: list[int]
    target_comment: str | None = None
    source_comment: str | None = None


_ITEM = msgspec.json.Decoder(_Item)
_MERGE = msgspec.json.Decoder(_Merge)
# What is done with a record that is there.
_OF_ONE = ("update", "delete", "scrub")


def start_job(write: WriteTransaction, job_id: str, actor_id: int, action: str, items: Sequence[bytes]) -> Job:
    """Store a job, which is done later. Raises TooManyValues."""
    if len(items) > JOB_ITEMS_MAX:
        raise TooManyValues(JOB_ITEMS_MAX)
    job = Job(job_id, action, actor_id, write.now, len(items))
    write.add_job(job, items)
    return job


def do_item(write: WriteTransaction, account: str, job: Job, number: int, item: bytes) -> None:
    """Do what `WriteTransaction.next_item` gave, and store its result. Raises the WireError of what cannot be done."""
    verb, _, kind = job.action.partition(" ")
    body = write.find_records("users", [job.actor_id]).get(job.actor_id, b"{}")
    actor = Identity(job.actor_id, "", str(msgspec.json.decode(body).get("role", "admin")))
    if verb == "merge":
        result = _merge(write, account, actor, item)
    elif kind == "tickets":
        result = _TICKETS[verb](TicketWriter(write, account, actor), _ITEM.decode(item))
    else:
        result = _RECORDS[verb](RecordWriter(write, account, actor, kind), _ITEM.decode(item))
    write.put_result(job.id, number, msgspec.json.encode({"index": number, **result}))


def put_failure(write: WriteTransaction, job_id: str, number: int, error: WireError) -> None:
    """Tell why an item could not be done, unless another process has done so."""
    found = write.next_item(job_id)
    if found is not None and found[1] == number:
        job, _, item = found
        write.put_result(job_id, number, msgspec.json.encode(_failure(job, number, item, error)))


def _failure(job: Job, number: int, item: bytes, error: WireError) -> dict[str, Any]:
    verb = job.action.partition(" ")[0]
    id = _ITEM.decode(item).id if verb != "merge" else 0
    known = {"id": id} if id else {}
    code = type(error).__name__
    details = str(error)
    if isinstance(error, RecordInvalid):
        details = "; ".join(each[0]["description"] for each in error.details.values())
    told = {"action": verb, "success": False, "status": "Failed", "errors": details} if verb in _OF_ONE else {}
    return {"index": number, **known, **told, "error": code, "details": details}


def _done(verb: str, id: int) -> dict[str, Any]:
    status = {"update": "Updated", "delete": "Deleted", "scrub": "Deleted"}[verb]
    return {"action": "delete" if verb == "scrub" else verb, "id": id, "status": status, "success": True}


def _create_ticket(tickets: TicketWriter, item: _Item) -> dict[str, Any]:
    return {"id": tickets.create(NEW_TICKET.parse(bytes(item.values))).draft.id}


def _import_ticket(tickets: TicketWriter, item: _Item) -> dict[str, Any]:
    return {"id": tickets.import_ticket(IMPORTED_TICKET.parse(bytes(item.values))).draft.id}


def _update_ticket(tickets: TicketWriter, item: _Item) -> dict[str, Any]:
    tickets.update(item.id, TICKET_CHANGE.parse(bytes(item.values)))
    return _done("update", item.id)


def _delete_ticket(tickets: TicketWriter, item: _Item) -> dict[str, Any]:
    tickets.delete(item.id)
    return _done("delete", item.id)


def _scrub_ticket(tickets: TicketWriter, item: _Item) -> dict[str, Any]:
    tickets.scrub(item.id)
    return _done("scrub", item.id)


def _merge(write: WriteTransaction, account: str, actor: Identity, item: bytes) -> dict[str, Any]:
    try:
        asked = _MERGE.decode(item)
    except msgspec.ValidationError as error:
        raise RecordInvalid(ids=(str(error), "InvalidValue")) from None
    told = asked.target_comment or "", asked.source_comment or ""
    TicketWriter(write, account, actor).merge(asked.id, asked.ids, *told)
    return {"action": "merge", "id": asked.id, "status": "Merged", "success": True}


def _create_record(records: RecordWriter, item: _Item) -> dict[str, Any]:
    return {"id": records.create(bytes(item.values)).id, "status": "Created"}


def _create_or_update_record(records: RecordWriter, item: _Item) -> dict[str, Any]:
    draft, is_new = records.create_or_update(bytes(item.values))
    return {"id": draft.id, "status": "Created" if is_new else "Updated"}


def _update_record(records: RecordWriter, item: _Item) -> dict[str, Any]:
    id = _id_of(records, item)
    records.update(id, bytes(item.values))
    return _done("update", id)


def _delete_record(records: RecordWriter, item: _Item) -> dict[str, Any]:
    id = _id_of(records, item)
    records.delete(id)
    return _done("delete", id)


def _id_of(records: RecordWriter, item: _Item) -> int:
    return item.id if item.external_id is None else records.id_of(item.external_id)


_TICKETS: dict[str, Callable[[TicketWriter, _Item], dict[str, Any]]] = {
    "create": _create_ticket,
    "import": _import_ticket,
    "update": _update_ticket,
    "delete": _delete_ticket,
    "scrub": _scrub_ticket,
}
_RECORDS: dict[str, Callable[[RecordWriter, _Item], dict[str, Any]]] = {
    "create": _create_record,
    "create_or_update": _create_or_update_record,
    "update": _update_record,
    "delete": _delete_record,
}
