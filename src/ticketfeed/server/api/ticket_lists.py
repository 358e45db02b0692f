"""Lists beside a ticket (people, incidents, counts), and lists of tickets and settings made by one condition."""

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.record_lists import read_matching, row_batches
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.locales import LOCALES
from ticketfeed.protocol.model import INT64_MAX, Owner, Slice, TicketList
from ticketfeed.protocol.record_sideloads import find_ids
from ticketfeed.protocol.records import is_deleted
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.search_index import encode_term
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.lists import count_response, list_response, read_rows
from ticketfeed.server.api.parameters import (
    LIST_ORDER,
    LIST_PAGES,
    LIST_REFUSED,
    OF_TICKETS,
    TICKET_LIST,
    TICKET_LIST_REFUSED,
)
from ticketfeed.server.api.tickets import find_ticket, read_audits, ticket_list_response
from ticketfeed.server.responses import body_response
from ticketfeed.storage.batches import list_batches, read_batches

__all__ = ["TICKET_LIST_ROUTES"]

# As on the wire.
_RECENT_MAX = 100


async def _show_audit(request: Request, call: ApiCall) -> Response:
    ticket = await find_ticket(request, call)
    audit_id = path_id(request, "audit_id")
    async for rows in read_audits(call, ticket.id, Slice(1, after=(audit_id - 1, audit_id - 1))):
        if rows[0].id == audit_id:
            return body_response(request, b'{"audit":%s}' % rows[0].body)
    raise RecordNotFound


async def _count_audits(request: Request, call: ApiCall) -> Response:
    owner = Owner("ticket_id", (await find_ticket(request, call)).id)
    return count_response(request, call, await call.service.store.count_records(call.account, "audits", owner))


async def _count_comments(request: Request, call: ApiCall) -> Response:
    ticket = await find_ticket(request, call)
    counts = await call.service.store.count_comments(call.account, [ticket.id])
    return count_response(request, call, counts.get(ticket.id, 0))


def _people(key: str) -> Handler:
    """The users whose ids a ticket has under `key`."""

    async def list_people(request: Request, call: ApiCall) -> Response:
        ticket = await find_ticket(request, call)
        list_request = parse_list_request(call.query)
        store, ids = call.service.store, find_ids([ticket.body], (key,))
        exist = partial(store.read_records, call.account, "users")
        rows = [ListRow(user.id, user.id, b"") async for users in read_batches(exist, ids) for user in users]
        batches = row_batches(store, call.account, "users", slice_rows(rows, list_request.part))
        return await list_response(request, call, "users", list_request, batches, len(rows))

    return list_people


async def _list_incidents(request: Request, call: ApiCall) -> Response:
    ticket = await find_ticket(request, call)
    return await ticket_list_response(request, call, TicketList(problem_id=ticket.id))


class _Ticket(msgspec.Struct):
    url: str | None = None
    followup_ids: list[int] = []


_TICKET = StoredDecoder(_Ticket)


async def _relate_ticket(request: Request, call: ApiCall) -> Response:
    row = await find_ticket(request, call)
    ticket = _TICKET.decode(row.body)
    counts = await call.service.store.count_incidents(call.account, [row.id])
    related = {
        "url": f"{(ticket.url or '').removesuffix('.json')}/related.json",
        "topic_id": None,
        "jira_issue_ids": [],
        "followup_source_ids": ticket.followup_ids,
        "from_archive": False,
        "incidents": counts.get(row.id, 0),
        "twitter": None,
    }
    return body_response(request, msgspec.json.encode({"ticket_related": related}))


async def _list_recent(request: Request, call: ApiCall) -> Response:
    """The tickets that changed last, as nobody's views of tickets are stored."""
    list_request = parse_list_request(call.query)
    part = Slice(_RECENT_MAX, "updated_at", descending=True)
    store = call.service.store
    ids = [row.id for row in await store.list_tickets(call.account, TicketList(), part, bodies=False)]
    rows = slice_rows([ListRow(place, id, b"") for place, id in enumerate(ids)], list_request.part)
    batches = row_batches(store, call.account, "tickets", rows)
    return await list_response(request, call, "tickets", list_request, batches, len(ids))


async def _list_problems(request: Request, call: ApiCall) -> Response:
    return await ticket_list_response(request, call, TicketList(term=encode_term("ticket_type", "problem")))


class _Active(msgspec.Struct):
    active: bool | None = True


_ACTIVE = StoredDecoder(_Active)


async def _list_active_macros(request: Request, call: ApiCall) -> Response:
    list_request = parse_list_request(call.query)
    store = call.service.store
    macros = list_batches(partial(store.list_records, call.account, "macros"), Slice(INT64_MAX))
    found = await read_matching(macros, lambda body: _ACTIVE.decode(body).active is not False)
    batches = row_batches(store, call.account, "macros", slice_rows(found, list_request.part))
    return await list_response(request, call, "macros", list_request, batches, len(found))


async def _list_groups(request: Request, call: ApiCall) -> Response:
    list_request, store = parse_list_request(call.query), call.service.store
    batches = list_batches(partial(store.list_records, call.account, "groups"), list_request.part)
    count = await store.count_records(call.account, "groups") if list_request.number is not None else None
    return await list_response(request, call, "groups", list_request, batches, count)


