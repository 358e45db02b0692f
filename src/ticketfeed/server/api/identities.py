"""The identities of a user: email addresses, telephone numbers and others, listed and written."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.identities import identities_of
from ticketfeed.protocol.list_request import parse_list_request, slice_rows
from ticketfeed.protocol.model import Owner, Slice
from ticketfeed.protocol.record_input import parse_new_record, parse_record_change
from ticketfeed.protocol.record_types import IdentityInput
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import ListRow
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.lists import count_response, list_response, read_rows
from ticketfeed.server.api.parameters import LIST_PAGES, LIST_REFUSED
from ticketfeed.server.api.related import find_user
from ticketfeed.server.api.requests import read_envelope
from ticketfeed.server.responses import body_response, written_response
from ticketfeed.storage.batches import all_rows, list_batches
from ticketfeed.writing.identities import IdentityWriter

__all__ = ["IDENTITY_ROUTES"]

T = TypeVar("T")
# More than any user has.
_IDENTITIES_MAX = 1000
_PATH = "/users/{user_id:int}/identities"


async def _rows(request: Request, call: ApiCall) -> list[ListRow]:
    user_id = path_id(request, "user_id")
    user = await find_user(call, user_id)
    owner = Owner("user_id", user_id)
    read = partial(call.service.store.list_records, call.account, "identities", owner=owner)
    stored = await all_rows(list_batches(read, Slice(_IDENTITIES_MAX)))
    shown = identities_of(user, [row.body for row in stored], call.account.subdomain)
    return [ListRow(id, id, body) for id, body in shown]


async def _list(request: Request, call: ApiCall) -> Response:
    rows = await _rows(request, call)
    list_request = parse_list_request(call.query)
    page = read_rows(slice_rows(rows, list_request.part))
    return await list_response(request, call, "identities", list_request, page, len(rows))


async def _count(request: Request, call: ApiCall) -> Response:
    return count_response(request, call, len(await _rows(request, call)))


async def _show(request: Request, call: ApiCall) -> Response:
    id = path_id(request)
    for row in await _rows(request, call):
        if row.id == id:
            return body_response(request, b'{"identity":%s}' % row.body)
    raise RecordNotFound


async def _create(request: Request, call: ApiCall) -> Response:
    identity = parse_new_record("identities", await read_envelope(request, "identity"))
    draft = await _write(request, call, lambda identities: identities.create(identity))
    location = f"{call.address(request).removesuffix('.json')}/{draft.id}.json"
    return written_response(request, 201, b'{"identity":%s}' % draft.body, location)


async def _update(request: Request, call: ApiCall) -> Response:
    id, change = path_id(request), parse_record_change("identities", await read_envelope(request, "identity"))
    return _answer(request, await _write(request, call, lambda identities: identities.update(id, change)))


async def _verify(request: Request, call: ApiCall) -> Response:
    id = path_id(request)
    return _answer(request, await _write(request, call, lambda identities: identities.verify(id)))


async def _make_primary(request: Request, call: ApiCall) -> Response:
    """The answer is the list of all identities."""
    id = path_id(request)
    await _write(request, call, lambda identities: identities.make_primary(id))
    return await _list(request, call)


async def _request_verification(request: Request, call: ApiCall) -> Response:
    id = path_id(request)
    await _write(request, call, lambda identities: identities.request_verification(id))
    return written_response(request, 200, b"{}")


async def _delete(request: Request, call: ApiCall) -> Response:
    id = path_id(request)
    await _write(request, call, lambda identities: identities.delete(id))
    return written_response(request, 204, b"")


async def _write(request: Request, call: ApiCall, work: Callable[[IdentityWriter], T]) -> T:
    user_id, account = path_id(request, "user_id"), call.account.subdomain
    return await call.service.store.write(call.account, lambda write: work(IdentityWriter(write, account, user_id)))


def _answer(request: Request, draft: RecordDraft) -> Response:
    return written_response(request, 200, b'{"identity":%s}' % draft.body)


_route = partial(ApiRoute, tag="Records")
_ONE, _ALL, _BODY = {"identity": "object"}, {"identities": "array"}, {"identity": IdentityInput}


def _put(verb: str, handler: Handler, summary: str, answer: dict[str, str]) -> ApiRoute:
    return _route("PUT", f"{_PATH}/{{id:int}}/{verb}", handler, summary=summary, answer=answer)


IDENTITY_ROUTES = [
    _route(
        "GET",
        _PATH,
        _list,
        summary="List the identities of a user",
        parameters=LIST_PAGES,
        refused=LIST_REFUSED,
        answer=_ALL,
    ),
    _route("GET", f"{_PATH}/count", _count, summary="Count the identities of a user", answer={"count": "object"}),
    _route("GET", f"{_PATH}/{{id:int}}", _show, summary="Show identity", answer=_ONE),
    _route("POST", _PATH, _create, summary="Create identity", body=_BODY, answer=_ONE, statuses=(201,)),
    _route("PUT", f"{_PATH}/{{id:int}}", _update, summary="Update identity", body=_BODY, answer=_ONE),
    _put("make_primary", _make_primary, "Make an identity the primary one", _ALL),
    _put("verify", _verify, "Mark an identity as verified", _ONE),
    _put("request_verification", _request_verification, "Ask a user to verify an identity; nothing is sent", {}),
    _route("DELETE", f"{_PATH}/{{id:int}}", _delete, summary="Delete identity", statuses=(204,)),
]
