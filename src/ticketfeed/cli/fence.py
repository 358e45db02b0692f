"""ticketfeed fence: keep cursors valid after a failover or a restore by other means than `ticketfeed restore`."""

from ticketfeed.cli.options import (
    DEFAULT_CLOCK_ERROR_SECONDS,
    ClockErrorOption,
    opened,
    run_async,
    with_settings,
)
from ticketfeed.cli.output import print_fenced
from ticketfeed.settings import Settings

__all__ = ["fence"]


@with_settings("store", "accept_clock")
def fence(settings: Settings, clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS) -> None:
    """Raise every account's watermark past any position that readers may have received.

    Run it after a failover, or after a restore by other means, before the first write. Running it again does no harm.
    """

    async def work() -> None:
        async with opened(settings.store, create=False, accept_clock=settings.accept_clock) as store:
            for account in await store.list_accounts():
                state = await store.fence(account, clock_error)
                print_fenced(account.subdomain, state.watermark)

    run_async(work())
