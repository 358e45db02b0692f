"""The nodes of Citus: which of them has an account, and how much they hold together.

What hangs on one node must not take the connections that accounts of the others need. So a process has to know where
accounts lie before it asks for them; it learns it in the background, and never waits for it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.shares import ALL_ACCOUNTS

__all__ = ["AccountNodes", "DistributedSize"]

# Where all accounts are that are asked for at once: that hangs with any of them, as if on a node of its own.
_ALL_NODES = -1
# How often it is asked where accounts lie: shards are moved now and then. And how often for accounts that are new.
FOLLOW_SECONDS, NEW_SECONDS = 60.0, 1.0
# How often nodes are asked for their sizes: each time a connection is made to each of them.
SIZES_SECONDS = 15.0


class AccountNodes:
    """Where the accounts lie that a process has asked for. `read` returns the nodes of accounts by their ids."""

    def __init__(self, read: Callable[[Sequence[int]], Awaitable[Mapping[int, int]]]) -> None:
        self._read = read
        self._nodes: dict[int, int | None] = {}
        self._read_at, self._has_new = float("-inf"), False
        self._task: asyncio.Task[None] | None = None

    def of(self, account_id: int) -> int | None:
        """The node that has an account; None as long as that is not known."""
        if account_id == ALL_ACCOUNTS:
            return _ALL_NODES
        if account_id not in self._nodes:
            self._nodes[account_id], self._has_new = None, True
        seconds = NEW_SECONDS if self._has_new else FOLLOW_SECONDS
        if self._task is None and time.monotonic() > self._read_at + seconds:
            self._task = asyncio.get_running_loop().create_task(self._follow())
        return self._nodes[account_id]

    def note(self, nodes: Mapping[int, int]) -> None:
        """Take over where accounts lie."""
        self._nodes.update(nodes)

    async def stop(self) -> None:
        """Ask no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _follow(self) -> None:
        had_new, self._has_new = self._has_new, False
        try:
            self.note(await self._read(list(self._nodes)))
        except (StoreError, StoreUnavailable):  # they are where they were, as far as is known
            self._has_new = self._has_new or had_new
        self._read_at, self._task = time.monotonic(), None


class DistributedSize:
    """What the nodes hold together: of one that did not answer, what it held when it last did."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._ask_at = float("-inf")

    @property
    def size_bytes(self) -> int:
        return sum(self._held.values())

    def is_due(self, now: float) -> bool:
        """Whether they are to be asked at this monotonic time."""
        return now >= self._ask_at

    def note(self, nodes: Iterable[NodeStatus], now: float) -> None:
        """Take over what they said at the monotonic time `now`; those that are not among them are no nodes any more."""
        found = dict(nodes)
        self._held = {node: self._held.get(node, 0) if size is None else size for node, size in found.items()}
        self._ask_at = now + SIZES_SECONDS
