"""What those ask who run the server: is it alive, is it ready, what has it done.

Alive and ready say nothing that needs credentials. Metrics are told to the holder of the metrics token, of all
accounts; or to an admin, of the own account alone.
"""

import asyncio
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.data.status import FeedStatus, read_status
from ticketfeed.protocol.errors import RoleTooLow, StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.server.api.call import Service, admit
from ticketfeed.server.request_context import request_context

__all__ = ["OPERATING_ROUTES"]

# Whoever asks gives up soon after.
READY_SECONDS_MAX = 5.0
_NO_STORE = {"cache-control": "no-store"}


async def _health(_request: Request) -> Response:
    """The process answers. Nothing else is asked, so that no trouble of the store gets it killed."""
    return JSONResponse({"status": "alive"}, headers=_NO_STORE)


async def _ready(request: Request) -> Response:
    """It can serve now: the store can be read, by a replica if need be, and has the schema that this release knows."""
    store = request.app.state.service.store
    checks = {"store": "ok", "migrations": "ok"}
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            await store.list_accounts()
    except (StoreError, StoreUnavailable, TimeoutError):  # the log says why; whoever asks here may be anybody
        return JSONResponse({"status": "unready", "checks": {"store": "cannot be read"}}, 503, headers=_NO_STORE)
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            faults = await store.inspect(lambda snapshot: list(snapshot.migration_faults()))
        is_ready = not faults
        checks["migrations"] = "; ".join(faults) or "ok"
    except (StoreError, StoreUnavailable, TimeoutError):  # the primary is away: reads go on
        is_ready, checks["store"], checks["migrations"] = True, "can only be read", "unknown"
    body = {"status": "ready" if is_ready else "unready", "checks": checks}
    return JSONResponse(body, 200 if is_ready else 503, headers=_NO_STORE)


async def _metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    token = service.settings.metrics_token
    _, _, given = request.headers.get("authorization", "").partition(" ")
    account = None
    if token is None or not compare_digest(given.strip().encode(), token.encode()):
        call = await admit(request)
        if call.identity.role != "admin":
            raise RoleTooLow
        account = call.account
    request_context(request.scope).account = None  # who scrapes is no news to the account
    if service.metrics is None:
        missing = "metrics need prometheus-client: pip install 'ticketfeed[metrics]'\n"
        return Response(missing, 501, media_type="text/plain", headers=_NO_STORE)
    text, content_type = service.metrics.text(await _survey(service, account), account.subdomain if account else None)
    return Response(text, headers={**_NO_STORE, "content-type": content_type})


async def _survey(service: Service, only: Account | None) -> list[FeedStatus] | None:
    """Of all accounts, or of one; None while the store cannot be read, which must not hide what was counted."""
    now, settle = service.clock(), service.settings.settle_seconds
    try:
        accounts = [only] if only else await service.store.list_accounts()
        return [await read_status(service.store, each, now=now, settle_seconds=settle) for each in accounts]
    except (StoreError, StoreUnavailable):
        return None


OPERATING_ROUTES = [
    Route("/_ticketfeed/health", _health, methods=["GET"]),
    Route("/_ticketfeed/ready", _ready, methods=["GET"]),
    Route("/_ticketfeed/metrics", _metrics, methods=["GET"]),
]
