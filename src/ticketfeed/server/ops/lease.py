"""Whether this process, of all that serve a store, does what is done once in it."""

import contextlib
import secrets
import time

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.storage.sidecar_contract import SidecarStore

__all__ = ["LEASE_SECONDS", "RENEW_SECONDS", "ServerLease"]

# When the process that has it dies, another one has it after both together at the latest.
LEASE_SECONDS, RENEW_SECONDS = 20.0, 5.0


class ServerLease:
    """A lease of one process. What is done under it may still go on for a moment when another process has it."""

    def __init__(self, store: SidecarStore, name: str) -> None:
        self._store, self._name, self._owner = store, name, secrets.token_hex(8)
        self._until = float("-inf")

    @property
    def is_held(self) -> bool:
        """By this process's monotonic clock: a process that was stopped for long does not have it any more."""
        return time.monotonic() < self._until

    async def take(self) -> bool:
        """Take or renew it; whether this process has it. Raises StoreUnavailable."""
        started = time.monotonic()
        has_it = await self._store.take_lease(self._name, self._owner, LEASE_SECONDS)
        self._until = started + LEASE_SECONDS if has_it else float("-inf")
        return has_it

    async def end(self) -> None:
        """Give it back, if this process has it."""
        if self.is_held:
            self._until = float("-inf")
            with contextlib.suppress(StoreError, StoreUnavailable):
                await self._store.end_lease(self._name, self._owner)
