"""Which accounts of a store are mirrors, as one process knows it: asked before writes and pages."""

import asyncio
import time

from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store

__all__ = ["MirroredAccounts"]

# How old an answer may be with an engine that does not tell of changes. Nothing rests on it: a write is refused in its
# transaction too, and a page ends a little earlier.
SECONDS_MAX = 1.0


class MirroredAccounts:
    """The mirrors of a store, each read again once the store has changed, or after a second where it cannot say.

    Each account by itself: another one may be out of reach.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # By account_id: the store's change counter and the monotonic time when it was read, and the mirror.
        self._found: dict[int, tuple[int | None, float, Mirror | None]] = {}
        self._reading: dict[int, asyncio.Task[Mirror | None]] = {}

    async def find(self, account: Account) -> Mirror | None:
        """The account's mirror; None if it is none. Raises StoreUnavailable."""
        counter, found = self._store.change_counter(), self._found.get(account.account_id)
        if found is not None and not _is_old(counter, *found[:2]):
            return found[2]
        reading = self._reading.get(account.account_id)
        if reading is None:  # else those who ask at once share it, and its wait where it waits in vain
            reading = self._reading[account.account_id] = asyncio.create_task(self._read(account, counter))
        return await asyncio.shield(reading)

    async def _read(self, account: Account, counter: int | None) -> Mirror | None:
        read_at = time.monotonic()
        try:
            mirror = await self._store.read_mirror(account)
        finally:
            del self._reading[account.account_id]
        self._found[account.account_id] = counter, read_at, mirror
        return mirror


def _is_old(counter: int | None, read_counter: int | None, read_at: float) -> bool:
    if counter is not None:
        return counter != read_counter
    return time.monotonic() - read_at > SECONDS_MAX
