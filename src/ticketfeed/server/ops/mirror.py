"""`GET` and `POST /_ticketfeed/mirror`: how an account's mirror goes, and what its admin changes while it runs."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.clock import system_instant
from ticketfeed.mirror.knobs import change_settings
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.errors import InvalidValue, MissingScope, RecordNotFound, RoleTooLow
from ticketfeed.protocol.scopes import allows
from ticketfeed.server.api.call import ApiCall, admit, refuse_cross_site
from ticketfeed.server.api.requests import read_body
from ticketfeed.server.request_context import request_context

__all__ = ["MIRROR_ROUTES"]


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    paused: bool | None = None
    requests_per_minute: int | None = None


async def _show(request: Request) -> Response:
    return await _answer(await _admit_admin(request, "read"))


async def _change(request: Request) -> Response:
    refuse_cross_site(request)
    call = await _admit_admin(request, "write")
    try:
        change = msgspec.json.decode(await read_body(request), type=_Change)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidValue(f"the body must be JSON with paused or requests_per_minute: {error}") from None
    if change.requests_per_minute is not None and not 0 <= change.requests_per_minute < 10**9:
        raise InvalidValue("requests_per_minute must be 0 or more")
    store, account = call.service.store, call.account
    if await store.read_mirror(account) is None:
        raise RecordNotFound
    await change_settings(store, account, is_paused=change.paused, requests_per_minute=change.requests_per_minute)
    return await _answer(call)


async def _admit_admin(request: Request, scope: str) -> ApiCall:
    request_context(request.scope).endpoint = "/_ticketfeed/mirror"
    call = await admit(request)
    if call.identity.scopes is not None and not allows(call.identity.scopes, scope):
        raise MissingScope([scope])
    if call.identity.role != "admin":
        raise RoleTooLow
    return call


async def _answer(call: ApiCall) -> Response:
    mirror = await call.service.store.read_mirror(call.account)
    if mirror is None:
        raise RecordNotFound
    values = status_of(mirror, system_instant())
    return JSONResponse({"account": call.account.subdomain, **values}, headers={"cache-control": "no-store"})


MIRROR_ROUTES = [
    Route("/_ticketfeed/mirror", _show, methods=["GET"]),
    Route("/_ticketfeed/mirror", _change, methods=["POST"]),
]
