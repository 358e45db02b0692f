"""Tickets as their requesters see them: `/requests`, without what is for agents alone."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.record_lists import ticket_batches
from ticketfeed.protocol.audit_views import comments_of
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.model import TicketList
from ticketfeed.protocol.rows import LinkedTicketRow, ListRow
from ticketfeed.protocol.search_index import encode_term
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.call import ApiCall, ApiRoute
from ticketfeed.server.api.lists import list_response
from ticketfeed.server.api.parameters import LIST_ORDER, LIST_PAGES, LIST_REFUSED
from ticketfeed.server.api.tickets import find_ticket, read_comments
from ticketfeed.server.responses import body_response

__all__ = ["REQUEST_ROUTES"]

# The keys of a ticket that its request has, too, in the order of the wire.
_KEYS = (
    "id",
    "status",
    "priority",
    "type",
    "subject",
    "description",
    "organization_id",
    "via",
    "custom_fields",
    "requester_id",
    "collaborator_ids",
    "email_cc_ids",
    "is_public",
    "due_at",
    "recipient",
    "followup_source_id",
    "assignee_id",
    "group_id",
    "ticket_form_id",
    "custom_status_id",
    "created_at",
    "updated_at",
    "fields",
)
_AGENTS = ("agent", "admin")


async def _list_requests(request: Request, call: ApiCall) -> Response:
    """The tickets that the caller requested."""
    list_request = parse_list_request(call.query, orders=("id", "updated_at", "status"))
    user_id, store = call.identity.user_id, call.service.store
    tickets = TicketList(term=encode_term("requester", str(user_id)))
    batches = ticket_batches(store, call.account, tickets, list_request.part)
    count = await store.count_tickets(call.account, tickets) if list_request.number is not None else None

    async def show(rows: Sequence[ListRow]) -> list[bytes]:
        return [_request_of(call, row.body) for row in rows]

    return await list_response(request, call, "requests", list_request, batches, count, show)


async def _show_request(request: Request, call: ApiCall) -> Response:
    row = await _find(request, call)
    return body_response(request, b'{"request":%s}' % _request_of(call, row.body))


async def _list_comments(request: Request, call: ApiCall) -> Response:
    """The public comments of one request, oldest first."""
    row, list_request = await _find(request, call), parse_list_request(call.query)
    batches, count = await read_comments(call, row.id, list_request.part, _public_comments)
    return await list_response(request, call, "comments", list_request, batches, count)


class _Ticket(msgspec.Struct):
    requester_id: int | None = None
    collaborator_ids: list[int] = []


_TICKET = StoredDecoder(_Ticket)


class _Comment(msgspec.Struct):
    public: Any = True


_COMMENT = StoredDecoder(_Comment)


async def _find(request: Request, call: ApiCall) -> LinkedTicketRow:
    """The ticket in the path, if the caller requested it, is copied on it, or is an agent. Raises RecordNotFound."""
    row = await find_ticket(request, call)
    ticket, user_id = _TICKET.decode(row.body), call.identity.user_id
    if call.identity.role not in _AGENTS and user_id not in (ticket.requester_id, *ticket.collaborator_ids):
        raise RecordNotFound
    return row


def _public_comments(audits: Iterable[bytes]) -> list[ListRow]:
    return [row for row in comments_of(audits) if _COMMENT.decode(row.body).public is not False]


def _request_of(call: ApiCall, ticket: bytes) -> bytes:
    values = msgspec.json.decode(ticket, type=dict[str, msgspec.Raw])
    url = f"https://{call.account.subdomain}.zendesk.com/api/v2/requests/{bytes(values['id']).decode()}.json"
    kept: dict[str, Any] = {"url": url, **{key: values.get(key) for key in _KEYS}}
    is_solved = bytes(values["status"]) in (b'"solved"', b'"closed"')
    kept["can_be_solved_by_me"] = not is_solved and values.get("assignee_id") not in (None, b"null")
    kept["solved"] = is_solved
    return msgspec.json.encode(kept)


_read = partial(ApiRoute, "GET", tag="Tickets", role="end-user")

REQUEST_ROUTES = [
    _read(
        "/requests",
        _list_requests,
        summary="List the tickets that the caller requested",
        parameters=(*LIST_PAGES, *LIST_ORDER),
        refused=("status", "include", *LIST_REFUSED),
        answer={"requests": "array"},
    ),
    _read("/requests/{id:int}", _show_request, summary="Show request", answer={"request": "object"}),
    _read(
        "/requests/{id:int}/comments",
        _list_comments,
        summary="List the public comments of a request",
        parameters=LIST_PAGES,
        refused=("since", "role", "include", *LIST_REFUSED),
        answer={"comments": "array"},
    ),
]
