"""ticketfeed repair: mend what a mistake has left in a store."""

import typer

from ticketfeed.cli.options import (
    DEFAULT_CLOCK_ERROR_SECONDS,
    ClockErrorOption,
    choose_account,
    opened,
    run_async,
    with_settings,
)
from ticketfeed.cli.output import count_noun, utc_time
from ticketfeed.clock import system_clock
from ticketfeed.protocol.consumers import Consumer
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage import Store
from ticketfeed.writing.clock_repair import ClockRepair, repair_clock

__all__ = ["app"]

app = typer.Typer(help="Mend what a mistake has left in a store.", no_args_is_help=True)


@app.callback()
def _repairs() -> None:
    """Mend what a mistake has left in a store."""


@app.command()
@with_settings("account", "store", "accept_clock", "test_clock")
def clock(settings: Settings, clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS) -> None:
    """Bring an account back whose feed lies in the future, because it was written while a clock was ahead.

    Set the clock right first. Changes of the future become changes of now; readers that have received them receive
    them again. Servers may go on.
    """

    async def work() -> None:
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            account = await choose_account(store, settings.account)
            consumers = await _consumers_ahead(store, account, store.clocks.at(account, system_clock()) + clock_error)
            repair = await store.write(account, lambda write: repair_clock(write, clock_error), exclusive=True)
            _report(account, repair, consumers)

    run_async(work())


async def _consumers_ahead(store: Store, account: Account, now: int) -> list[Consumer]:
    try:
        consumers = await store.read_consumers(account)
    except StoreUnavailable:  # they are only told of
        return []
    return [each for each in consumers if each.position is not None and each.position.generated_timestamp > now]


def _report(account: Account, repair: ClockRepair | None, consumers: list[Consumer]) -> None:
    name = account.subdomain
    if repair is None:
        print(f"{name}\tnothing lies in the future")
        return
    moved = f"{count_noun(repair.tickets, 'ticket')} and {count_noun(repair.records, 'record')}"
    print(f"{name}\tbrought back from {utc_time(repair.newest)}\tfenced at {utc_time(repair.watermark)}")
    print(f"{name}\t{moved} changed now: readers that have received them receive them again")
    for each in consumers:
        print(f"{name}\tconsumer {each.email} ({each.user_agent or 'no user agent'}) is sent back, and misses nothing")
