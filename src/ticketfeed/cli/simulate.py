"""ticketfeed simulate: generate traffic, as the agents and end users of a help desk would."""

import asyncio
import contextlib
import signal
import time
from typing import Annotated

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.data.simulation import Simulation
from ticketfeed.settings import Settings

__all__ = ["simulate"]

_REPORT_SECONDS = 10.0


@with_settings("store", "account", "accept_clock", "test_clock")
def simulate(
    settings: Settings,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Changes per second.")] = 5.0,
    minutes: Annotated[float | None, typer.Option(min=0, help="Stop after this time. Default: run until ^C.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the generated changes.")] = 1,
) -> None:
    """Change a help desk continuously: new tickets, replies, updates, bulk edits, deletions. Can run beside `serve`."""

    async def work() -> None:
        async with opened(
            settings.store, create=False, accept_clock=settings.accept_clock, test_clock=settings.test_clock
        ) as store:
            account = await choose_account(store, settings.account)
            simulation = Simulation(store, account, seed)
            await simulation.prepare()
            running = asyncio.create_task(simulation.run(rate, None if minutes is None else minutes * 60))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            started = time.monotonic()
            while not running.done():
                await asyncio.wait([running], timeout=_REPORT_SECONDS)
                _print_counts(simulation, time.monotonic() - started)
            with contextlib.suppress(asyncio.CancelledError):
                await running

    run_async(work())


def _print_counts(simulation: Simulation, seconds: float) -> None:
    total = simulation.done.total()
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(simulation.done.items()))
    print(
        f"{total:,} changes, {total / seconds:,.1f} per second, {simulation.refused:,} conflicts: {kinds}", flush=True
    )
