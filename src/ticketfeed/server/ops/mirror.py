"""`GET` and `POST /_ticketfeed/mirror`: how an account's mirror goes, and what its admin changes while it runs."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.clock import system_instant
from ticketfeed.mirror.knobs import change_settings
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.errors import InvalidValue, RecordNotFound
from ticketfeed.protocol.model import Account
from ticketfeed.server.api.admin_calls import admit_admin, read_json
from ticketfeed.server.api.call import ApiCall
from ticketfeed.storage.contract import Store

__all__ = ["MIRROR_ROUTES", "change_mirror"]

PATH = "/_ticketfeed/mirror"
REQUESTS_PER_MINUTE_MAX = 999_999_999


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    paused: bool | None = None
    requests_per_minute: int | None = None


async def _show(request: Request) -> Response:
    return await _answer(await admit_admin(request, PATH, "read"))


async def _change(request: Request) -> Response:
    call = await admit_admin(request, PATH, "write")
    change: _Change = await read_json(request, _Change)
    store, account = call.service.store, call.account
    await change_mirror(store, account, paused=change.paused, requests_per_minute=change.requests_per_minute)
    return await _answer(call)


async def change_mirror(
    store: Store, account: Account, *, paused: bool | None = None, requests_per_minute: int | None = None
) -> None:
    """Store those that are given. Raises InvalidValue, and RecordNotFound for an account that is no mirror."""
    if requests_per_minute is not None and not 0 <= requests_per_minute <= REQUESTS_PER_MINUTE_MAX:
        raise InvalidValue(f"requests_per_minute must be a whole number from 0 to {REQUESTS_PER_MINUTE_MAX:,}")
    if await store.read_mirror(account) is None:
        raise RecordNotFound
    await change_settings(store, account, is_paused=paused, requests_per_minute=requests_per_minute)


async def _answer(call: ApiCall) -> Response:
    mirror = await call.service.store.read_mirror(call.account)
    if mirror is None:
        raise RecordNotFound
    values = status_of(mirror, system_instant())
    return JSONResponse({"account": call.account.subdomain, **values}, headers={"cache-control": "no-store"})


MIRROR_ROUTES = [
    Route(PATH, _show, methods=["GET"]),
    Route(PATH, _change, methods=["POST"]),
]
