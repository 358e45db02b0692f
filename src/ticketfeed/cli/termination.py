"""SIGTERM and SIGHUP end a command as ^C does, so that what it was writing is rolled back or removed.

Commands that serve, follow, or run another command replace these handlers by their own.
"""

import os
import signal
from types import FrameType

__all__ = ["INTERRUPTED", "end_by_signal", "exit_code", "handle_termination"]

INTERRUPTED = 130
_received: list[signal.Signals] = []


def handle_termination() -> None:
    """Install the handlers, but for a signal that this process was started to ignore, as by nohup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a shell script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def exit_code() -> int:
    """Of a command that was interrupted: 130, or 128 and the number of the signal."""
    return 128 + _received[0] if _received else INTERRUPTED


def end_by_signal() -> None:
    """End this process by the signal that interrupted it, if that was not ^C, as its parent may look for that."""
    if _received:
        signal.signal(_received[0], signal.SIG_DFL)
        os.kill(os.getpid(), _received[0])
