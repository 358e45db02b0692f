"""The API explorer: Swagger UI, shipped with the package, on the server's own OpenAPI document."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.server.static_files import static_file_response

__all__ = ["EXPLORER_ROUTES"]

_STATIC = Path(__file__).parent / "static"
_HEADERS = {
    # The page loads and sends nothing elsewhere. Swagger UI's icons are data: images.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def _route(path: str, name: str) -> Route:
    async def serve(request: Request) -> Response:
        return static_file_response(request, _STATIC / name, _HEADERS)

    return Route(f"/_ticketfeed/{path}", serve, methods=["GET"])


EXPLORER_ROUTES: list[Route] = [
    _route("api", "index.html"),
    *(_route(f"api/{name}", name) for name in ("explorer.js", "swagger-ui-bundle.js", "swagger-ui.css")),
]
