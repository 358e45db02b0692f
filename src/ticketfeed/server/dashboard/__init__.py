"""The dashboard at /_ticketfeed/: tickets, feed status, consumers and requests of an account, for admins."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["consent_routes", "dashboard_routes"]


def dashboard_routes() -> Sequence[Route]:
    """The routes of the dashboard, or one that names the missing extra if its libraries are not installed."""
    try:
        from ticketfeed.server.dashboard.routes import DASHBOARD_ROUTES
    except ModuleNotFoundError as error:
        if error.name not in ("itsdangerous", "jinja2"):
            raise
        return [Route("/_ticketfeed/", _missing_extra, methods=["GET"])]
    return DASHBOARD_ROUTES


def consent_routes() -> Sequence[Route]:
    """The page where a user consents to what an OAuth client asks for, which needs the same libraries."""
    try:
        from ticketfeed.server.dashboard.consent import CONSENT_ROUTES
    except ModuleNotFoundError as error:
        if error.name not in ("itsdangerous", "jinja2"):
            raise
        return [Route("/oauth/authorizations/new", _missing_extra, methods=["GET", "POST"])]
    return CONSENT_ROUTES


async def _missing_extra(_request: Request) -> Response:
    return Response(
        "this page needs jinja2 and itsdangerous: pip install 'ticketfeed[dashboard]'\n",
        501,
        {"content-security-policy": "frame-ancestors 'none'"},
        "text/plain",
    )
