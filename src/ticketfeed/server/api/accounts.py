"""Host header -> Account: the first label of the host names it; a store with one account answers any host."""

import re

from ticketfeed.protocol.errors import MalformedRequest, UnknownAccount
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store

__all__ = ["Accounts"]

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class Accounts:
    """Knows the accounts of a store. They are only ever made, so one that was seen stays known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Account] = {}

    async def find(self, host: str) -> Account:
        """Raises MalformedRequest for a host that cannot be one, UnknownAccount for one not kept here."""
        if not _HOST.fullmatch(host):
            raise MalformedRequest("The Host header is not a host name")
        label = host.partition(".")[0].partition(":")[0].lower()
        if label not in self._known:
            accounts = await self._store.list_accounts()
            self._known.update((account.subdomain, account) for account in accounts)
            if label not in self._known and len(accounts) == 1:
                return accounts[0]
        try:
            return self._known[label]
        except KeyError:
            raise UnknownAccount(host) from None
