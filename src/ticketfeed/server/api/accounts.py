"""Host header -> Account: the first label of the host is its name.

A host that is an address or `localhost` names none and reaches the store's default account. A store with one account
serves any host.
"""

import re
import time

from ticketfeed.protocol.errors import MalformedRequest, UnknownAccount
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store

__all__ = ["Accounts"]

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_NO_NAME = re.compile(r"(?:localhost\.?|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[.*\])(?::[0-9]+)?", re.IGNORECASE)
# How long a process may use a default account that another has changed, with an engine that does not tell of changes.
DEFAULT_SECONDS_MAX = 1.0


class Accounts:
    """The accounts of a store, cached until one is erased: none gets another name or id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[str, Account] = {}
        self._default: Account | None = None
        self._default_read: tuple[int | None, float] = (None, 0.0)

    async def find(self, host: str) -> Account:
        """Raises MalformedRequest for an invalid host, UnknownAccount for one that names no account."""
        if not _HOST.fullmatch(host):
            raise MalformedRequest("The Host header is not a host name")
        if _NO_NAME.fullmatch(host):
            account = await self._find_default()
        else:
            account = await self._find_named(host.partition(".")[0].partition(":")[0].lower())
        if account is None:
            raise UnknownAccount(host)
        return account

    def forget(self) -> None:
        """Read them again: accounts may have been erased."""
        self._cache.clear()
        self._default = None

    async def _find_named(self, label: str) -> Account | None:
        if (known := self._cache.get(label)) is not None:
            return known
        accounts = await self._store.list_accounts(limit=2)
        account = accounts[0] if len(accounts) == 1 else await self._store.find_account(label)
        if account is not None and account.subdomain == label:
            self._cache[label] = account
        return account

    async def _find_default(self) -> Account | None:
        """Read again once the store has changed, or after a second where the engine cannot say."""
        counter, read_counter = self._store.change_counter(), self._default_read[0]
        is_old = time.monotonic() - self._default_read[1] > DEFAULT_SECONDS_MAX
        if self._default is None or counter != read_counter or (counter is None and is_old):
            self._default_read = (counter, time.monotonic())
            self._default = await self._store.find_default_account()
        return self._default
