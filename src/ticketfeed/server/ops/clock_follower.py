"""Makes a process go by the clocks of accounts that were moved, by whatever process moved them."""

import asyncio
import contextlib
from collections.abc import Callable

from ticketfeed.protocol.errors import ClockFixed, StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.moved_clock import ClockMove, MovedClock
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store
from ticketfeed.writing.clock import move_account_clock

__all__ = ["ClockFollower"]

# How often a process asks for clocks: a query of a table with a few rows at most.
FOLLOW_SECONDS = 0.25


class ClockFollower:
    """The clocks of one process, which is one that follows them. `on_move` is called after any of them was moved."""

    def __init__(self, store: Store, settings: Settings, on_move: Callable[[], None]) -> None:
        self._store, self._settings, self._on_move = store, settings, on_move
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def move(self, account: Account, move: ClockMove, now: int) -> MovedClock:
        """Move the clock of an account at the machine's time `now`; returns it. Raises ClockFixed, InvalidValue.

        The other processes of this server have followed when it returns.
        """
        if not self._settings.test_clock:
            raise ClockFixed
        clock = await self._store.write(account, lambda write: move_account_clock(write, move, now))
        await self.follow()
        if self._settings.workers > 1:
            await asyncio.sleep(2 * FOLLOW_SECONDS)
        return clock

    async def follow(self) -> None:
        """Go by the clocks as they are stored now."""
        if self._store.clocks.replace(await self._store.read_clocks()):
            self._on_move()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(StoreError, StoreUnavailable):  # requests meet the same, and tell
                await self.follow()
            await asyncio.sleep(FOLLOW_SECONDS)
