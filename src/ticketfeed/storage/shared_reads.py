"""Reads of the same thing that wait at the same moment, of which one is made."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ticketfeed.protocol.model import Account
from ticketfeed.storage.wait_budget import spend_wait

__all__ = ["SharedReads"]

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Calls `read` with an account and a text, once for all who ask for the same.

    A read begins after each of those was asked for that share it, so it finds what was committed before: who asks while
    one is under way has the next one. For one event loop.
    """

    def __init__(self, read: Callable[[Account, str], Awaitable[T]]) -> None:
        self._read = read
        self._waiting: dict[tuple[Account, str], asyncio.Task[T]] = {}
        self._running: dict[tuple[Account, str], asyncio.Task[T]] = {}

    async def read(self, account: Account, text: str) -> T:
        """What `read` returns or raises."""
        key = account, text
        shared = self._waiting.get(key)
        if shared is None:
            shared = self._waiting[key] = asyncio.create_task(self._read_next(key))
        return await asyncio.shield(shared)

    async def _read_next(self, key: tuple[Account, str]) -> T:
        """In a task with the budget of who asked first."""
        running = self._running.get(key)
        if running is not None:
            started = time.monotonic()
            await asyncio.wait({running})
            if running.cancelled() or running.exception() is not None:
                spend_wait(started)
        self._running[key] = self._waiting.pop(key)
        try:
            return await self._read(*key)
        finally:
            del self._running[key]
