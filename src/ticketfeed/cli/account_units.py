"""ticketfeed account export, import, copy, unfreeze, erase and isolate: an account as a whole."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ticketfeed.cli.options import (
    DEFAULT_CLOCK_ERROR_SECONDS,
    ClockErrorOption,
    choose_account,
    opened,
    run_async,
    with_settings,
)
from ticketfeed.cli.output import count_noun, print_err
from ticketfeed.protocol.account_names import check_account_name
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage.account_copy import FREEZE_SECONDS, CopiedAccount, copy_account, with_accounts
from ticketfeed.storage.account_file import open_account_file, write_account_file
from ticketfeed.storage.distribution import isolate_account

__all__ = ["copy", "erase", "export", "import_", "isolate", "unfreeze"]

NameArgument = Annotated[str, typer.Argument(metavar="NAME")]
NewNameOption = Annotated[
    str | None, typer.Option("--name", metavar="NEW_NAME", help="The name of the new account, if it is another one.")
]
MoveOption = Annotated[
    bool,
    typer.Option(
        "--move", help="Refuse writes of the account here for good, so that none is lost: readers and writers move too."
    ),
]
FreezeOption = Annotated[
    float,
    typer.Option(
        "--freeze",
        metavar="SECONDS",
        min=1,
        max=3600,
        help="How long writes may be refused, with 503 and Retry-After, while the end of the account is copied.",
    ),
]


@with_settings("store", "accept_clock")
def export(
    settings: Settings,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    move: MoveOption = False,
    freeze: FreezeOption = FREEZE_SECONDS,
) -> None:
    """Copy an account into FILE, which must not exist, of one instant; neither reads nor writes are blocked.

    FILE is an SQLite store of this account alone, with all that it has: tickets, records, credentials, OAuth clients
    and tokens, jobs, consumers and recent requests. Only its owner can read it.
    """

    async def work() -> CopiedAccount:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            source = with_accounts(store)
            account = await choose_account(store, name)
            async with write_account_file(file) as target:
                return await copy_account(
                    source,
                    account,
                    target,
                    name,
                    clock_error_seconds=DEFAULT_CLOCK_ERROR_SECONDS,
                    freeze_seconds=freeze if move else None,
                    moves=move,
                    is_file=True,
                )

    _print_copied(name, f"written to {file}", run_async(work()), is_moved=move)


@with_settings("store", "accept_clock")
def import_(
    settings: Settings,
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    name: NewNameOption = None,
    clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS,
) -> None:
    """Put the account of FILE, written by `ticketfeed account export`, into the store, which must not have it.

    The account appears when it is complete. It is fenced: new changes come after all that its readers were given, and
    cursors stay valid.
    """

    async def work() -> tuple[str, CopiedAccount]:
        async with open_account_file(file) as (source, account):
            new_name = check_account_name(name or account.subdomain)
            async with opened(settings.store, accept_clock=settings.accept_clock) as store:
                copied = await copy_account(
                    source,
                    account,
                    with_accounts(store),
                    new_name,
                    clock_error_seconds=clock_error,
                    freeze_seconds=None,
                )
                return new_name, copied

    new_name, copied = run_async(work())
    _print_copied(new_name, "imported", copied)


@with_settings("accept_clock")
def copy(
    settings: Settings,
    name: NameArgument,
    source_url: Annotated[str, typer.Option("--from", metavar="URL", help="The store that has the account.")],
    target_url: Annotated[str, typer.Option("--to", metavar="URL", help="The store that gets it.")],
    new_name: NewNameOption = None,
    move: MoveOption = False,
    freeze: FreezeOption = FREEZE_SECONDS,
    clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS,
) -> None:
    """Copy an account to another store, which must not have it, while it is read and written.

    Reads are never blocked. Writes are refused with 503 and Retry-After while the end of the account is copied, usually
    for a fraction of a second. The copy appears when it is complete. It is fenced as after an import.
    """
    is_accepted = settings.accept_clock

    async def work() -> CopiedAccount:
        async with opened(source_url, create=False, accept_clock=is_accepted) as source:
            source_accounts = with_accounts(source)
            account = await choose_account(source, name)
            target_name = check_account_name(new_name or name)
            async with opened(target_url, accept_clock=is_accepted) as target:
                return await copy_account(
                    source_accounts,
                    account,
                    with_accounts(target),
                    target_name,
                    clock_error_seconds=clock_error,
                    freeze_seconds=freeze,
                    moves=move,
                )

    _print_copied(new_name or name, "copied", run_async(work()), is_moved=move)


@with_settings("store", "accept_clock")
def unfreeze(settings: Settings, name: NameArgument) -> None:
    """Accept writes to an account again, which were refused since it was moved."""

    async def work() -> bool:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            return await with_accounts(store).unfreeze(await choose_account(store, name))

    print(f"{name}\t{'takes writes again' if run_async(work()) else 'took writes already'}")


@with_settings("store", "accept_clock")
def erase(
    settings: Settings,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, which is done on a terminal only.")] = False,
) -> None:
    """Erase an account with all that the store has of it, its snapshots too. What was erased is overwritten.

    It may be interrupted and repeated.
    """

    async def work() -> None:
        check_account_name(name)
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            accounts = with_accounts(store)
            if not await accounts.has_account(name):
                await choose_account(store, name)  # tells which there are
            if not yes and sys.stdin.isatty():
                typer.confirm(f"Erase the account {name} for good?", abort=True, err=True)
            await accounts.erase_account(name)
        print(f"{name}\terased")

    run_async(work())


@with_settings("store")
def isolate(settings: Settings, name: NameArgument) -> None:
    """Give an account a shard of its own, in a store that is distributed over the nodes of Citus.

    Writes of the accounts that it shared its shard with wait meanwhile; reads do not.
    """

    async def work() -> Account:
        async with opened(settings.store, create=False) as store:
            return await choose_account(store, name)

    print(f"{name}\ton its own shard {isolate_account(settings.store, run_async(work()))}")


def _print_copied(name: str, what: str, copied: CopiedAccount, *, is_moved: bool = False) -> None:
    print(f"{name}\t{what}\t{count_noun(copied.tickets, 'ticket')}\t{count_noun(copied.records, 'record')}")
    if copied.frozen_seconds:
        print_err(f"ticketfeed: writes were refused for {copied.frozen_seconds * 1000:,.0f} ms")
    if is_moved:
        print_err("ticketfeed: writes are refused at the source until: ticketfeed account unfreeze, or account erase")
