"""What belongs to a user or an organization: memberships, organizations, groups, tickets, and their counts."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.record_lists import read_matching, row_batches, ticket_batches
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.model import INT64_MAX, Owner, Slice, TicketList
from ticketfeed.protocol.paging import is_cut
from ticketfeed.protocol.record_input import parse_new_record
from ticketfeed.protocol.record_list import parse_record_list
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS
from ticketfeed.protocol.record_types import OrganizationMembershipInput
from ticketfeed.protocol.records import is_deleted
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.search_index import encode_term
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.lists import list_response, record_list_response, with_organization_names
from ticketfeed.server.api.parameters import (
    LIST_ORDER,
    LIST_PAGES,
    LIST_REFUSED,
    OF_TICKETS,
    RECORD_INCLUDES_REFUSED,
    RECORD_PARAMETERS,
    TICKET_LIST,
    TICKET_LIST_REFUSED,
)
from ticketfeed.server.api.requests import read_envelope
from ticketfeed.server.api.tickets import ticket_list_response
from ticketfeed.server.responses import body_response, written_response
from ticketfeed.storage.batches import all_rows, list_batches, ordered_batches, read_batches
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.memberships import Memberships
from ticketfeed.writing.records import RecordWriter

__all__ = ["RELATED_ROUTES", "find_organization", "find_user"]

T = TypeVar("T")
_KIND = "organization_memberships"
# More than anybody has.
_MEMBERSHIPS_MAX = 10_000


class _Membership(msgspec.Struct):
    user_id: int | None = None
    organization_id: int | None = None
    group_id: int | None = None


class _Copied(msgspec.Struct):
    collaborator_ids: list[int] = []


_MEMBERSHIP = StoredDecoder(_Membership)
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_COPIED = StoredDecoder(_Copied)


async def find_user(call: ApiCall, id: int) -> bytes:
    """The body of a user, an inactive one too. Raises RecordNotFound."""
    rows = await call.service.store.read_records(call.account, "users", [id])
    if not rows:
        raise RecordNotFound
    return rows[0].body


async def find_organization(call: ApiCall, id: int) -> bytes:
    """The body of an organization that is not deleted. Raises RecordNotFound."""
    rows = await call.service.store.read_records(call.account, "organizations", [id])
    if not rows or is_deleted("organizations", rows[0].body):
        raise RecordNotFound
    return rows[0].body


async def _user(request: Request, call: ApiCall) -> Owner:
    await find_user(call, path_id(request, "user_id"))
    return Owner("user_id", path_id(request, "user_id"))


async def _organization(request: Request, call: ApiCall) -> Owner:
    await find_organization(call, path_id(request, "organization_id"))
    return Owner("organization_id", path_id(request, "organization_id"))


def _owned(kind: str, find_owner: Callable[[Request, ApiCall], Awaitable[Owner]]) -> Handler:
    """The records of a kind that belong to the owner in the path."""

    async def list_owned(request: Request, call: ApiCall) -> Response:
        owner, list_request = await find_owner(request, call), parse_list_request(call.query)
        store = call.service.store
        batches = list_batches(partial(store.list_records, call.account, kind, owner=owner), list_request.part)
        count = await store.count_records(call.account, kind, owner) if list_request.number is not None else None
        return await record_list_response(request, call, kind, list_request, batches, count)

    return list_owned


def _joined(kind: str, memberships: str, key: str) -> Handler:
    """The organizations or groups that the user in the path is a member of."""

    async def list_joined(request: Request, call: ApiCall) -> Response:
        owner, list_request = await _user(request, call), parse_list_request(call.query)
        store = call.service.store
        read = partial(store.list_records, call.account, memberships, owner=owner)
        members = await all_rows(list_batches(read, Slice(_MEMBERSHIPS_MAX)))
        ids = [getattr(_MEMBERSHIP.decode(row.body), key) for row in members]
        joined = read_batches(partial(store.read_records, call.account, kind), [id for id in ids if id is not None])
        rows = [
            ListRow(row.id, row.id, b"") async for found in joined for row in found if not is_deleted(kind, row.body)
        ]
        batches = row_batches(store, call.account, kind, slice_rows(rows, list_request.part))
        return await record_list_response(request, call, kind, list_request, batches, len(rows))

    return list_joined


async def _list_members(request: Request, call: ApiCall) -> Response:
    """The members of an organization, in the order of their memberships; only some of them, if asked for."""
    owner, list_request = await _organization(request, call), parse_list_request(call.query)
    store, members = call.service.store, parse_record_list("users", call.query)
    part = Slice(_MEMBERSHIPS_MAX) if members.checks else list_request.part
    rows = await all_rows(list_batches(partial(store.list_records, call.account, _KIND, owner=owner), part))
    count = await store.count_records(call.account, _KIND, owner) if list_request.number is not None else None
    if members.checks:
        ids = {row.id async for users in _members(call, rows) for row in users if members.holds(row.body)}
        rows, count = slice_rows([row for row in rows if row.id in ids], list_request.part), len(ids)
    return await record_list_response(request, call, "users", list_request, _members(call, rows), count)


async def _members(call: ApiCall, memberships: Sequence[ListRow]) -> AsyncIterator[Sequence[ListRow]]:
    """The users of memberships, each in the place of its membership."""

    async def read(part: Sequence[ListRow]) -> dict[ListRow, bytes] | None:
        ids = {row: _MEMBERSHIP.decode(row.body).user_id or 0 for row in part}
        users = await call.service.store.read_records(call.account, "users", list(ids.values()))
        bodies = {user.id: user.body for user in users}
        return None if is_cut(users) else {row: bodies[id] for row, id in ids.items() if id in bodies}

    async for batch in ordered_batches(read, memberships):
        yield [row._replace(body=body) for row, body in batch]


async def _show_membership(request: Request, call: ApiCall) -> Response:
    id = path_id(request)
    rows = await call.service.store.read_records(call.account, _KIND, [id])
    if (
        not rows
        or is_deleted(_KIND, rows[0].body)
        or _MEMBERSHIP.decode(rows[0].body).user_id != path_id(request, "user_id")
    ):
        raise RecordNotFound
    (shown,) = await with_organization_names(call, [rows[0].body])
    return body_response(request, b'{"organization_membership":%s}' % shown)


async def _add_membership(request: Request, call: ApiCall) -> Response:
    user_id = path_id(request, "user_id")
    sent = decode_input(_OBJECT, await read_envelope(request, "organization_membership"))
    data = msgspec.json.encode({**sent, "user_id": user_id})
    membership = parse_new_record(_KIND, data)
    account, identity = call.account.subdomain, call.identity
    draft = await call.service.store.write(
        call.account, lambda write: RecordWriter(write, account, identity, _KIND).create(membership)
    )
    base = call.address(request).partition("/api/v2/")[0]
    location = f"{base}/api/v2/{_KIND}/{draft.id}.json"
    return written_response(request, 201, b'{"organization_membership":%s}' % draft.body, location)


def _make_default(name: str) -> Handler:
    """Make a membership, by its id or its organization's, the default one; the answer has all of the user."""

    async def make_default(request: Request, call: ApiCall) -> Response:
        user_id, key = path_id(request, "user_id"), {name: path_id(request, name)}
        await _write(call, lambda memberships: memberships.make_default(user_id, **key))
        return await _owned(_KIND, _user)(request, call)

    return make_default


