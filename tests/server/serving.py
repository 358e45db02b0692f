"""A desk on a free port of this process, as `ticketfeed serve` configures its server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import uvicorn
import uvloop

from tests.server.desk import Desk
from tests.waiting import SECONDS_MAX
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.middleware.overload import Overload, Share
from ticketfeed.server.run import accepting, bind, server_config

__all__ = ["Address", "limits_of", "serve", "shares_of"]

Address = tuple[str, int]


def limits_of(**values: float) -> Limits:
    """The default limits with other values."""
    return replace(DEFAULT_LIMITS, **values)  # type: ignore[arg-type]  # each test names the right types


def serve(desk: Desk, talk: Callable[[Address], Awaitable[None]], limits: Limits = DEFAULT_LIMITS) -> None:
    """Serve the desk, which must have the same limits, until the talk is over."""

    async def main() -> None:
        server = uvicorn.Server(
            server_config(desk.app, None, limits=limits, lifespan="off", timeout_graceful_shutdown=1)
        )
        listener = bind("127.0.0.1", 0)
        serving = asyncio.create_task(server.serve(sockets=accepting(listener, limits)))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                await talk(listener.getsockname()[:2])
        finally:
            server.should_exit = True
            await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the one that uvicorn takes
        runner.run(main())


def shares_of(desk: Desk) -> tuple[Share, Share]:
    """The shares of requests with credentials, and of all others."""
    if desk.app.middleware_stack is None:
        desk.app.middleware_stack = desk.app.build_middleware_stack()
    app: Any = desk.app.middleware_stack
    while not isinstance(app, Overload):
        app = getattr(app, "app", None) or app._app
    return app.known, app.anonymous
