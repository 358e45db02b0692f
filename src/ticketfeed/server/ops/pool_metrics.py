"""Follows how a process uses its connections, so that whichever process is scraped knows it of all of its server."""

import asyncio
import contextlib

from ticketfeed.server.ops.metrics import Metrics
from ticketfeed.storage.contract import Store

__all__ = ["PoolMetrics"]

FOLLOW_SECONDS = 1.0


class PoolMetrics:
    """Of one process. Without `metrics` it does nothing."""

    def __init__(self, store: Store, metrics: Metrics | None) -> None:
        self._store, self._metrics = store, metrics
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow until `stop`."""
        if self._metrics is not None and self._store.read_pools():
            self._task = asyncio.get_running_loop().create_task(self._run(self._metrics))

    async def stop(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, metrics: Metrics) -> None:
        while True:
            metrics.note_pools(self._store.read_pools())
            await asyncio.sleep(FOLLOW_SECONDS)
