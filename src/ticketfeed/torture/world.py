"""The small help desk that every scenario has a fork of, in memory."""

import secrets

from ticketfeed.clock import system_clock
from ticketfeed.data.demo import DEMO_CLIENT, DEMO_USERS, fill_demo
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth import Lifetimes, NewSecrets, choose_scopes
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.torture.placeholders import CommandFacts
from ticketfeed.writing.oauth import add_token

__all__ = ["World"]


class World:
    """A generated help desk. `fork` takes a millisecond."""

    def __init__(self, store: MemoryStore, account: Account) -> None:
        self._store, self.account = store, account

    @classmethod
    async def make(cls, tickets: int, seed: int) -> "World":
        """Generate it, with an admin who has an API token, and an OAuth client that acts as the admin."""
        store = MemoryStore(system_clock)
        account = await store.create_account("demo")
        await fill_demo(store, account, tickets, seed, system_clock())
        return cls(store, account)

    async def fork(self, facts: CommandFacts) -> MemoryStore:
        """A store of its own, and a refresh token of it in the file."""
        store = self._store.copy(system_clock)
        made = NewSecrets(secrets.token_hex(32), secrets.token_hex(32))

        def work(write: WriteTransaction) -> None:
            client = write.find_client(DEMO_CLIENT[0])
            assert client is not None
            add_token(write, client, client.user_id, choose_scopes(client, None, None), made, Lifetimes(None))

        await store.write(self.account, work)
        facts.refresh_token_file.write_text(f"{made.refresh}\n")
        facts.refresh_token_file.chmod(0o600)
        return store

    @property
    def credentials(self) -> tuple[str, str, str, str]:
        """Email and API token of an admin; identifier and secret of an OAuth client."""
        email, _, token = DEMO_USERS[0]
        return email, token, *DEMO_CLIENT
