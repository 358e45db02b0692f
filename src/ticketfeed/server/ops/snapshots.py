"""`/_ticketfeed/snapshots`: an account saved, rewound and forked by an admin of the account, on test servers."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.data.saved_accounts import delete_saved_account, fork_account, rewind_account, save_account
from ticketfeed.protocol.errors import InvalidValue, OperatorError, SnapshotsOff
from ticketfeed.protocol.records import wire_second
from ticketfeed.server.api.admin_calls import admit_admin, read_json
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.ops.clock_follower import FOLLOW_SECONDS

__all__ = ["SNAPSHOT_ROUTES"]

_ENDPOINT = "/_ticketfeed/snapshots"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """`account`: of a fork. `with_consumers`: of a rewind."""

    do: Literal["save", "rewind", "fork"]
    name: str
    account: str | None = None
    with_consumers: bool | None = None


async def _show(request: Request) -> Response:
    return await _answer(await admit_admin(request, _ENDPOINT, "read"))


async def _do(request: Request) -> Response:
    call = _refuse_elsewhere(await admit_admin(request, _ENDPOINT, "write"))
    body: _Body = await read_json(request, _Body)
    if (body.account is not None) is not (body.do == "fork"):
        raise InvalidValue("account is the name of the account to be made by a fork, and of nothing else")
    if body.with_consumers is not None and body.do != "rewind":
        raise InvalidValue("with_consumers is for a rewind")
    await _run(call, _work(call, body))
    return await _answer(call)


async def _delete(request: Request) -> Response:
    call = _refuse_elsewhere(await admit_admin(request, _ENDPOINT, "write", "name"))
    name = call.query.get("name")
    if name is None:
        raise InvalidValue("name must be that of a snapshot")
    await _run(call, delete_saved_account(call.service.store, call.account, name))
    return await _answer(call)


def _refuse_elsewhere(call: ApiCall) -> ApiCall:
    if not call.service.settings.test_clock:
        raise SnapshotsOff
    return call


async def _work(call: ApiCall, body: _Body) -> None:
    store, account = call.service.store, call.account
    if body.do == "save":
        await save_account(store, account, body.name)
    elif body.do == "rewind":
        await rewind_account(store, account, body.name, with_consumers=bool(body.with_consumers))
    else:
        await fork_account(store, account, body.name, body.account or "")


async def _run(call: ApiCall, work: Awaitable[None]) -> None:
    """Run it while no process has anything buffered. The clocks are followed when it returns."""
    service = call.service
    try:
        await service.usage_tracker.flush_all(service.settings.workers)
        await service.usage_tracker.flush_token_uses()
        await work
    except OperatorError as error:
        raise InvalidValue(str(error)) from None
    await service.clock_follower.follow()
    if service.settings.workers > 1:
        await asyncio.sleep(2 * FOLLOW_SECONDS)


async def _answer(call: ApiCall) -> Response:
    known = await call.service.store.list_saved(call.account)
    listed = [{"name": each.name, "saved_at": wire_second(each.saved_at), "tickets": each.tickets} for each in known]
    return JSONResponse({"account": call.account.subdomain, "snapshots": listed}, headers={"cache-control": "no-store"})


SNAPSHOT_ROUTES = [
    Route(_ENDPOINT, _show, methods=["GET"]),
    Route(_ENDPOINT, _do, methods=["POST"]),
    Route(_ENDPOINT, _delete, methods=["DELETE"]),
]
