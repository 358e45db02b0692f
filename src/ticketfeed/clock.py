"""The only reader of wall time. Everything else gets `now` as an argument, or a Clock to ask."""

import time
from collections.abc import Callable

__all__ = ["Clock", "system_clock"]

# Whole Unix seconds.
Clock = Callable[[], int]


def system_clock() -> int:
    """Now, in whole Unix seconds."""
    return int(time.time())