async def _list_deleted_users(request: Request, call: ApiCall) -> Response:
    list_request, store = parse_list_request(call.query), call.service.store
    batches = list_batches(partial(store.list_records, call.account, "users", deleted=True), list_request.part)
    count = None
    if list_request.number is not None:
        count = await store.count_records(call.account, "users", deleted=True)
    return await list_response(request, call, "deleted_users", list_request, batches, count)


async def _count_deleted_users(request: Request, call: ApiCall) -> Response:
    return count_response(request, call, await call.service.store.count_records(call.account, "users", deleted=True))


async def _show_deleted_user(request: Request, call: ApiCall) -> Response:
    rows = await call.service.store.read_records(call.account, "users", [path_id(request)])
    if not rows or not is_deleted("users", rows[0].body):
        raise RecordNotFound
    return body_response(request, b'{"deleted_user":%s}' % rows[0].body)


async def _list_locales(request: Request, call: ApiCall) -> Response:
    rows = [_locale_row(call, *locale) for locale in LOCALES]
    list_request = parse_list_request(call.query)
    page = read_rows(slice_rows(rows, list_request.part))
    return await list_response(request, call, "locales", list_request, page, len(rows))


async def _show_locale(request: Request, call: ApiCall) -> Response:
    named = request.path_params["id"].removesuffix(".json")
    for locale in LOCALES:
        if named in (str(locale[0]), locale[1]):
            return body_response(request, b'{"locale":%s}' % _locale_row(call, *locale).body)
    raise RecordNotFound


def _locale_row(call: ApiCall, id: int, locale: str, name: str, native_name: str) -> ListRow:
    values = {
        "url": f"https://{call.account.subdomain}.zendesk.com/api/v2/locales/{locale}.json",
        "id": id,
        "locale": locale,
        "name": name,
        "native_name": native_name,
        "presentation_name": name if name == native_name else f"{name} - {native_name}",
        "rtl": locale == "ar",
        "created_at": "2009-07-21T00:38:17Z",
        "updated_at": "2009-07-21T00:38:17Z",
        "default": id == 1,
    }
    return ListRow(id, id, msgspec.json.encode(values))


_ticket = partial(ApiRoute, "GET", tag="Tickets")
_record = partial(ApiRoute, "GET", tag="Records")
_users = partial(_ticket, parameters=LIST_PAGES, refused=LIST_REFUSED, answer={"users": "array"})
_tickets = partial(
    _ticket, parameters=TICKET_LIST, includes=OF_TICKETS, refused=TICKET_LIST_REFUSED, answer={"tickets": "array"}
)
_MACROS_REFUSED = ("access", "category", "group_id", "include")
_COUNT = {"count": "object"}

TICKET_LIST_ROUTES = [
    _ticket(
        "/tickets/{id:int}/audits/{audit_id:int}",
        _show_audit,
        summary="Show an audit of a ticket",
        answer={"audit": "object"},
    ),
    _ticket("/tickets/{id:int}/audits/count", _count_audits, summary="Count the audits of a ticket", answer=_COUNT),
    _ticket(
        "/tickets/{id:int}/comments/count", _count_comments, summary="Count the comments of a ticket", answer=_COUNT
    ),
    _users("/tickets/{id:int}/collaborators", _people("collaborator_ids"), summary="List who is copied on a ticket"),
    _users("/tickets/{id:int}/followers", _people("follower_ids"), summary="List the followers of a ticket"),
    _users(
        "/tickets/{id:int}/email_ccs", _people("email_cc_ids"), summary="List who gets copies of emails of a ticket"
    ),
    _tickets("/tickets/{id:int}/incidents", _list_incidents, summary="List the incidents of a problem"),
    _ticket(
        "/tickets/{id:int}/related",
        _relate_ticket,
        summary="Count what belongs to a ticket",
        answer={"ticket_related": "object"},
    ),
    _ticket(
        "/tickets/recent",
        _list_recent,
        summary="List the 100 tickets that changed last",
        parameters=LIST_PAGES,
        refused=(*LIST_ORDER, "include", *LIST_REFUSED),
        answer={"tickets": "array"},
    ),
    _tickets("/problems", _list_problems, summary="List the tickets that are problems"),
    _record(
        "/groups/assignable",
        _list_groups,
        summary="List the groups that tickets can be assigned to",
        parameters=LIST_PAGES,
        refused=LIST_REFUSED,
        answer={"groups": "array"},
    ),
    _record(
        "/macros/active",
        _list_active_macros,
        summary="List active macros",
        parameters=LIST_PAGES,
        refused=(*LIST_ORDER, *_MACROS_REFUSED, *LIST_REFUSED),
        answer={"macros": "array"},
    ),
    _record(
        "/deleted_users",
        _list_deleted_users,
        summary="List deleted users",
        parameters=LIST_PAGES,
        refused=LIST_REFUSED,
        answer={"deleted_users": "array"},
    ),
    _record("/deleted_users/count", _count_deleted_users, summary="Count deleted users", answer=_COUNT),
    _record(
        "/deleted_users/{id:int}", _show_deleted_user, summary="Show deleted user", answer={"deleted_user": "object"}
    ),
    _record(
        "/locales",
        _list_locales,
        summary="List locales",
        role="end-user",
        parameters=LIST_PAGES,
        refused=LIST_REFUSED,
        answer={"locales": "array"},
    ),
    _record(
        "/locales/{id}",
        _show_locale,
        summary="Show locale by its id or code",
        role="end-user",
        answer={"locale": "object"},
    ),
]
