"""When API tokens and access tokens were last used: noted in memory, and written to the store now and then.

A token's use is written once a day, or every ten minutes for an access token. A use that cannot be written is noted
again by the next request.
"""

import asyncio
import contextlib
from functools import partial

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.storage.contract import WriteStore
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["TokenUses"]

# Kind of a credential -> how old a stored use may be.
WRITE_SECONDS = {"api_token": 86400, "access_token": 600}
NOTED_MAX = 10_000
# (kind, id of the credential or access token)
_Key = tuple[str, int]


class TokenUses:
    """The uses that one process has noted."""

    def __init__(self, store: WriteStore) -> None:
        self._store = store
        self._noted: dict[tuple[Account, _Key], int] = {}
        self._pending: dict[Account, dict[_Key, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, account: Account, identity: Identity, second: int) -> None:
        """Note a use, unless one of late is stored already."""
        seconds = WRITE_SECONDS.get(identity.kind)
        if seconds is None or (identity.used_at is not None and 0 <= second - identity.used_at < seconds):
            return
        key = identity.kind, identity.token_id or identity.credential_id
        noted = self._noted.get((account, key))
        if noted is not None and 0 <= second - noted < seconds:
            return
        if len(self._noted) >= NOTED_MAX:
            self._noted.clear()
        self._noted[account, key] = second
        self._pending.setdefault(account, {})[key] = second

    def start_flush(self) -> None:
        """Write what was noted, in a task of its own: another write may hold the store for long."""
        if self._pending and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self.flush())

    async def flush(self) -> None:
        """Write what was noted."""
        pending, self._pending = self._pending, {}
        await asyncio.gather(*(self._flush_account(account, uses) for account, uses in pending.items()))

    async def _flush_account(self, account: Account, uses: dict[_Key, int]) -> None:
        try:
            await self._store.write(account, partial(_write, uses))
        except (StoreError, StoreUnavailable):
            for key in uses:
                self._noted.pop((account, key), None)

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.flush()


def _write(uses: dict[_Key, int], write: WriteTransaction) -> None:
    for (kind, id), second in uses.items():
        if kind == "api_token":
            write.use_credential(id, second)
        else:
            write.use_oauth_token(id, second)
