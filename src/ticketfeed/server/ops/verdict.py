"""`GET /_ticketfeed/verdict`: what the consumers of an account were given, compared with its feed, for an admin."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.data.verdict import VerdictOptions, read_verdict
from ticketfeed.protocol.errors import BadInput, InvalidValue
from ticketfeed.server.api.admin_calls import admit_admin

__all__ = ["VERDICT_ROUTES"]

_ENDPOINT = "/_ticketfeed/verdict"


async def _show(request: Request) -> Response:
    call = await admit_admin(request, _ENDPOINT, "read", "consumer")
    service = call.service
    options = VerdictOptions(call.query.get("consumer"), settle_seconds=service.settings.settle_seconds)
    await service.usage_tracker.flush_all(service.settings.workers)
    try:
        verdict = await read_verdict(service.store, call.account, now=service.clock(), options=options)
    except BadInput as error:
        raise InvalidValue(str(error)) from None
    body = msgspec.json.encode(verdict)
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})


VERDICT_ROUTES = [Route(_ENDPOINT, _show, methods=["GET"])]
