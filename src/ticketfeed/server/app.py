"""create_app: the whole HTTP surface as one table."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.clock import Clock, system_clock, system_instant
from ticketfeed.kept.runs import Runs
from ticketfeed.protocol.errors import InvalidEndpoint, WireError
from ticketfeed.server.access_log import AccessLog
from ticketfeed.server.accounts import Accounts
from ticketfeed.server.api import Service
from ticketfeed.server.auth import Authenticate, Authenticator
from ticketfeed.server.bounds import HeadBound
from ticketfeed.server.jobs import Jobs
from ticketfeed.server.metrics import make_metrics
from ticketfeed.server.notes import Notes
from ticketfeed.server.openapi import OPENAPI_ROUTES
from ticketfeed.server.operating import OPERATING_ROUTES
from ticketfeed.server.overload import Overload
from ticketfeed.server.page import page_routes
from ticketfeed.server.page.charts import Charts
from ticketfeed.server.preflight import Preflight
from ticketfeed.server.rate_limits import RateLimits
from ticketfeed.server.ready import ReadyAnswers
from ticketfeed.server.responses import error_response
from ticketfeed.server.routes import API_ROUTES
from ticketfeed.settings import Settings
from ticketfeed.storage.base import Store

__all__ = ["create_app"]

_log = logging.getLogger("ticketfeed.server")


def create_app(
    settings: Settings, store: Store, clock: Clock = system_clock, authenticate: Authenticate | None = None
) -> Starlette:
    """An ASGI application that serves `store`. The caller closes the store."""
    checked = authenticate or Authenticator(store)
    runs = Runs(store, settings.kept_pages_mib << 20)
    limits = RateLimits(settings)
    metrics = make_metrics()
    notes = Notes(store, system_instant if clock is system_clock else clock)
    service = Service(settings, store, clock, Accounts(store), checked, limits, runs, Jobs(store), notes, metrics)
    listeners = [notes.add, metrics.add] if metrics else [notes.add]
    app = Starlette(
        routes=[
            *API_ROUTES,
            *OPENAPI_ROUTES,
            *OPERATING_ROUTES,
            *(page_routes() if settings.page else []),
        ],
        middleware=[
            Middleware(AccessLog, listeners=listeners),
            Middleware(Overload),
            Middleware(HeadBound),
            Middleware(ReadyAnswers, service=service),
            Middleware(Preflight),
        ],
        exception_handlers={WireError: _wire_error, HTTPException: _unrouted},
    )
    app.router.redirect_slashes = False
    app.state.service = service
    app.state.charts = Charts(store)
    return app


async def _wire_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WireError)
    if error.status >= 500:
        _log.warning(str(error))
    return error_response(request, error)


async def _unrouted(request: Request, _error: Exception) -> Response:
    """No such path, or not with this method: the wire makes no difference."""
    return error_response(request, InvalidEndpoint())
