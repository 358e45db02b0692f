"""Signals to a command that ends at the same moment."""

import asyncio
import signal
import time

from ticketfeed.wrap.signals import send_signal


def test_the_exit_code_is_kept() -> None:
    """A process that has ended by itself when the signal comes has its own exit code."""

    async def codes() -> set[int]:
        found = set()
        for number in range(200):
            process = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
            time.sleep(number % 20 / 5000)  # the event loop does not notice its end meanwhile
            send_signal(process, signal.SIGTERM)
            found.add(await process.wait())
            send_signal(process, signal.SIGTERM)
        return found

    assert asyncio.run(codes()) <= {3, -signal.SIGTERM}
