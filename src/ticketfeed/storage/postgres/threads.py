"""Threads that use blocking connections to the primary."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg

from ticketfeed.storage.connection_limits import ConnectionLimits
from ticketfeed.storage.postgres.connection_pools import ThreadPool
from ticketfeed.storage.postgres.pools import WAIT_SECONDS, connect_options

__all__ = ["ConnectionThreads"]

T = TypeVar("T")


class ConnectionThreads:
    """Threads of one purpose, and as many connections to the primary. `configure` is called with each connection."""

    def __init__(
        self,
        url: str,
        name: str,
        count: int,
        connections: ConnectionLimits,
        configure: Callable[[psycopg.Connection[Any]], None] | None = None,
    ) -> None:
        self.pool = ThreadPool(
            url,
            min_size=0,
            max_size=count,
            open=False,
            kwargs=connect_options(connections),
            configure=configure,
            reconnect_timeout=WAIT_SECONDS,
        )
        self._executor = ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"postgres-{name}")

    def start(self, work: Callable[[], T]) -> "Future[T]":
        return self._executor.submit(work)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self.start(work))

    def close(self) -> None:
        self._executor.shutdown()
        self.pool.close()
