"""Shares of accounts in what all accounts use, such as threads and connections.

An account whose row is locked by another program makes its requests wait. They take its own share, not that of other
accounts.
"""

import asyncio
import time
from dataclasses import dataclass

from ticketfeed.protocol.errors import StoreUnavailable

__all__ = ["AccountShares"]


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
                raise StoreUnavailable("others of the same account wait for the store already") from None
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
