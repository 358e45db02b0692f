"""The only reader of wall time. Everything else gets `now` as an argument, or a Clock to ask."""

import time
from collections.abc import Callable

__all__ = ["Clock", "ClockWatch", "system_clock", "system_instant"]

# Whole Unix seconds.
Clock = Callable[[], int]


def system_clock() -> int:
    """Now, in whole Unix seconds."""
    return int(time.time())


def system_instant() -> float:
    """Now, in Unix seconds: for what is told, and for the waits of a client. Nothing that is stored depends on it."""
    return time.time()


class ClockWatch:
    """Compares the wall clock with one that nobody sets, from when it was made on.

    That one counts seconds since the machine started, those that it slept included; it is the same in all processes of
    the machine, so a watch can be passed on.
    """

    def __init__(self) -> None:
        self._started = time.time() - _since_start()

    def step(self) -> float:
        """By how many seconds the wall clock was set forward; negative for back."""
        return time.time() - _since_start() - self._started


def _since_start() -> float:
    # Elsewhere than on Linux CLOCK_MONOTONIC counts sleep.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
