"""ticketfeed snapshot: save an account as it is, put it back later, or make another account of it."""

import time as machine
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import count_noun, utc_time
from ticketfeed.data.saved_accounts import delete_saved_account, fork_account, rewind_account, save_account
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage import Store

__all__ = ["app"]

# Servers ask for clocks every quarter of a second; what follows the command finds them as they were saved.
FOLLOWED_SECONDS = 0.5

app = typer.Typer(help="Save an account, put it back, or make others of it, for tests.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the snapshot.")]


@app.command()
@with_settings("account", "store", "accept_clock")
def save(settings: Settings, name: NameArgument) -> None:
    """Save all that the account holds: tickets, records, credentials, OAuth clients and tokens, and its clock."""

    async def work(store: Store, account: Account) -> None:
        saved = await save_account(store, account, name)
        print(f"{account.subdomain}\tsaved as {name}\t{count_noun(saved.tickets, 'ticket')}")

    _run(settings, work)


@app.command("list")
@with_settings("account", "store")
def list_snapshots(settings: Settings) -> None:
    """List the snapshots of the account, the oldest first, with the account's time when it was saved."""

    async def work(store: Store, account: Account) -> None:
        for saved in await store.list_saved(account):
            print(f"{saved.name}\t{utc_time(saved.saved_at)}\t{count_noun(saved.tickets, 'ticket')}")

    _run(settings, work)


@app.command()
@with_settings("account", "store", "accept_clock")
def rewind(
    settings: Settings,
    name: NameArgument,
    with_consumers: Annotated[
        bool,
        typer.Option(
            "--with-consumers",
            help="The readers are put back too, by you: set no fence, and put back what is known of them.",
        ),
    ] = False,
) -> None:
    """Put the account back to what it was. Readers that are not put back too are kept safe by a fence."""

    async def work(store: Store, account: Account) -> None:
        saved = await rewind_account(store, account, name, with_consumers=with_consumers)
        print(f"{account.subdomain}\trewound to {name}\t{count_noun(saved.tickets, 'ticket')}")

    _run(settings, work)
    machine.sleep(FOLLOWED_SECONDS)


@app.command()
@with_settings("account", "store", "accept_clock")
def fork(
    settings: Settings,
    name: NameArgument,
    new_account: Annotated[str, typer.Argument(metavar="NEW_ACCOUNT", help="The name of the account to be made.")],
) -> None:
    """Make another account that begins as the account was, with the same credentials."""

    async def work(store: Store, account: Account) -> None:
        await fork_account(store, account, name, new_account)
        print(f"{new_account}\tforked from {name} of {account.subdomain}")

    _run(settings, work)
    machine.sleep(FOLLOWED_SECONDS)


@app.command()
@with_settings("account", "store", "accept_clock")
def delete(settings: Settings, name: NameArgument) -> None:
    """Delete a snapshot."""

    async def work(store: Store, account: Account) -> None:
        await delete_saved_account(store, account, name)
        print(f"{account.subdomain}\tdeleted {name}")

    _run(settings, work)


def _run(settings: Settings, work: Callable[[Store, Account], Awaitable[None]]) -> None:
    if settings.store == "memory:":
        raise BadInput("a memory: store is empty when it is opened; use its server: POST /_ticketfeed/snapshots")

    async def run() -> None:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock, test_clock=True) as store:
            await work(store, await choose_account(store, settings.account))

    run_async(run())
