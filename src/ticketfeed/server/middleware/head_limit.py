"""Refuses requests with a head larger than any client of the wire sends, so that memory per request is bounded."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["HEAD_BYTES_MAX", "HeadLimit"]

# Many times what clients send: nginx and Apache refuse heads beyond 32 KB and 8 KB by default.
HEAD_BYTES_MAX = 64 * 1024


class HeadLimit:
    """Answers 431 to a head larger than HEAD_BYTES_MAX, in plain text, as a proxy would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
            size += sum([len(name) + len(value) for name, value in scope["headers"]])
            if size > HEAD_BYTES_MAX:
                app = PlainTextResponse("Request Header Fields Too Large", status_code=431)
        await app(scope, receive, send)
