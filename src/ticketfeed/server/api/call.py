"""What happens before any handler of `/api/v2`: account, then credentials, then role, then budgets.

The path comes before all of them, as on the wire: an unknown one is 404 with or without credentials.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.clock import Clock
from ticketfeed.export.fragments import Runs
from ticketfeed.protocol.errors import InvalidEndpoint, RoleTooLow
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.api.accounts import Accounts
from ticketfeed.server.api.auth import Authenticate
from ticketfeed.server.ops.jobs import Jobs
from ticketfeed.server.ops.metrics import Metrics
from ticketfeed.server.ops.rate_limiter import RATE_LIMIT_HEADERS, RateLimiter
from ticketfeed.server.ops.usage_tracker import UsageTracker
from ticketfeed.server.request_context import request_context
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store

__all__ = ["ApiCall", "Handler", "Service", "admit", "api_routes", "plain_routes"]

_RANKS = {"end-user": 0, "agent": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Service:
    """What a process serves with."""

    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    authenticate: Authenticate
    limits: RateLimiter
    runs: Runs
    jobs: Jobs
    usage: UsageTracker
    metrics: Metrics | None
    ready: dict[tuple[object, ...], Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request that passed: who asks, of which account."""

    service: Service
    account: Account
    identity: Identity

    async def spend(self, request: Request, budgets: Sequence[str] = ()) -> None:
        """Count this request; its answer says what is left. Raises APIRateLimitExceeded."""
        service = self.service
        left = await service.limits.spend(service.store, self.account, budgets, service.clock())
        request.scope[RATE_LIMIT_HEADERS] = left

    def address(self, request: Request) -> str:
        """The asked address without its query, on the host the caller can reach."""
        public_url = self.service.settings.public_url
        if public_url:
            base = public_url.rstrip("/").replace("{account}", self.account.subdomain)
        else:
            scheme = "https" if request.scope["scheme"] == "https" else "http"  # a proxy's header may say anything
            base = f"{scheme}://{request.headers['host']}"
        return base + str(request.scope["path"])


Handler = Callable[[Request, ApiCall], Awaitable[Response]]


def api_routes(
    path: str,
    handler: Handler,
    *,
    role: str = "admin",
    method: str = "GET",
    budget: str | None = None,
    spends: Callable[[Request], bool] = lambda _request: True,
) -> list[Route]:
    """The two forms of an endpoint, with and without `.json`, for users of this role or a higher one.

    Every request spends of the account's budget, and of `budget` those for which `spends` says so.
    """

    async def endpoint(request: Request) -> Response:
        request_context(request.scope).endpoint = path
        call = await admit(request)
        if _RANKS.get(call.identity.role, 0) < _RANKS[role]:
            raise RoleTooLow
        await call.spend(request, (budget,) if budget is not None and spends(request) else ())
        return await handler(request, call)

    return plain_routes(path, endpoint, method)


def plain_routes(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str = "GET") -> list[Route]:
    """The two forms of an endpoint that looks at the caller by itself."""
    return [Route(f"/api/v2{path}{suffix}", endpoint, methods=[method]) for suffix in ("", ".json")]


async def admit(request: Request) -> ApiCall:
    """Find the account, then who asks. Raises InvalidEndpoint, UnknownAccount, NotAuthenticated, InvalidToken."""
    if request.scope["path"].endswith("\n"):  # which a route's pattern lets pass
        raise InvalidEndpoint
    service: Service = request.app.state.service
    account = request_context(request.scope).account = await service.accounts.find(request.headers.get("host", ""))
    identity = await service.authenticate(account, request.headers.get("authorization"))
    request_context(request.scope).identity = identity
    return ApiCall(service, account, identity)
