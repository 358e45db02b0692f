"""ticketfeed fence: keep cursors valid after a failover or a restore by other means than `ticketfeed restore`."""

import typer

from ticketfeed.cli.options import (
    DEFAULT_CLOCK_ERROR_SECONDS,
    ClockErrorOption,
    opened,
    run_async,
    with_settings,
)
from ticketfeed.cli.output import print_err, print_fenced
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.settings import Settings

__all__ = ["fence"]


@with_settings("store", "accept_clock")
def fence(settings: Settings, clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS) -> None:
    """Raise every account's watermark past any position that readers may have received.

    Run it after a restore by other means, before the first write. A promoted PostgreSQL standby needs none: the first
    write of each account raises it. Running it again does no harm.

    Exit code 0: all are fenced. 1: an account could not be reached; standard error says which.
    """

    async def work() -> int:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            failed = 0
            for account, state in await store.fence_accounts(clock_error):
                if isinstance(state, StoreUnavailable):
                    failed += 1
                    print_err(f"ticketfeed: account {account.subdomain} is not fenced: {state}")
                else:
                    print_fenced(account.subdomain, state)
            return failed

    if run_async(work()):
        raise typer.Exit(1)
