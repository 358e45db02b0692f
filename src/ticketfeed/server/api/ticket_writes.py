"""Writes of single tickets. Each request is one write, answered once that is durable."""

from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import IdempotentRequestError, InvalidValue, RecordInvalid
from ticketfeed.protocol.idempotency import IdempotentAnswer, stored_key
from ticketfeed.protocol.list_request import parse_ids
from ticketfeed.protocol.ticket_input import IMPORTED_TICKET, NEW_TICKET, TICKET_CHANGE, TicketInput
from ticketfeed.server.api.call import ApiCall, path_id
from ticketfeed.server.api.requests import read_body, read_envelope, read_input
from ticketfeed.server.responses import written_response
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.tickets import TicketWriter, WrittenTicket

__all__ = [
    "change_tags",
    "create_ticket",
    "delete_ticket",
    "import_ticket",
    "mark_as_spam",
    "restore_ticket",
    "restore_tickets",
    "update_ticket",
]

T = TypeVar("T")
_KEY_CHARS_MAX = 255
_MISS, _HIT = {"x-idempotency-lookup": "miss"}, {"x-idempotency-lookup": "hit"}
# How a method changes tags -> the key of a change that does the same, and the status of the answer.
_TAG_CHANGES = {"POST": ("tags", 201), "PUT": ("additional_tags", 200), "DELETE": ("remove_tags", 200)}


async def create_ticket(request: Request, call: ApiCall) -> Response:
    """201 with the ticket and its audit. Its generated_timestamp is 0 here; the exports have the real one."""
    key = request.headers.get("idempotency-key")
    if key is not None:
        return await _create_once(request, call, key)
    ticket = await read_input(request, NEW_TICKET)
    written = await _write(call, lambda tickets: tickets.create(ticket))
    return written_response(request, 201, _created(written), _location(request, call, written))


async def _create_once(request: Request, call: ApiCall, key: str) -> Response:
    """The same for a request with an Idempotency-Key: repeated, it has the same answer, and creates nothing."""
    body = await read_body(request)
    if not 0 < len(key) <= _KEY_CHARS_MAX:
        raise InvalidValue(f"Idempotency-Key must have 1 to {_KEY_CHARS_MAX} characters")
    own_key = stored_key(key, call.identity.user_id)
    fingerprint = sha256(b"POST /tickets\0" + body).hexdigest()
    ticket: TicketInput | RecordInvalid
    try:
        ticket = NEW_TICKET.parse_body(body)
    except RecordInvalid as error:  # raised below: that the key was used for another request comes first
        ticket = error

    def work(write: WriteTransaction) -> tuple[IdempotentAnswer, bool]:
        stored = write.find_idempotent_answer(own_key)
        if stored is not None:
            if stored.fingerprint != fingerprint:
                raise IdempotentRequestError
            return stored, True
        if isinstance(ticket, RecordInvalid):
            raise ticket
        written = TicketWriter(write, call.account.subdomain, call.identity).create(ticket)
        location = _location(request, call, written)
        answer = IdempotentAnswer(fingerprint, write.now, 201, location, _created(written))
        write.put_idempotent_answer(own_key, answer)
        return answer, False

    answer, is_repeated = await call.service.store.write(call.account, work)
    response = written_response(request, answer.status, answer.body, answer.location)
    response.headers.update(_HIT if is_repeated else _MISS)
    return response


async def import_ticket(request: Request, call: ApiCall) -> Response:
    """201 with the ticket."""
    ticket = await read_input(request, IMPORTED_TICKET)
    written = await _write(call, lambda tickets: tickets.import_ticket(ticket))
    body = b'{"ticket":%s}' % written.draft.body(0)
    return written_response(request, 201, body, _location(request, call, written))


async def update_ticket(request: Request, call: ApiCall) -> Response:
    """200 with the ticket and the audit of the change, null if nothing changed."""
    ticket_id = path_id(request)
    change = await read_input(request, TICKET_CHANGE)
    written = await _write(call, lambda tickets: tickets.update(ticket_id, change))
    return written_response(request, 200, _with_audit(written.body, written.audit))


async def delete_ticket(request: Request, call: ApiCall) -> Response:
    """204. The ticket can be restored."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.delete(ticket_id))
    return written_response(request, 204, b"")


async def restore_ticket(request: Request, call: ApiCall) -> Response:
    """200 with an empty object."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.restore(ticket_id))
    return written_response(request, 200, b"{}")


async def restore_tickets(request: Request, call: ApiCall) -> Response:
    """200 with an empty object; nothing is restored if one of the tickets cannot be."""
    ids = parse_ids(call.query)

    def restore(tickets: TicketWriter) -> None:
        for id in dict.fromkeys(ids):
            tickets.restore(id)

    await _write(call, restore)
    return written_response(request, 200, b"{}")


async def mark_as_spam(request: Request, call: ApiCall) -> Response:
    """200 with an empty object."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.mark_as_spam(ticket_id))
    return written_response(request, 200, b"{}")


async def change_tags(request: Request, call: ApiCall) -> Response:
    """Set (POST), add (PUT) or remove (DELETE) tags; the answer has the tags of the ticket after that."""
    key, status = _TAG_CHANGES[request.method]
    data, ticket_id = await read_envelope(request, "tags"), path_id(request)
    try:
        tags = msgspec.json.decode(data, type=list[str])
    except msgspec.MsgspecError:
        raise InvalidValue("tags must be an array of strings") from None
    change = TICKET_CHANGE.convert({key: tags})
    written = await _write(call, lambda tickets: tickets.update(ticket_id, change))
    return written_response(request, status, msgspec.json.encode({"tags": written.values["tags"]}))


async def _write(call: ApiCall, work: Callable[[TicketWriter], T]) -> T:
    return await call.service.store.write(
        call.account, lambda write: work(TicketWriter(write, call.account.subdomain, call.identity))
    )


def _location(request: Request, call: ApiCall, written: WrittenTicket) -> str:
    """The address of a ticket that was created at the address of the request."""
    address = call.address(request).removesuffix(".json").replace("/imports/", "/")
    return f"{address}/{written.draft.id}.json"


def _created(written: WrittenTicket) -> bytes:
    return _with_audit(written.draft.body(0), written.audit)


def _with_audit(body: bytes, audit: bytes | None) -> bytes:
    return b'{"ticket":%s,"audit":%s}' % (body, audit or b"null")