def _remove(name: str) -> Handler:
    """Remove a membership, by its id or its organization's."""

    async def remove(request: Request, call: ApiCall) -> Response:
        user_id, key = path_id(request, "user_id"), {name: path_id(request, name)}
        account, identity = call.account.subdomain, call.identity

        def work(write: WriteTransaction) -> None:
            id = Memberships(write, account).id_of(user_id, **key)
            RecordWriter(write, account, identity, _KIND).delete(id)

        await call.service.store.write(call.account, work)
        return written_response(request, 204, b"")

    return remove


async def _write(call: ApiCall, work: Callable[[Memberships], T]) -> T:
    account = call.account.subdomain
    return await call.service.store.write(call.account, lambda write: work(Memberships(write, account)))


def _of(key: str, id: int) -> TicketList:
    return TicketList(term=encode_term(key, str(id)))


def _tickets_of_user(key: str) -> Handler:
    async def list_tickets_of_user(request: Request, call: ApiCall) -> Response:
        owner = await _user(request, call)
        return await ticket_list_response(request, call, _of(key, owner.id))

    return list_tickets_of_user


async def _list_copied_tickets(request: Request, call: ApiCall) -> Response:
    owner, list_request = await _user(request, call), parse_list_request(call.query)
    rows = await _copied(call, owner.id)
    batches = row_batches(call.service.store, call.account, "tickets", slice_rows(rows, list_request.part))
    return await list_response(request, call, "tickets", list_request, batches, len(rows))


async def _copied(call: ApiCall, user_id: int) -> list[ListRow]:
    """The tickets that a user is copied on, without their bodies. The term is that of email copies, too."""
    copied = ticket_batches(call.service.store, call.account, _of("cc", user_id), Slice(INT64_MAX))
    return await read_matching(copied, lambda body: user_id in _COPIED.decode(body).collaborator_ids)


async def _list_tickets_of_organization(request: Request, call: ApiCall) -> Response:
    owner = await _organization(request, call)
    return await ticket_list_response(request, call, _of("organization", owner.id))


async def _relate_user(request: Request, call: ApiCall) -> Response:
    owner, store = await _user(request, call), call.service.store
    related = {
        "assigned_tickets": await store.count_tickets(call.account, _of("assignee", owner.id)),
        "requested_tickets": await store.count_tickets(call.account, _of("requester", owner.id)),
        "ccd_tickets": len(await _copied(call, owner.id)),
        "topics": 0,
        "topic_comments": 0,
        "votes": 0,
        "subscriptions": 0,
        "entry_subscriptions": 0,
        "forum_subscriptions": 0,
        "organization_subscriptions": 0,
    }
    return body_response(request, msgspec.json.encode({"user_related": related}))


