"""The page at /_ticketfeed/: what an account holds, how its feed stands, who reads it. For people, in a browser."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["page_routes"]


def page_routes() -> Sequence[Route]:
    """The page; or, where its libraries are not installed, an address that says so."""
    try:
        from ticketfeed.server.dashboard.routes import PAGE_ROUTES
    except ModuleNotFoundError as error:
        if error.name not in ("itsdangerous", "jinja2"):
            raise
        return [Route("/_ticketfeed/", _tell_missing, methods=["GET"])]
    return PAGE_ROUTES


async def _tell_missing(_request: Request) -> Response:
    return Response(
        "the dashboard needs jinja2 and itsdangerous: pip install 'ticketfeed[dashboard]'\n",
        501,
        media_type="text/plain",
    )
