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
    """The mirrors of a store, read again once it has changed, or after a second where the engine cannot say."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._mirrors: dict[int, Mirror] | None = None
        self._read: tuple[int | None, float] = (None, 0.0)

    async def find(self, account: Account) -> Mirror | None:
        """The account's mirror; None if it is none. Raises StoreUnavailable."""
        counter = self._store.change_counter()
        if self._mirrors is None or self._is_old(counter):
            async with self._lock:
                if self._mirrors is None or self._is_old(counter):
                    read_at = time.monotonic()
                    self._mirrors = await self._store.read_mirrors()
                    self._read = counter, read_at
        return self._mirrors.get(account.account_id)

    def _is_old(self, counter: int | None) -> bool:
        if counter is not None:
            return counter != self._read[0]
        return time.monotonic() - self._read[1] > SECONDS_MAX
