"""Signals to a process that asyncio watches."""

import asyncio
import contextlib
import os

__all__ = ["send_signal"]


def send_signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send it, unless the process has ended.

    `Process.send_signal` looks first whether the process has ended, which takes its exit code from the watcher of the
    event loop; that then reports 255 (https://github.com/python/cpython/issues/87744).
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
