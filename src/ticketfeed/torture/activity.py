"""What reaches the server of one scenario, as it happens: when the last request came, and what the client accepts."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Activity"]


class Activity:
    """ASGI middleware. `last_at`: of the event loop's clock; None before the first request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.last_at: float | None = None
        self.accepts_gzip = self.uses_token_endpoint = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the request, and pass it on."""
        if scope["type"] == "http":
            self.last_at = asyncio.get_running_loop().time()
            headers: dict[bytes, bytes] = dict(scope["headers"])
            self.accepts_gzip |= b"gzip" in headers.get(b"accept-encoding", b"")
            self.uses_token_endpoint |= scope["path"].startswith("/oauth/")
        await self._app(scope, receive, send)
