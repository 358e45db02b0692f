"""ticketfeed maintain: run scheduled maintenance once."""

from functools import partial
from typing import Annotated

import typer

from ticketfeed.cli.options import DAYS_MAX, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.clock import system_clock
from ticketfeed.data.maintenance import find_due
from ticketfeed.data.maintenance import maintain as maintain_account
from ticketfeed.protocol.errors import StoreError, StoreReadOnly, StoreUnavailable
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

    Exit code 0: done. 1: an account, or a server that holds some, could not be reached; standard error says which.
    """

    async def work() -> int:
        failed = 0
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            ages = {"close_solved_days": close_solved_days, "scrub_deleted_days": scrub_deleted_days}
            times = partial(store.clocks.at, now=system_clock())
            due, away = await find_due(store, await store.list_shards(), times, **ages)
            for account in await store.list_accounts():
                done = {"closed": 0, "scrubbed": 0}
                try:
                    if account in away:
                        raise away[account]
                    if account in due:
                        done = await maintain_account(store, account, **ages, now=times(account))
                except StoreReadOnly:
                    raise
                except (StoreError, StoreUnavailable) as error:
                    failed += 1
                    print_err(f"ticketfeed: account {account.subdomain}: {error}")
                else:
                    print(f"{account.subdomain}: closed {done['closed']:,}, scrubbed {done['scrubbed']:,}")
            try:
                await store.overwrite_erased()
            except StoreReadOnly:
                raise
            except StoreUnavailable as error:
                failed += 1
                print_err(f"ticketfeed: erased rows are not overwritten yet: {error}")
        return failed

    if run_async(work()):
        raise typer.Exit(1)
