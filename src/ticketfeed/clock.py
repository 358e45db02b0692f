"""The only reader of wall time. Everything else gets `now` as an argument, or a Clock to ask."""

import time
from collections.abc import Callable

__all__ = ["Clock", "system_clock", "system_instant"]

# Whole Unix seconds.
Clock = Callable[[], int]


def system_clock() -> int:
    """Now, in whole Unix seconds."""
    return int(time.time())


def system_instant() -> float:
    """Now, in Unix seconds: for what is told, and for the waits of a client. Nothing that is stored depends on it."""
    return time.time()
