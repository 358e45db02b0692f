"""How long a request waits for the store: once, however many of its calls wait.

A call that waits in vain takes what it waited from the budget of its request; one that is answered takes nothing. Calls
outside of a request have a budget of their own each.
"""

import time
from contextvars import ContextVar

__all__ = ["begin_waits", "spend_wait", "wait_deadline"]

# Seconds that the calls of the current request have waited in vain, in a list so that tasks of the request share it.
_SPENT: ContextVar[list[float]] = ContextVar("waited_seconds")


def begin_waits() -> None:
    """Begin the budget of a request, in whose task this is called."""
    _SPENT.set([0.0])


def wait_deadline(seconds: float) -> float:
    """The monotonic time until which a call may wait, if a request may wait for so many seconds."""
    spent = _SPENT.get(None)
    return time.monotonic() + (seconds if spent is None else max(0.0, seconds - spent[0]))


def spend_wait(started: float) -> None:
    """Take the time since the monotonic time `started` from the budget of the request, if there is one."""
    spent = _SPENT.get(None)
    if spent is not None:
        spent[0] += time.monotonic() - started