async def _relate_organization(request: Request, call: ApiCall) -> Response:
    owner, store = await _organization(request, call), call.service.store
    related = {
        "users_count": await store.count_records(call.account, _KIND, owner),
        "tickets_count": await store.count_tickets(call.account, _of("organization", owner.id)),
    }
    return body_response(request, msgspec.json.encode({"organization_related": related}))


_route = partial(ApiRoute, tag="Records")
_list_tickets = partial(
    ApiRoute,
    "GET",
    tag="Tickets",
    parameters=TICKET_LIST,
    includes=OF_TICKETS,
    refused=TICKET_LIST_REFUSED,
    answer={"tickets": "array"},
)
_MANY, _ONE = {_KIND: "array"}, {"organization_membership": "object"}
_USER, _ORGANIZATION = "/users/{user_id:int}", "/organizations/{organization_id:int}"


def _list(path: str, handler: Handler, kind: str, summary: str, *filters: str) -> ApiRoute:
    includes, refused = tuple(RECORD_SIDELOADS.get(kind, ())), RECORD_INCLUDES_REFUSED.get(kind, ())
    include = ("include",) if includes or refused else ()
    return _route(
        "GET",
        path,
        handler,
        summary=summary,
        parameters=(*LIST_PAGES, *filters, *include),
        includes=includes,
        refused=(*refused, *LIST_REFUSED),
        answer={kind: "array"},
    )


RELATED_ROUTES = [
    _list(f"{_USER}/{_KIND}", _owned(_KIND, _user), _KIND, "List the memberships of a user"),
    _list(
        f"{_ORGANIZATION}/{_KIND}",
        _owned(_KIND, _organization),
        _KIND,
        "List the memberships of an organization",
    ),
    _route(
        "GET",
        f"{_USER}/{_KIND}/{{id:int}}",
        _show_membership,
        summary="Show a membership of a user",
        answer=_ONE,
    ),
    _route(
        "POST",
        f"{_USER}/{_KIND}",
        _add_membership,
        summary="Add a user to an organization",
        body={"organization_membership": OrganizationMembershipInput},
        answer=_ONE,
        statuses=(201,),
    ),
    _route(
        "DELETE",
        f"{_USER}/{_KIND}/{{id:int}}",
        _remove("id"),
        summary="Remove a membership of a user",
        statuses=(204,),
    ),
    _route(
        "PUT",
        f"{_USER}/{_KIND}/{{id:int}}/make_default",
        _make_default("id"),
        summary="Make a membership the default one",
        answer=_MANY,
    ),
    _route(
        "PUT",
        f"{_USER}/organizations/{{organization_id:int}}/make_default",
        _make_default("organization_id"),
        summary="Make an organization the default one of a user",
        answer=_MANY,
    ),
    _route(
        "DELETE",
        f"{_USER}/organizations/{{organization_id:int}}",
        _remove("organization_id"),
        summary="Remove a user from an organization",
        statuses=(204,),
    ),
    _list(
        f"{_USER}/group_memberships",
        _owned("group_memberships", _user),
        "group_memberships",
        "List the group memberships of a user",
    ),
    _list(
        f"{_USER}/organizations",
        _joined("organizations", _KIND, "organization_id"),
        "organizations",
        "List the organizations of a user",
    ),
    _list(
        f"{_USER}/groups",
        _joined("groups", "group_memberships", "group_id"),
        "groups",
        "List the groups of a user",
    ),
    _route(
        "GET",
        f"{_USER}/related",
        _relate_user,
        summary="Count what belongs to a user",
        answer={"user_related": "object"},
    ),
    _list_tickets(
        f"{_USER}/tickets/requested",
        _tickets_of_user("requester"),
        summary="List the tickets that a user requested",
    ),
    _list_tickets(
        f"{_USER}/tickets/assigned",
        _tickets_of_user("assignee"),
        summary="List the tickets that are assigned to a user",
    ),
    ApiRoute(
        "GET",
        f"{_USER}/tickets/ccd",
        _list_copied_tickets,
        "Tickets",
        "List the tickets that a user is copied on",
        parameters=LIST_PAGES,
        refused=(*LIST_ORDER, "include", *LIST_REFUSED),
        answer={"tickets": "array"},
    ),
    _route(
        "GET",
        f"{_ORGANIZATION}/related",
        _relate_organization,
        summary="Count what belongs to an organization",
        answer={"organization_related": "object"},
    ),
    _list(
        f"{_ORGANIZATION}/users",
        _list_members,
        "users",
        "List the members of an organization",
        *RECORD_PARAMETERS["users"],
    ),
    _list_tickets(
        f"{_ORGANIZATION}/tickets", _list_tickets_of_organization, summary="List the tickets of an organization"
    ),
]
