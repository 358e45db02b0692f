"""Host header -> Account: the first label of the host is its name. A store with one account serves any host."""

import re

from ticketfeed.protocol.errors import MalformedRequest, UnknownAccount
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import WriteStore

__all__ = ["Accounts"]

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Accounts:
    """The accounts of a store, cached for good: none is ever deleted or renamed."""

    def __init__(self, store: WriteStore) -> None:
        self._store = store
        self._cache: dict[str, Account] = {}

    async def find(self, host: str) -> Account:
        """Raises MalformedRequest for an invalid host, UnknownAccount for one that names no account."""
        if not _HOST.fullmatch(host):
            raise MalformedRequest("The Host header is not a host name")
        label = host.partition(".")[0].partition(":")[0].lower()
        if label not in self._cache:
            accounts = await self._store.list_accounts()
            self._cache.update((account.subdomain, account) for account in accounts)
            if label not in self._cache and len(accounts) == 1:
                return accounts[0]
        try:
            return self._cache[label]
        except KeyError:
            raise UnknownAccount(host) from None
