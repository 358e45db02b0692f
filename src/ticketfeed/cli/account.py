"""ticketfeed account: create and list accounts, choose the default one; copy, move and erase whole accounts."""

from typing import Annotated

import typer

from ticketfeed.cli import account_units
from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.protocol.account_names import check_account_name
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.settings import Settings
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.account_size import AccountQuota

__all__ = ["app"]

app = typer.Typer(help="Create, list, copy, move and erase accounts, and choose the default one.", no_args_is_help=True)


@app.command()
@with_settings("store", "accept_clock")
def create(settings: Settings, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Create an account. Does nothing if it exists."""
    name = check_account_name(name)

    async def work() -> None:
        async with opened(settings.store, accept_clock=settings.accept_clock) as store:
            await store.create_account(name)

    run_async(work())


@app.command("list")
@with_settings("store")
def list_accounts(settings: Settings) -> None:
    """List all accounts with their number of tickets; `default` marks the default account, if there are several.

    Exit code 0: done. 1: an account could not be reached; standard error says which.
    """

    async def work() -> int:
        failed = 0
        async with opened(settings.store, create=False) as store:
            accounts, default = await store.list_accounts(), await store.find_default_account()
            sizes, away = await read_in_batches(await store.list_shards(), store.find_sizes)
            states = {account_id: state for account_id, state, _ in sizes}
            for account in accounts:
                if (state := states.get(account.account_id)) is None:
                    failed += 1
                    print_err(f"ticketfeed: account {account.subdomain}: {away.get(account, 'it has no row')}")
                    continue
                mark = "\tdefault" if account == default and len(accounts) > 1 else ""
                print(f"{account.subdomain}\t{state.ticket_count} tickets{mark}")
        return failed

    if run_async(work()):
        raise typer.Exit(1)


@app.command("default")
@with_settings("store")
def choose_default(settings: Settings, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make NAME the default account: that of commands without --account, and of hosts that are an address or localhost.

    Until one is chosen, it is the account that was created first. Running servers follow within a second.
    """

    async def work() -> None:
        async with opened(settings.store, create=False) as store:
            await store.put_default_account(await choose_account(store, name))

    run_async(work())


@app.command()
@with_settings("store", "accept_clock")
def quota(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tickets_max: Annotated[
        int | None, typer.Option("--tickets-max", min=0, max=INT64_MAX, help="How many tickets it may hold.")
    ] = None,
    bytes_max: Annotated[
        int | None,
        typer.Option(
            "--bytes-max", min=0, max=INT64_MAX, help="How many bytes its tickets and records may have, as JSON."
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Let it hold any number.")] = False,
) -> None:
    """Show or change the quota of an account. What is not named stays as it is.

    Once the quota is reached, servers answer writes to the account with 403, except deletions. Tickets are compared
    every ten seconds; bytes are those of the last measurement. Quotas do not apply to commands.
    """
    if clear and (tickets_max, bytes_max) != (None, None):
        raise BadInput("--clear stands alone")

    async def work() -> AccountQuota:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            account = await choose_account(store, name)
            before = await store.inspect(lambda snapshot: snapshot.find_quota(account), accounts=[account])
            changes = {"tickets_max": tickets_max, "bytes_max": bytes_max}
            after = before._replace(**{key: most for key, most in changes.items() if most is not None})
            after = AccountQuota() if clear else after
            if after != before:
                await store.write(account, lambda write: write.put_quota(after))
            return after

    for most, what in zip(run_async(work()), ("tickets", "bytes"), strict=True):
        print(f"{name}\t{'any number of' if most is None else most}\t{what}")


app.command()(account_units.export)
app.command("import")(account_units.import_)
app.command()(account_units.copy)
app.command()(account_units.unfreeze)
app.command()(account_units.erase)
app.command()(account_units.isolate)
