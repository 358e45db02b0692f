"""Tickets written one by one: each request is one write, and answered when that is durable."""

from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import IdempotentRequestError, InvalidValue
from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.api.lists import path_id
from ticketfeed.server.api.requests import read_body, read_envelope, take_envelope
from ticketfeed.server.responses import written_response
from ticketfeed.storage.contract import WriteTransaction
from ticketfeed.writing.tickets import Changed, TicketWriter

__all__ = [
    "change_tags",
    "create_ticket",
    "delete_ticket",
    "import_ticket",
    "mark_as_spam",
    "restore_ticket",
    "update_ticket",
]

T = TypeVar("T")
_KEY_CHARS_MAX = 255
_MISS, _HIT = {"x-idempotency-lookup": "miss"}, {"x-idempotency-lookup": "hit"}


async def create_ticket(request: Request, call: ApiCall) -> Response:
    """201, with the ticket and its audit. Its generated_timestamp is 0 here: it is told by whoever reads it."""
    body = await read_body(request)
    given = take_envelope(body, "ticket")
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _KEY_CHARS_MAX:
        raise InvalidValue(f"Idempotency-Key must have 1 to {_KEY_CHARS_MAX} characters")
    address = call.address(request).removesuffix(".json")
    fingerprint = sha256(b"POST /tickets\0" + body).hexdigest()

    def work(write: WriteTransaction) -> tuple[IdempotentAnswer, bool]:
        kept = write.find_idempotent_answer(key) if key is not None else None
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise IdempotentRequestError
            return kept, True
        changed = TicketWriter(write, call.account.subdomain, call.identity).create(given)
        location = f"{address}/{changed.draft.id}.json"
        answer = IdempotentAnswer(fingerprint, write.now, 201, location, _with_audit(changed, changed.draft.body(0)))
        if key is not None:
            write.put_idempotent_answer(key, answer)
        return answer, False

    answer, was_kept = await call.service.store.write(call.account, work)
    response = written_response(request, answer.status, answer.body, answer.location)
    if key is not None:
        response.headers.update(_HIT if was_kept else _MISS)
    return response


async def import_ticket(request: Request, call: ApiCall) -> Response:
    """201, with the ticket."""
    given = await read_envelope(request, "ticket")
    changed = await _write(call, lambda tickets: tickets.import_ticket(given))
    address = call.address(request).removesuffix(".json").replace("/imports/", "/")
    body = b'{"ticket":%s}' % changed.draft.body(0)
    return written_response(request, 201, body, f"{address}/{changed.draft.id}.json")


async def update_ticket(request: Request, call: ApiCall) -> Response:
    """200, with the ticket and the audit of the change; null where nothing has changed."""
    given, ticket_id = await read_envelope(request, "ticket"), path_id(request)
    changed = await _write(call, lambda tickets: tickets.update(ticket_id, given))
    return written_response(request, 200, _with_audit(changed, changed.body))


async def delete_ticket(request: Request, call: ApiCall) -> Response:
    """204; it can be restored."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.delete(ticket_id))
    return written_response(request, 204, b"")


async def restore_ticket(request: Request, call: ApiCall) -> Response:
    """200, with an empty object."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.restore(ticket_id))
    return written_response(request, 200, b"{}")


async def mark_as_spam(request: Request, call: ApiCall) -> Response:
    """200, with an empty object."""
    ticket_id = path_id(request)
    await _write(call, lambda tickets: tickets.mark_as_spam(ticket_id))
    return written_response(request, 200, b"{}")


async def change_tags(request: Request, call: ApiCall) -> Response:
    """POST sets the tags, PUT adds to them, DELETE takes from them; the answer holds those that the ticket has then."""
    how, status = {"POST": ("tags", 201), "PUT": ("additional_tags", 200), "DELETE": ("remove_tags", 200)}[
        request.method
    ]
    given, ticket_id = await read_envelope(request, "tags"), path_id(request)
    try:
        tags = msgspec.json.decode(given, type=list[str])
    except msgspec.MsgspecError:
        raise InvalidValue("tags must be an array of texts") from None
    found = await _write(call, lambda tickets: tickets.set_tags(ticket_id, tags, how))
    return written_response(request, status, msgspec.json.encode({"tags": found}))


async def _write(call: ApiCall, work: Callable[[TicketWriter], T]) -> T:
    return await call.service.store.write(
        call.account, lambda write: work(TicketWriter(write, call.account.subdomain, call.identity))
    )


def _with_audit(changed: Changed, body: bytes) -> bytes:
    return b'{"ticket":%s,"audit":%s}' % (body, changed.audit or b"null")
