"""The demo: a generated help desk, and users with well-known credentials."""

from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from ticketfeed.data.import_files import InputRecord
from ticketfeed.data.load import load_records
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.oauth_input import ClientInput
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.world import generate_world
from ticketfeed.writing.credentials import add_user_credential
from ticketfeed.writing.oauth_clients import create_client, user_with_email

__all__ = ["DAY_SECONDS", "DEMO_CLIENT", "DEMO_USERS", "fill_demo", "generated_records"]

DAY_SECONDS = 86400
DEMO_USERS = (("admin@example.com", "admin", "demo-token"), ("agent@example.com", "agent", "agent-token"))
# Identifier and secret of an OAuth client.
DEMO_CLIENT = ("demo-client", "demo-secret")


async def fill_demo(store: Store, account: Account, tickets: int, seed: int, now: int) -> None:
    """Fill an account with the demo if it is empty. Raises BadInput if it holds tickets that are not the demo's."""
    if (await store.read_state(account)).ticket_count == 0:
        records = generated_records(tickets, seed, now - now % DAY_SECONDS, account.subdomain)
        await load_records(store, account, records, now=now, derives_metrics=False)
    elif await store.find_token_user(account, hash_token(DEMO_USERS[0][2])) is None:
        raise BadInput("this store holds tickets of your own, not a demo; well-known credentials would expose them")
    for email, role, token in DEMO_USERS:
        found = await store.find_token_user(account, hash_token(token))
        if found is None:
            await add_user_credential(store, account, email, role, "api_token", token, is_public=True)
        else:  # a demo from long ago is not to begin with API tokens that were unused for too long
            await store.write(account, partial(_reactivate, found.id))
    await _add_client(store, account)


def _reactivate(credential_id: int, write: WriteTransaction) -> None:
    write.use_credential(credential_id, write.now)


async def _add_client(store: Store, account: Account) -> None:
    """The demo's OAuth client, which acts as the admin, if there is none yet."""
    identifier, secret = DEMO_CLIENT
    values = ClientInput(
        "Demo client", identifier, redirect_uri=["http://localhost:19186/", "http://localhost:8000/callback"]
    )

    def work(write: WriteTransaction) -> None:
        if write.find_client(identifier) is None:
            create_client(write, values, user_with_email(write, DEMO_USERS[0][0]), secret)

    await store.write(account, work)


def generated_records(
    tickets: int,
    seed: int,
    until: int,
    account: str,
    advance: Callable[[int], None] = lambda _count: None,
    histories: bool = True,
) -> Iterator[InputRecord]:
    """Generate a help desk as the input of a load. `advance` is called for each ticket."""
    encode = msgspec.json.Encoder().encode
    world = generate_world(tickets, seed=seed, until=until, account=account, histories=histories)
    for number, (kind, record) in enumerate(world, 1):
        if kind == "tickets":
            advance(1)
        yield InputRecord(("generated", number), kind, encode(record))
