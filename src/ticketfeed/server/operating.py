"""What those ask who run the server: is it alive, is it ready, what has it done.

Alive and ready say nothing that needs credentials. Metrics are told to the holder of the metrics token, of all
accounts; or to an admin, of the own account alone.
"""

import asyncio
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ticketfeed.protocol.errors import RoleTooLow, StoreError, StoreUnavailable
from ticketfeed.server.api import Service, admit
from ticketfeed.server.seen import seen
from ticketfeed.storage.base import Snapshot
from ticketfeed.surveying import survey

__all__ = ["OPERATING_ROUTES"]

# Whoever asks gives up soon after.
READY_SECONDS_MAX = 5.0
_NO_STORE = {"cache-control": "no-store"}


async def _health(_request: Request) -> Response:
    """The process answers. Nothing else is asked, so that no trouble of the store gets it killed."""
    return JSONResponse({"status": "alive"}, headers=_NO_STORE)


async def _ready(request: Request) -> Response:
    """It can serve now: the store is open, can be read, and has the schema that this release knows."""
    service: Service = request.app.state.service
    checks = {"store": "ok", "migrations": "ok"}

    def work(snapshot: Snapshot) -> list[str]:
        list(snapshot.accounts())
        return list(snapshot.migration_faults())

    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            faults = await service.store.inspect(work)
        if faults:
            checks["migrations"] = "; ".join(faults)
    except (StoreError, StoreUnavailable, TimeoutError):  # the log says why; whoever asks here may be anybody
        checks = {"store": "cannot be read"}
    is_ready = set(checks.values()) == {"ok"}
    body = {"status": "ready" if is_ready else "unready", "checks": checks}
    return JSONResponse(body, 200 if is_ready else 503, headers=_NO_STORE)


async def _metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    token = service.settings.metrics_token
    _, _, given = request.headers.get("authorization", "").partition(" ")
    if token is not None and compare_digest(given.strip().encode(), token.encode()):
        accounts, only = await service.store.list_accounts(), None
    else:
        call = await admit(request)
        if call.identity.role != "admin":
            raise RoleTooLow
        accounts, only = [call.account], call.account.subdomain
    seen(request.scope).account = None  # who scrapes is no news to the account
    if service.metrics is None:
        missing = "metrics need prometheus-client: pip install 'ticketfeed[metrics]'\n"
        return Response(missing, 501, media_type="text/plain", headers=_NO_STORE)
    settle = service.settings.settle_seconds
    surveys = [await survey(service.store, each, now=service.clock(), settle_seconds=settle) for each in accounts]
    text, content_type = service.metrics.text(surveys, only)
    return Response(text, headers={**_NO_STORE, "content-type": content_type})


OPERATING_ROUTES = [
    Route("/_ticketfeed/health", _health, methods=["GET"]),
    Route("/_ticketfeed/ready", _ready, methods=["GET"]),
    Route("/_ticketfeed/metrics", _metrics, methods=["GET"]),
]
