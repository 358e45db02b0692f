"""The event loop of a server: uvicorn's choice, with a limit on TLS handshakes, for which uvicorn has no option."""

import asyncio
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

from ticketfeed.server.limits import DEFAULT_LIMITS

__all__ = ["make_loop"]


def make_loop(handshake_seconds_max: float = DEFAULT_LIMITS.head_seconds) -> asyncio.AbstractEventLoop:
    """A new event loop whose servers close a connection that has not shaken hands in time."""
    loop = auto_loop_factory()()
    create_server = loop.create_server

    async def create_limited_server(*arguments: Any, **options: Any) -> asyncio.AbstractServer:
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", handshake_seconds_max)
        server: asyncio.AbstractServer = await create_server(*arguments, **options)
        return server

    setattr(loop, "create_server", create_limited_server)  # noqa: B010  # mypy takes an assignment for a mistake
    return loop
