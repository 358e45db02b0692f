"""create_app: the whole HTTP surface as one table."""

import functools
from dataclasses import replace

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from ticketfeed.clock import Clock, system_clock, system_instant
from ticketfeed.export.answer import Exports
from ticketfeed.protocol.consumers import REQUESTS_KEPT, TEST_REQUESTS_KEPT
from ticketfeed.protocol.model import Account
from ticketfeed.server.api.accounts import Accounts
from ticketfeed.server.api.auth import Authenticate, Authenticator
from ticketfeed.server.api.call import Service, starlette_routes
from ticketfeed.server.api.client_checks import ClientChecks
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.server.api.token_endpoint import TOKEN_ROUTES
from ticketfeed.server.dashboard import consent_routes, dashboard_routes
from ticketfeed.server.dashboard.charts import Charts
from ticketfeed.server.explorer.openapi import OPENAPI_ROUTES
from ticketfeed.server.explorer.page import EXPLORER_ROUTES
from ticketfeed.server.faults.engine import Faults
from ticketfeed.server.faults.injection import FaultInjection
from ticketfeed.server.faults.routes import FAULT_ROUTES
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.middleware.access_log import AccessLog
from ticketfeed.server.middleware.account_date import AccountDate
from ticketfeed.server.middleware.cors import CorsPreflight
from ticketfeed.server.middleware.head_limit import HeadLimit
from ticketfeed.server.middleware.overload import Overload
from ticketfeed.server.middleware.paths import NormalizedPaths
from ticketfeed.server.ops.clock import CLOCK_ROUTES
from ticketfeed.server.ops.clock_follower import ClockFollower
from ticketfeed.server.ops.feed_hash import FEED_HASH_ROUTES
from ticketfeed.server.ops.health import HEALTH_ROUTES
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.maintenance import Maintenance
from ticketfeed.server.ops.metrics import make_metrics
from ticketfeed.server.ops.mirror import MIRROR_ROUTES
from ticketfeed.server.ops.mirror_freshness import MirrorFreshness
from ticketfeed.server.ops.rate_limiter import RateLimiter
from ticketfeed.server.ops.served_mirror import ServedMirror
from ticketfeed.server.ops.snapshots import SNAPSHOT_ROUTES
from ticketfeed.server.ops.usage_tracker import UsageTracker
from ticketfeed.server.ops.verdict import VERDICT_ROUTES
from ticketfeed.server.session_key import make_session_key
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store

__all__ = ["create_app"]


def create_app(
    settings: Settings,
    store: Store,
    clock: Clock = system_clock,
    authenticate: Authenticate | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Starlette:
    """An ASGI application that serves `store`. The caller closes the store."""
    settings = settings if settings.session_key else replace(settings, session_key=make_session_key())

    def now(account: Account) -> int:
        return store.clocks.at(account, clock())

    exports = Exports(store, settings.settle_seconds, settings.page_cache_mib << 20)
    rate_limiter = RateLimiter(settings)
    metrics, jobs = make_metrics(), Jobs(store, exports.clear_cache)
    maintenance = Maintenance(store, settings, now, jobs, *([metrics.add_round] if metrics else []))
    checked = authenticate or Authenticator(store, now, *([metrics.add_refusal] if metrics else []))
    kept = TEST_REQUESTS_KEPT if settings.test_clock else REQUESTS_KEPT
    accounts = Accounts(store)
    instant = system_instant if clock is system_clock else clock
    usage_tracker = UsageTracker(store, instant, kept, accounts.forget)
    service = Service(
        settings,
        store,
        clock,
        accounts,
        checked,
        rate_limiter,
        exports,
        jobs,
        maintenance,
        usage_tracker,
        metrics,
        now,
        ClockFollower(store, settings, maintenance.wake),
        ServedMirror(store, settings.mirror),
        MirrorFreshness(settings.mirror_fresh_seconds),
    )
    faults = Faults() if settings.faults else None
    listeners = [usage_tracker.add, metrics.add] if metrics else [usage_tracker.add]
    app = _Application(
        routes=[
            *_api_routes(),
            *TOKEN_ROUTES,
            *consent_routes(),
            *OPENAPI_ROUTES,
            *EXPLORER_ROUTES,
            *HEALTH_ROUTES,
            *FEED_HASH_ROUTES,
            *CLOCK_ROUTES,
            *VERDICT_ROUTES,
            *SNAPSHOT_ROUTES,
            *MIRROR_ROUTES,
            *FAULT_ROUTES,
            *(dashboard_routes() if settings.dashboard else []),
        ],
        middleware=[
            Middleware(AccessLog, listeners=listeners),
            Middleware(Overload, limits=limits),
            Middleware(HeadLimit, limits=limits),
            Middleware(CorsPreflight),
            Middleware(NormalizedPaths),
            *([Middleware(AccountDate, clocks=store.clocks, clock=clock)] if settings.test_clock else []),
            *([Middleware(FaultInjection, faults=faults)] if faults is not None else []),
        ],
    )
    app.router.redirect_slashes = False
    app.state.service, app.state.faults = service, faults
    app.state.charts = Charts(store, service.recent_reads)
    app.state.client_checks = ClientChecks(store)
    return app


@functools.cache
def _api_routes() -> list[Route]:
    """The routes of the API, compiled once: nothing in them is of one application, and a process may have many."""
    return starlette_routes(API_ROUTES)


class _Application(Starlette):
    """Starlette without its two layers that turn exceptions into responses: AccessLog does that for every request."""

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = self.router
        for layer, args, options in reversed(self.user_middleware):
            app = layer(app, *args, **options)
        return app
