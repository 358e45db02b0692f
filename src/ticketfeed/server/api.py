"""What happens before any handler of `/api/v2`: account, then credentials, then role.

The path comes before all of them, as on the wire: an unknown one is 404 with or without credentials.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.clock import Clock
from ticketfeed.protocol.errors import InvalidEndpoint, RoleTooLow
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.accounts import Accounts
from ticketfeed.server.auth import Authenticate
from ticketfeed.settings import Settings
from ticketfeed.storage.base import Store

__all__ = ["ApiCall", "Handler", "Service", "api_routes"]


@dataclass(frozen=True, slots=True)
class Service:
    """What a process serves with."""

    settings: Settings
    store: Store
    clock: Clock
    accounts: Accounts
    authenticate: Authenticate


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A request that passed: who asks, of which account."""

    service: Service
    account: Account
    identity: Identity

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


def api_routes(path: str, handler: Handler) -> list[Route]:
    """The two forms of an endpoint, with and without `.json`, for admins."""

    async def endpoint(request: Request) -> Response:
        if request.scope["path"].endswith("\n"):  # which a route's pattern lets pass
            raise InvalidEndpoint
        service: Service = request.app.state.service
        account = await service.accounts.find(request.headers.get("host", ""))
        identity = await service.authenticate(account, request.headers.get("authorization"))
        if identity.role != "admin":
            raise RoleTooLow
        return await handler(request, ApiCall(service, account, identity))

    return [Route(f"/api/v2{path}{suffix}", endpoint, methods=["GET"]) for suffix in ("", ".json")]
