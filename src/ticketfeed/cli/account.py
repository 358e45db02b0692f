"""ticketfeed account: create and list accounts."""

from typing import Annotated

import typer

from ticketfeed.cli.options import checked_name, opened, run_async, with_settings
from ticketfeed.settings import Settings

__all__ = ["app"]

app = typer.Typer(help="Create and list accounts.", no_args_is_help=True)


@app.command()
@with_settings("store")
def create(settings: Settings, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Create an account. Does nothing if it exists."""
    name = checked_name(name)

    async def work() -> None:
        async with opened(settings.store) as store:
            await store.create_account(name)

    run_async(work())


@app.command("list")
@with_settings("store")
def list_accounts(settings: Settings) -> None:
    """List all accounts with their number of tickets."""

    async def work() -> None:
        async with opened(settings.store, create=False) as store:
            for account in await store.list_accounts():
                state = await store.read_state(account)
                print(f"{account.subdomain}\t{state.ticket_count} tickets")

    run_async(work())
