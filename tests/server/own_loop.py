"""A store whose connections belong to one event loop, for callers that each have a loop of their own."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ticketfeed.storage.contract import Store

__all__ = ["OwnLoop"]


class OwnLoop:
    """An event loop in a thread, for stores that are opened in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, opening: Coroutine[Any, Any, Store]) -> Store:
        """The store, whose methods are called in any loop and run in this one."""
        return cast(Store, _Called(asyncio.run_coroutine_threadsafe(opening, self._loop).result(), self._loop))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Called:
    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._loop = store, loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._in_loop(method) if inspect.iscoroutinefunction(method) else method

    def _in_loop(self, method: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*arguments: Any, **options: Any) -> Any:
            running = asyncio.run_coroutine_threadsafe(method(*arguments, **options), self._loop)
            return await asyncio.wrap_future(running)

        return call
