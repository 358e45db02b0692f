"""Shares of accounts in what all accounts use, such as threads and connections.

An account whose row is locked by another program makes its requests wait, and so do all accounts of a server that
hangs. What waits takes the place of nobody whose account does not: slots that are held for long are counted apart.
Where accounts lie on several servers, one that hangs holds up many: what each server holds up is limited, too.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ticketfeed.protocol.errors import StoreUnavailable

__all__ = ["ALL_ACCOUNTS", "AccountShares", "AccountSlots", "Slot"]

# In place of the id of an account: what is asked of all of them at once, which waits for any of them.
ALL_ACCOUNTS = 0

# What takes longer counts as slow. Nearly every read and write takes a tenth of it.
SLOW_SECONDS = 0.25
_REFUSED = "others of the same account wait for the store already"
_HANGS = "the server that has the account does not answer"


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
    """An account: how many slots it has, how many of them were abandoned, and who waits for more. `has_failed`: what
    its last one was taken for."""

    count: int = 0
    abandoned: int = 0
    has_failed: bool = False
    waiting: deque["asyncio.Future[Slot]"] = field(default_factory=deque)


class Slot:
    """One slot of an account. It is free again when all have released it who hold it.

    `has_failed`: what it was taken for was not done in time. `node`: where the account lay when it was taken.
    """

    __slots__ = ("_slots", "account_id", "has_failed", "holders", "is_abandoned", "is_long", "is_slow", "node", "timer")

    def __init__(self, slots: "AccountSlots", account_id: int, node: int | None, *, is_slow: bool) -> None:
        self._slots, self.account_id, self.node, self.is_slow = slots, account_id, node, is_slow
        self.holders, self.has_failed, self.is_abandoned, self.is_long = 1, False, False, False
        self.timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, slots.note_slow, self)

    def abandon(self) -> None:
        """Note that nobody waits any more for what it was taken for, which has not ended all the same."""
        self.has_failed = True
        if self.holders and not self.is_abandoned:
            self.is_abandoned = True
            self._slots.note_abandoned(self)

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
    and one at least. As many are held for long by the accounts of one server, which `node_of` tells of an account, None
    where that is not known. What was abandoned and is held all the same hangs: an account whose share hangs, or a
    server with as many as it may have, is not waited for.
    """

    def __init__(
        self, count: int, share: int, slow_count: int, node_of: Callable[[int], int | None] = lambda _: None
    ) -> None:
        self._share, self._slow_count, self._node_of = share, slow_count, node_of
        self._half = max(1, slow_count // 2)
        self._free, self._slow_used = count, 0
        # By node: slots that are held for long, and those that were abandoned.
        self._long, self._hanging = Counter[int](), Counter[int]()
        self._lines: dict[int, _Line] = {}
        # Slots that are held for long already, and for which there was no room.
        self._overdue: deque[Slot] = deque()

    async def take(self, account_id: int, deadline: float) -> Slot:
        """Wait for a slot until the monotonic time `deadline`; accounts take turns. Raises StoreUnavailable."""
        node = self._node_of(account_id)
        line = self._lines.setdefault(account_id, _Line())
        if line.abandoned >= self._share or (node is not None and self._hanging[node] >= self._half):
            self._forget(account_id, line)
            raise StoreUnavailable(_HANGS)
        if not line.waiting and self._has_room(account_id, line):
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
        self._count_long(slot)
        if not slot.is_slow:
            self._overdue.append(slot)
            self._grant()

    def note_abandoned(self, slot: Slot) -> None:
        """Count a slot among those that hang."""
        self._lines[slot.account_id].abandoned += 1
        if slot.node is not None:
            self._hanging[slot.node] += 1

    def _count_long(self, slot: Slot) -> None:
        if slot.node is not None and not slot.is_long:
            slot.is_long = True
            self._long[slot.node] += 1

    def free(self, slot: Slot) -> None:
        """Take back a slot that nobody holds any more."""
        line = self._lines[slot.account_id]
        line.count -= 1
        line.abandoned -= slot.is_abandoned
        slot.timer.cancel()
        line.has_failed = slot.has_failed
        if slot.node is not None:
            self._long[slot.node] -= slot.is_long
            self._hanging[slot.node] -= slot.is_abandoned
        if slot.is_slow:
            self._slow_used -= 1
        else:
            self._free += 1
        self._grant()
        self._forget(slot.account_id, line)

    def _has_room(self, account_id: int, line: _Line) -> bool:
        if line.count >= self._share:
            return False
        node = self._node_of(account_id)
        if node is not None and self._long[node] >= self._half:
            return False
        if not line.has_failed:
            return self._free > 0
        hanging = self._hanging.total()  # of servers that hang, which take nothing from accounts of others that failed
        return self._slow_used - hanging < self._half and self._slow_used < max(1, self._slow_count)

    def _give(self, account_id: int, line: _Line) -> Slot:
        line.count += 1
        slot = Slot(self, account_id, self._node_of(account_id), is_slow=line.has_failed)
        if line.has_failed:
            self._slow_used += 1
            self._count_long(slot)
        else:
            self._free -= 1
        return slot

    def _grant(self) -> None:
        """Move overdue slots, then give one to each account in turn, as long as there is room."""
        while self._overdue and self._slow_used < self._slow_count:
            slot = self._overdue.popleft()
            if slot.holders:
                slot.is_slow = True
                self._slow_used, self._free = self._slow_used + 1, self._free + 1
        for account_id, line in list(self._lines.items()):
            if line.waiting and self._has_room(account_id, line):
                turn = line.waiting.popleft()
                if not turn.done():  # or else it was cancelled just now
                    turn.set_result(self._give(account_id, line))
                self._lines[account_id] = self._lines.pop(account_id)  # the last to have had a turn is the last in line

    def _forget(self, account_id: int, line: _Line) -> None:
        if not line.count and not line.has_failed and not line.waiting:
            self._lines.pop(account_id, None)
