"""ticketfeed check: check the integrity of a store."""

import typer
from rich.progress import TaskProgressColumn

from ticketfeed.cli.options import opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.cli.progress import progress
from ticketfeed.data.integrity_check import CheckSummary, check_store
from ticketfeed.settings import Settings

__all__ = ["check"]


@with_settings("store")
def check(settings: Settings) -> None:
    """Check the integrity of a store, and print one line for each problem. Reads one snapshot; writes are not blocked.

    Exit code 0: no problem. 1: at least one.
    """

    async def work() -> CheckSummary:
        async with opened(settings.store, create=False) as store:
            with progress("checking", TaskProgressColumn()) as bar:
                return await store.inspect(lambda snapshot: check_store(snapshot, print, bar.update))

    summary = run_async(work())
    if summary.findings:
        print_err(f"ticketfeed: {summary}")
        raise typer.Exit(1)
    print(summary)
