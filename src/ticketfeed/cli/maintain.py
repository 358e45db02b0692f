"""ticketfeed maintain: run scheduled maintenance once."""

from typing import Annotated

import typer

from ticketfeed.cli.options import DAYS_MAX, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.clock import system_clock
from ticketfeed.data.maintenance import maintain as maintain_account
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.settings import Settings

__all__ = ["maintain"]


@with_settings("store", "accept_clock", "test_clock")
def maintain(
    settings: Settings,
    close_solved_days: Annotated[
        int,
        typer.Option(min=0, max=DAYS_MAX, help="Close tickets this many days after they were solved; 0 disables it."),
    ] = 0,
    scrub_deleted_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=DAYS_MAX,
            help="Erase the content of tickets this many days after they were deleted; 0 disables it.",
        ),
    ] = 0,
) -> None:
    """Run maintenance once for every account: close old solved tickets, scrub old deleted ones, overwrite erased rows.

    `serve` runs it every minute when the rules of the same names enable it.

    Exit code 0: done. 1: an account could not be reached; standard error says which.
    """

    async def work() -> int:
        failed = 0
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            for account in await store.list_accounts():
                try:
                    done = await maintain_account(
                        store,
                        account,
                        close_solved_days=close_solved_days,
                        scrub_deleted_days=scrub_deleted_days,
                        now=store.clocks.at(account, system_clock()),
                    )
                except (StoreError, StoreUnavailable) as error:
                    failed += 1
                    print_err(f"ticketfeed: account {account.subdomain}: {error}")
                else:
                    print(f"{account.subdomain}: closed {done['closed']:,}, scrubbed {done['scrubbed']:,}")
            await store.overwrite_erased()
        return failed

    if run_async(work()):
        raise typer.Exit(1)
