"""Shares of accounts in what all accounts use, such as threads and connections.

An account whose row is locked by another program makes its requests wait, and so do all accounts of a server that
hangs. What waits takes the place of nobody whose account does not: slots that are held for long are counted apart.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from ticketfeed.protocol.errors import StoreUnavailable

__all__ = ["AccountShares", "AccountSlots", "Slot"]

# What takes longer counts as slow. Nearly every read and write takes a tenth of it.
SLOW_SECONDS = 0.25
_REFUSED = "others of the same account wait for the store already"


@dataclass(slots=True)
class _Share:
    places: asyncio.Semaphore
    users: int = 0


class AccountShares:
    """At most `share` callers of one account at once; the others of the account wait. For one event loop."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._shares: dict[int, _Share] = {}

    async def take(self, account_id: int, deadline: float) -> None:
        """Wait for a place of the account, until the monotonic time `deadline`. Raises StoreUnavailable."""
        share = self._shares.setdefault(account_id, _Share(asyncio.Semaphore(self._share)))
        share.users += 1
        if not share.places.locked():
            await share.places.acquire()  # at once, and without a timer
            return
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await share.places.acquire()
        except BaseException as error:
            self._leave(account_id, share)
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(_REFUSED) from None
            raise

    def give_back(self, account_id: int) -> None:
        """Give back a place that was taken."""
        share = self._shares[account_id]
        share.places.release()
        self._leave(account_id, share)

    def _leave(self, account_id: int, share: _Share) -> None:
        share.users -= 1
        if not share.users:
            del self._shares[account_id]


@dataclass(slots=True)
class _Line:
    """An account: how many slots it has, and who waits for more. `has_failed`: what its last one was taken for."""

    count: int = 0
    has_failed: bool = False
    waiting: deque["asyncio.Future[Slot]"] = field(default_factory=deque)


class Slot:
    """One slot of an account. It is free again when all have released it who hold it.

    `has_failed`: what it was taken for was not done in time.
    """

    __slots__ = ("_slots", "account_id", "has_failed", "holders", "is_slow", "timer")

    def __init__(self, slots: "AccountSlots", account_id: int, *, is_slow: bool) -> None:
        self._slots, self.account_id, self.is_slow = slots, account_id, is_slow
        self.holders, self.has_failed = 1, False
        self.timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, slots.note_slow, self)

    def hold(self) -> None:
        """Hold it too, until another `release`."""
        self.holders += 1

    def release(self) -> None:
        """Hold it no more."""
        self.holders -= 1
        if not self.holders:
            self._slots.free(self)


class AccountSlots:
    """At most `count` slots in use, at most `share` of them by one account. For one event loop.

    A slot that is held for longer than SLOW_SECONDS moves to `slow_count` others, as far as there is room. Accounts
    whose last attempt failed, so that the next will probably take as long, together get only half of those others,
    and one at least.
    """

    def __init__(self, count: int, share: int, slow_count: int) -> None:
        self._share, self._slow_count = share, slow_count
        self._free, self._slow_used = count, 0
        self._lines: dict[int, _Line] = {}
        # Slots that are held for long already, and for which there was no room.
        self._overdue: deque[Slot] = deque()

    async def take(self, account_id: int, deadline: float) -> Slot:
        """Wait for a slot until the monotonic time `deadline`; accounts take turns. Raises StoreUnavailable."""
        line = self._lines.setdefault(account_id, _Line())
        if not line.waiting and self._has_room(line):
            return self._give(account_id, line)
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await turn
        except BaseException as error:
            if turn in line.waiting:
                line.waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                turn.result().release()
            self._forget(account_id, line)
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(_REFUSED) from None
            raise

    def note_slow(self, slot: Slot) -> None:
        """Count a slot among the slow ones: it has been held for long."""
        if not slot.is_slow:
            self._overdue.append(slot)
            self._grant()

    def free(self, slot: Slot) -> None:
        """Take back a slot that nobody holds any more."""
        line = self._lines[slot.account_id]
        line.count -= 1
        slot.timer.cancel()
        line.has_failed = slot.has_failed
        if slot.is_slow:
            self._slow_used -= 1
        else:
            self._free += 1
        self._grant()
        self._forget(slot.account_id, line)

    def _has_room(self, line: _Line) -> bool:
        if line.count >= self._share:
            return False
        return self._slow_used < max(1, self._slow_count // 2) if line.has_failed else self._free > 0

    def _give(self, account_id: int, line: _Line) -> Slot:
        line.count += 1
        if line.has_failed:
            self._slow_used += 1
        else:
            self._free -= 1
        return Slot(self, account_id, is_slow=line.has_failed)

    def _grant(self) -> None:
        """Move overdue slots, then give one to each account in turn, as long as there is room."""
        while self._overdue and self._slow_used < self._slow_count:
            slot = self._overdue.popleft()
            if slot.holders:
                slot.is_slow = True
                self._slow_used, self._free = self._slow_used + 1, self._free + 1
        for account_id, line in list(self._lines.items()):
            if line.waiting and self._has_room(line):
                turn = line.waiting.popleft()
                if not turn.done():  # or else it was cancelled just now
                    turn.set_result(self._give(account_id, line))
                self._lines[account_id] = self._lines.pop(account_id)  # the last to have had a turn is the last in line

    def _forget(self, account_id: int, line: _Line) -> None:
        if not line.count and not line.has_failed and not line.waiting:
            self._lines.pop(account_id, None)
