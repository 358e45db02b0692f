"""Jobs: one item at a time, each in a write of its own that stores its result, too.

An item is parsed before its write. Several processes may do one job, so the write first makes sure that the item is
still the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw

from ticketfeed.protocol.errors import RecordInvalid, RoleTooLow, TooManyValues, WireError
from ticketfeed.protocol.jobs import JOB_ITEMS_MAX, Job
from ticketfeed.protocol.model import Identity
from ticketfeed.protocol.record_input import (
    RecordChange,
    parse_create_or_update,
    parse_new_record,
    parse_record_change,
)
from ticketfeed.protocol.record_types import UserRecord
from ticketfeed.protocol.resources import RESOURCES, Role, allows_role
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_input import IMPORTED_TICKET, NEW_TICKET, TICKET_CHANGE
from ticketfeed.storage.write_contract import JobItem, WriteTransaction
from ticketfeed.writing.records import RecordWriter
from ticketfeed.writing.tickets import TicketWriter

__all__ = ["ParsedItem", "do_item", "job_role", "next_item", "parse_item", "put_failure", "start_job"]


class _Item(msgspec.Struct):
    """The record that an item is about, by `id` or `external_id`, and the values to write."""

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
_USER = StoredDecoder(UserRecord)
Result = dict[str, Any]
# Does an item inside a write of an account, in the name of a user.
Work = Callable[[WriteTransaction, str, Identity], Result]
# The kinds whose results do not say which item they are of.
_WITHOUT_INDEX = ("users", "organizations")
# What agents may not do to tickets.
_ADMIN_VERBS = ("import", "scrub", "scrub_one")
# Verbs for a record that exists -> the status in the result.
_STATUSES = {"update": "Updated", "delete": "Deleted", "scrub": "Deleted", "mark_as_spam": "Updated"}


@dataclass(frozen=True, slots=True)
class ParsedItem:
    """An item and the work that it asks for."""

    item: JobItem
    work: Work


def start_job(write: WriteTransaction, job_id: str, actor_id: int, action: str, items: Sequence[bytes]) -> Job:
    """Store a new job. Raises TooManyValues."""
    if len(items) > JOB_ITEMS_MAX:
        raise TooManyValues(JOB_ITEMS_MAX)
    job = Job(job_id, action, actor_id, write.now, len(items))
    write.add_job(job, items)
    return job


def parse_item(item: JobItem) -> ParsedItem:
    """Raises the WireError of an item that cannot be done."""
    verb, _, kind = item.job.action.partition(" ")
    if verb == "merge":
        return ParsedItem(item, _merge(item.item))
    values = _ITEM.decode(item.item)
    return ParsedItem(item, _TICKETS[verb](values) if kind == "tickets" else _RECORDS[verb](values, kind))


def next_item(write: WriteTransaction, job_id: str) -> JobItem | None:
    """The first item without a result. None if there is no more; the job is finished then."""
    item = write.next_item(job_id)
    if item is None:
        write.finish_job(job_id)
    return item


def do_item(write: WriteTransaction, account: str, parsed: ParsedItem) -> JobItem | None:
    """Do an item and store its result, unless another process has; returns the next one.

    Raises the WireError of an item that cannot be done, RoleTooLow if its user may not do it any more.
    """
    job, number = parsed.item.job, parsed.item.number
    item = next_item(write, job.id)
    if item is None or item.number != number:
        return item
    result = parsed.work(write, account, _find_actor(write, job))
    verb, _, kind = job.action.partition(" ")
    if kind not in _WITHOUT_INDEX and verb != "scrub_one":
        result = {"index": number, **result}
    if kind == "tickets" and verb in ("create", "import"):
        result["account_id"] = write.account_id
    write.put_result(job.id, number, msgspec.json.encode(result))
    return next_item(write, job.id)


def job_role(action: str) -> Role:
    """The lowest role that may do the items of a job: that of the addresses which start it."""
    verb, _, kind = action.partition(" ")
    if kind == "tickets":
        return "admin" if verb in _ADMIN_VERBS else "agent"
    writes = RESOURCES[kind].writes
    return writes.role if writes else "admin"


def _find_actor(write: WriteTransaction, job: Job) -> Identity:
    """The user in whose name a job runs, with the rights of this moment. Raises RoleTooLow."""
    body = write.find_records("users", [job.actor_id]).get(job.actor_id)
    user = _USER.decode(body) if body else None
    if user is None or not user.active or user.suspended or not allows_role(user.role, job_role(job.action)):
        raise RoleTooLow
    return Identity(job.actor_id, "", user.role)


def put_failure(write: WriteTransaction, item: JobItem, error: WireError) -> JobItem | None:
    """Store why an item could not be done, unless another process has; returns the next one."""
    following = next_item(write, item.job.id)
    if following is None or following.number != item.number:
        return following
    write.put_result(item.job.id, item.number, msgspec.json.encode(_failure(item, error)))
    return next_item(write, item.job.id)


def _failure(item: JobItem, error: WireError) -> Result:
    verb = item.job.action.partition(" ")[0]
    id = _ITEM.decode(item.item).id if verb != "merge" else 0
    details = str(error)
    if isinstance(error, RecordInvalid):
        details = "; ".join(each[0]["description"] for each in error.details.values())
    return {
        "index": item.number,
        **({"id": id} if id else {}),
        **({"action": verb, "success": False, "status": "Failed", "errors": details} if verb in _STATUSES else {}),
        "error": type(error).__name__,
        "details": details,
    }


def _success(verb: str, id: int) -> Result:
    return {"action": "delete" if verb == "scrub" else verb, "id": id, "status": _STATUSES[verb], "success": True}


def _create_ticket(item: _Item) -> Work:
    ticket = NEW_TICKET.parse(bytes(item.values))
    return lambda write, account, actor: {"id": TicketWriter(write, account, actor).create(ticket).draft.id}


def _import_ticket(item: _Item) -> Work:
    ticket = IMPORTED_TICKET.parse(bytes(item.values))
    return lambda write, account, actor: {"id": TicketWriter(write, account, actor).import_ticket(ticket).draft.id}


def _update_ticket(item: _Item) -> Work:
    change = TICKET_CHANGE.parse(bytes(item.values))

    def update(write: WriteTransaction, account: str, actor: Identity) -> Result:
        TicketWriter(write, account, actor).update(item.id, change)
        return _success("update", item.id)

    return update


def _on_ticket(act: Callable[[TicketWriter, int], object], result: Callable[[int], Result]) -> Callable[[_Item], Work]:
    """An action that needs only the id of a ticket."""

    def parse(item: _Item) -> Work:
        def work(write: WriteTransaction, account: str, actor: Identity) -> Result:
            act(TicketWriter(write, account, actor), item.id)
            return result(item.id)

        return work

    return parse


def _merge(data: bytes) -> Work:
    try:
        merge = _MERGE.decode(data)
    except msgspec.ValidationError as error:
        raise RecordInvalid(ids=(str(error), "InvalidValue")) from None

    def work(write: WriteTransaction, account: str, actor: Identity) -> Result:
        comments = merge.target_comment or "", merge.source_comment or ""
        TicketWriter(write, account, actor).merge(merge.id, merge.ids, *comments)
        return {"action": "merge", "id": merge.id, "status": "Merged", "success": True}

    return work


def _create_record(item: _Item, kind: str) -> Work:
    record = parse_new_record(kind, bytes(item.values))

    def create(write: WriteTransaction, account: str, actor: Identity) -> Result:
        return {"id": RecordWriter(write, account, actor, kind).create(record).id, "status": "Created"}

    return create


def _create_or_update_record(item: _Item, kind: str) -> Work:
    key, record = parse_create_or_update(kind, bytes(item.values))

    def create_or_update(write: WriteTransaction, account: str, actor: Identity) -> Result:
        draft, is_new = RecordWriter(write, account, actor, kind).create_or_update(key, record)
        return {"id": draft.id, "status": "Created" if is_new else "Updated"}

    return create_or_update


def _update_record(item: _Item, kind: str) -> Work:
    change: RecordChange | RecordInvalid
    try:
        change = parse_record_change(kind, bytes(item.values))
    except RecordInvalid as error:  # raised below: that the record does not exist comes first
        change = error

    def update(write: WriteTransaction, account: str, actor: Identity) -> Result:
        records = RecordWriter(write, account, actor, kind)
        id = _id_of(records, item)
        if isinstance(change, RecordInvalid):
            records.find(id)
            raise change
        records.update(id, change)
        return _success("update", id)

    return update


def _delete_record(item: _Item, kind: str) -> Work:
    def delete(write: WriteTransaction, account: str, actor: Identity) -> Result:
        records = RecordWriter(write, account, actor, kind)
        id = _id_of(records, item)
        records.delete(id)
        return _success("delete", id)

    return delete


def _id_of(records: RecordWriter, item: _Item) -> int:
    return item.id if item.external_id is None else records.id_of(item.external_id)


_TICKETS: dict[str, Callable[[_Item], Work]] = {
    "create": _create_ticket,
    "import": _import_ticket,
    "update": _update_ticket,
    "delete": _on_ticket(TicketWriter.delete, partial(_success, "delete")),
    "scrub": _on_ticket(TicketWriter.scrub, partial(_success, "scrub")),
    "mark_as_spam": _on_ticket(TicketWriter.mark_as_spam, partial(_success, "mark_as_spam")),
    "scrub_one": _on_ticket(TicketWriter.scrub, lambda _id: {"success": True}),
}
_RECORDS: dict[str, Callable[[_Item, str], Work]] = {
    "create": _create_record,
    "create_or_update": _create_or_update_record,
    "update": _update_record,
    "delete": _delete_record,
}
