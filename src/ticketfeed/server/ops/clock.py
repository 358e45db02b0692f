"""`GET` and `POST /_ticketfeed/clock`: an account's clock, shown and moved by an admin of the account."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.protocol.moved_clock import parse_clock_move
from ticketfeed.protocol.records import wire_second
from ticketfeed.server.api.admin_calls import admit_admin, read_json
from ticketfeed.server.api.call import ApiCall

__all__ = ["CLOCK_ROUTES"]

_ENDPOINT = "/_ticketfeed/clock"


async def _show(request: Request) -> Response:
    return _answer(await admit_admin(request, _ENDPOINT, "read"))


async def _move(request: Request) -> Response:
    call = await admit_admin(request, _ENDPOINT, "write")
    move, service = parse_clock_move(await read_json(request)), call.service
    await service.clock_follower.move(call.account, move, service.clock())
    return _answer(call)


def _answer(call: ApiCall) -> Response:
    now, machine_now = call.now, call.service.clock()
    clock: dict[str, Any] = {
        "account": call.account.subdomain,
        "now": wire_second(now),
        "machine_now": wire_second(machine_now),
        "offset_seconds": now - machine_now,
        "is_frozen": call.service.store.clocks.is_frozen(call.account),
        "test_clock": call.service.settings.test_clock,
    }
    return JSONResponse(clock, headers={"cache-control": "no-store"})


CLOCK_ROUTES = [
    Route(_ENDPOINT, _show, methods=["GET"]),
    Route(_ENDPOINT, _move, methods=["POST"]),
]
