"""Cached reads of the store for monitoring: health checks, metrics, the dashboard.

Requests that need the same read at the same time share it, and its result is cached for a moment. No request waits
longer than a second, whatever locks the store: then an older result is used, if there is one that is not too old.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from ticketfeed.protocol.errors import StoreUnavailable

__all__ = ["KEEP_SECONDS", "RecentReads"]

T = TypeVar("T")

# How long a result is kept.
KEEP_SECONDS = 1.0
# How long a read is waited for; those who watch expect an answer within a second.
WAIT_SECONDS = 0.8
# How old a result may be that serves while a read takes longer.
STALE_SECONDS = 60.0
KEYS_MAX = 500


@dataclass(slots=True)
class _Read:
    """The newest result, when it was there and until when it is kept; and the task of the next."""

    result: Any = None
    at: float = float("-inf")
    keep_until: float = float("-inf")
    task: asyncio.Task[Any] | None = None


def _keep(_seconds: float) -> float:
    return KEEP_SECONDS


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Take an error that nobody waits for any more, or asyncio would log that nobody did."""
    if not task.cancelled():
        task.exception()


class RecentReads:
    """The newest results of one process, by key."""

    def __init__(self) -> None:
        self._reads: dict[Hashable, _Read] = {}

    async def get(
        self,
        key: Hashable,
        read: Callable[[], Awaitable[T]],
        *,
        stale_seconds: float | None = None,
        keep: Callable[[float], float] = _keep,
    ) -> T:
        """The result of `read`, which may be that of another caller with the same key.

        `stale_seconds`: in place of STALE_SECONDS. `keep`: from the seconds that it took to those that it is kept.
        Raises StoreUnavailable if it takes too long, and what `read` raises.
        """
        if len(self._reads) > KEYS_MAX:
            self._reads.clear()
        recent = self._reads.setdefault(key, _Read())
        if time.monotonic() < recent.keep_until:
            result: T = recent.result
            return result
        if recent.task is None or recent.task.get_loop() is not asyncio.get_running_loop():
            recent.task = asyncio.create_task(self._run(recent, read, keep))
            recent.task.add_done_callback(_retrieve)
        task = recent.task
        done, _ = await asyncio.wait({task}, timeout=WAIT_SECONDS)
        if done:
            found: T = task.result()
            return found
        if time.monotonic() - recent.at <= (STALE_SECONDS if stale_seconds is None else stale_seconds):
            older: T = recent.result
            return older
        raise StoreUnavailable(f"the store has not answered within {WAIT_SECONDS} seconds")

    async def _run(self, recent: _Read, read: Callable[[], Awaitable[T]], keep: Callable[[float], float]) -> T:
        started = time.monotonic()
        try:
            result = await read()
            recent.result, recent.at = result, time.monotonic()
            recent.keep_until = recent.at + keep(recent.at - started)
            return result
        finally:
            recent.task = None
