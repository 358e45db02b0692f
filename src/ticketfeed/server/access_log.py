"""A request id for every answer, and one JSON line on standard error for every request.

The line holds no secret: no Authorization header, and no query but what an export page needs to be found again.
"""

import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AccessLog"]

_log = structlog.stdlib.get_logger("ticketfeed.access")


class AccessLog:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), str(uuid.uuid4())
        status, sent = 0, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                seconds = time.perf_counter() - started
                message["headers"] += [
                    (b"x-request-id", request_id.encode()),
                    (b"x-runtime", b"%.6f" % seconds),
                ]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _log.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                status=status,
                bytes=sent,
                ms=round((time.perf_counter() - started) * 1000, 2),
                client=(scope.get("client") or ("",))[0],
            )
