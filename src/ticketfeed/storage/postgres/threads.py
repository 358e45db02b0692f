"""Threads that use blocking connections to the primary."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

import psycopg

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage.connection_limits import ConnectionLimits
from ticketfeed.storage.postgres.connection_pools import ThreadPool
from ticketfeed.storage.postgres.pools import WAIT_SECONDS, connect_options
from ticketfeed.storage.shares import Slot

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
        self._configure = configure
        self._connections, self._running = WeakSet[psycopg.Connection[Any]](), set[Future[Any]]()
        self.pool = ThreadPool(
            url,
            connect_options(connections),
            min_size=0,
            max_size=count,
            open=False,
            configure=self._begin,
            reconnect_timeout=WAIT_SECONDS,
        )
        self._executor = ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"postgres-{name}")

    def _begin(self, connection: psycopg.Connection[Any]) -> None:
        self._connections.add(connection)
        if self._configure is not None:
            self._configure(connection)

    def start(self, work: Callable[[], T], slot: Slot | None = None) -> "Future[T]":
        """Run `work`. `slot`: given back when the thread is done, even if nobody waits for it any more."""
        running = self._executor.submit(work)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        if slot is not None:
            running.add_done_callback(partial(_release, slot, asyncio.get_running_loop()))
        return running

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self.start(work))

    async def run_until(self, deadline: float, work: Callable[[], T], slot: Slot | None) -> T:
        """Run `work`, and wait for it until a monotonic time. Raises StoreUnavailable.

        A statement to a node of Citus that hangs does not end before the node goes on, or is ended: neither when its
        time is over, nor by a cancellation. Its thread, its connection and its slot are in use until then.
        """
        running = asyncio.wrap_future(self.start(work, slot))
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())) as limit:
                return await running
        except BaseException as error:
            if slot is not None and running.cancelled():
                slot.abandon()
            if isinstance(error, TimeoutError) and limit.expired():
                raise StoreUnavailable("the store cannot serve: no answer in time") from None
            raise

    def close(self) -> None:
        """Wait for what runs. What takes too long hangs, maybe for good: its connection is cut."""
        self._executor.shutdown(wait=False)
        if wait(list(self._running), WAIT_SECONDS).not_done:
            for connection in list(self._connections):
                _cut(connection)
        self._executor.shutdown()
        self.pool.close()


def _cut(connection: psycopg.Connection[Any]) -> None:
    """Let a thread that waits for the server see that the connection is lost."""
    with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _release(slot: Slot, loop: asyncio.AbstractEventLoop, done: "Future[Any]") -> None:
    slot.has_failed = done.cancelled() or done.exception() is not None
    with contextlib.suppress(RuntimeError):  # the loop was closed, and its callers with it
        loop.call_soon_threadsafe(slot.release)
