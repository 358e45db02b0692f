"""Answers CORS preflight requests. Any other OPTIONS is routed."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["CorsPreflight"]

_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "access-control-allow-headers": "Authorization, Accept, Content-Type, Idempotency-Key",
    "access-control-max-age": "7200",
}


class CorsPreflight:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_preflight = (
            scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and "access-control-request-method" in Headers(scope=scope)
        )
        await (Response(status_code=204, headers=_HEADERS) if is_preflight else self._app)(scope, receive, send)
