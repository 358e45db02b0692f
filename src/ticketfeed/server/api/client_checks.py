"""Checks of the secrets of OAuth clients. Senders of wrong ones are slowed down, as for passwords.

A secret that this process has found to be right is let in all the same, so nobody can keep a client out.
"""

import time
from collections.abc import Callable, Hashable

from cachetools import LRUCache

from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import InvalidClient
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import OauthClient, is_secret
from ticketfeed.server.api.password_checks import ADDRESS_FAILURES, NAME_FAILURES, Failures, network_of, too_many
from ticketfeed.storage.contract import Store

__all__ = ["ClientChecks"]

CORRECT_MAX = 1000


class ClientChecks:
    """The checks of one process."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store, self._monotonic = store, monotonic
        # Account and identifier -> the hash of the secret that was found to be right.
        self._correct: LRUCache[Hashable, str] = LRUCache(CORRECT_MAX)
        self._of_addresses, self._of_names = Failures(*ADDRESS_FAILURES), Failures(*NAME_FAILURES)

    async def find(self, account: Account, identifier: str, secret: str | None, address: str) -> OauthClient:
        """The client that has this identifier and secret, or needs none.

        Raises InvalidClient, and APIRateLimitExceeded if too many wrong ones came from this address, or for this
        identifier.
        """
        client = await self._store.find_oauth_client(account, identifier)
        if client is not None and client.is_public:
            return client
        is_right, name = is_secret(client, secret), (account.account_id, identifier)
        if client is not None and is_right and self._correct.get(name) == client.secret_hash:
            return client
        now, network = self._monotonic(), network_of(address)
        wait = max(self._of_addresses.wait_seconds(network, now), self._of_names.wait_seconds(name, now))
        if wait > 0:
            raise too_many("Too many failed attempts to authenticate a client", wait)
        if client is None or not is_right:
            self._of_addresses.add(network, now)
            self._of_names.add(name, now)
            raise InvalidClient
        self._correct[name] = hash_token(secret or "")
        return client
