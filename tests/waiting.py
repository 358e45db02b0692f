"""Waiting for what comes about by and by: as long as it takes on a busy machine, and no longer than it takes."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

__all__ = ["SECONDS_MAX", "until", "wait_until"]

# After so long it never comes: many times what anything takes, so that no test fails for its speed.
SECONDS_MAX = 60.0


def wait_until(condition: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    """Wait until the condition holds. Raises AssertionError if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


async def until(condition: Callable[[], Any], seconds: float = SECONDS_MAX) -> None:
    """The same in an event loop, where a condition may be awaited."""
    deadline = time.monotonic() + seconds
    while not (await found if inspect.isawaitable(found := condition()) else found):
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)
