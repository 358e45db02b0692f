"""Refuses requests with a head larger than any client of the wire sends, so that memory per request is bounded."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ticketfeed.server.limits import DEFAULT_LIMITS, Limits

__all__ = ["HeadLimit"]


class HeadLimit:
    """Answers 431 to a head that is too large, in plain text, as a proxy would."""

    def __init__(self, app: ASGIApp, limits: Limits = DEFAULT_LIMITS) -> None:
        self._app, self._bytes_max = app, limits.head_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
            size += sum([len(name) + len(value) for name, value in scope["headers"]])
            if size > self._bytes_max:
                app = PlainTextResponse("Request Header Fields Too Large", status_code=431)
        await app(scope, receive, send)
