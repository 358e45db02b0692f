"""maintain, simulate: what happens to tickets by itself."""

import asyncio
import contextlib
import signal
import time
from typing import Annotated

import typer

from ticketfeed.cli.options import DEFAULT_STORE, AccountOption, StoreOption, choose_account, opened, run_async
from ticketfeed.clock import system_clock
from ticketfeed.data.maintenance import maintain as maintain_account
from ticketfeed.data.simulation import Simulation

__all__ = ["register"]

_TELL_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    app.command()(maintain)
    app.command()(simulate)


def maintain(
    store: StoreOption = DEFAULT_STORE,
    close_solved_days: Annotated[int, typer.Option(min=0, help="Close what was solved so long ago; 0 nothing.")] = 0,
    scrub_deleted_days: Annotated[int, typer.Option(min=0, help="Scrub what was deleted so long ago; 0 nothing.")] = 0,
) -> None:
    """Do once what time alone does to tickets, in every account; `serve` does it by itself where rules say so."""

    async def work() -> None:
        async with opened(store, create=False) as opened_store:
            for account in await opened_store.list_accounts():
                done = await maintain_account(
                    opened_store,
                    account,
                    close_solved_days=close_solved_days,
                    scrub_deleted_days=scrub_deleted_days,
                    now=system_clock(),
                )
                print(f"{account.subdomain}: closed {done['closed']:,}, scrubbed {done['scrubbed']:,}")

    run_async(work())


def simulate(
    store: StoreOption = DEFAULT_STORE,
    account: AccountOption = None,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Things that happen in a second.")] = 5.0,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after so long; otherwise on ^C.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another story.")] = 1,
) -> None:
    """Keep a help desk busy: new tickets, replies, changes, bulk edits, deletions. Beside `serve`, or alone."""

    async def work() -> None:
        async with opened(store) as opened_store:
            simulation = Simulation(opened_store, await choose_account(opened_store, account, create=True), seed)
            await simulation.prepare()
            running = asyncio.create_task(simulation.run(rate, None if minutes is None else minutes * 60))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            started = time.monotonic()
            while not running.done():
                await asyncio.wait([running], timeout=_TELL_SECONDS)
                _tell(simulation, time.monotonic() - started)
            with contextlib.suppress(asyncio.CancelledError):
                await running

    run_async(work())


def _tell(simulation: Simulation, seconds: float) -> None:
    total = simulation.done.total()
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(simulation.done.items()))
    print(f"{total:,} changes, {total / seconds:,.1f} a second, {simulation.refused:,} too late: {kinds}", flush=True)
