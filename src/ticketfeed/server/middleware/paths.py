"""Paths below /api/ as the wire reads them: several slashes are one, and slashes at the end are none."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["NormalizedPaths"]

_SLASHES = re.compile(r"/{2,}")


class NormalizedPaths:
    """ASGI middleware, the innermost: routes, and the links of an answer, see the normalized path alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope.get("path", "")
        if "//" in path or path.endswith("/"):
            normalized = _SLASHES.sub("/", path).rstrip("/")
            if normalized.startswith("/api/"):
                scope["path"] = normalized
        await self._app(scope, receive, send)
