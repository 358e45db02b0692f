"""The header Date by the clock of the account, on servers whose accounts have clocks of their own."""

from email.utils import formatdate
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ticketfeed.clock import Clock
from ticketfeed.server.middleware.overload import CONNECTION
from ticketfeed.server.request_context import request_context
from ticketfeed.storage.account_clocks import AccountClocks

__all__ = ["AccountDate", "put_date"]

_DATE = b"date"


class _Connection(Protocol):
    def omit_date(self) -> None: ...


class AccountDate:
    """ASGI middleware. The date of uvicorn is that of the machine."""

    def __init__(self, app: ASGIApp, clocks: AccountClocks, clock: Clock) -> None:
        self._app, self._clocks, self._clock = app, clocks, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not self._clocks.are_moved:
            await self._app(scope, receive, send)
            return

        async def send_with_date(message: Message) -> None:
            if message["type"] == "http.response.start":
                account, now = request_context(scope).account, self._clock()
                if account is not None and self._clocks.at(account, now) != now:
                    put_date(scope, message, self._clocks.at(account, now))
            await send(message)

        await self._app(scope, receive, send_with_date)


def put_date(scope: Scope, message: Message, now: int) -> None:
    """Let a response have this date, unless it has one that was put before."""
    if any(name == _DATE for name, _ in message["headers"]):
        return
    message["headers"] = [*message["headers"], (_DATE, formatdate(now, usegmt=True).encode())]
    connection: _Connection | None = scope.get(CONNECTION)
    if connection is not None:
        connection.omit_date()
