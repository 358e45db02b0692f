"""ticketfeed migrate: bring a store's schema up to date, apart from serving it."""

from typing import Annotated

import typer

from ticketfeed.cli.options import opened, run_async, with_settings
from ticketfeed.cli.output import count_noun
from ticketfeed.settings import Settings
from ticketfeed.storage.pending import read_pending

__all__ = ["migrate"]


@with_settings("store")
def migrate(
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be applied.")] = False,
) -> None:
    """Create the store if there is none, and apply the migrations that it lacks, as any command on it would.

    Each is listed with `additive`, if servers of a release that does not know it can go on, or `not additive`, if they
    must be stopped before. Run it before servers of a new release are started, as where their user may not change
    tables. Done before, it changes nothing.
    """
    pending = read_pending(settings.store)

    async def work() -> int:
        async with opened(settings.store) as store:
            return len(await store.list_accounts())

    count = 0 if dry_run else run_async(work())
    for name, is_additive in pending or ():
        print(f"{name}\t{'additive' if is_additive else 'not additive'}")
    if not dry_run:
        print(f"the schema is up to date; {count_noun(count, 'account')}")
    elif pending is None:
        print("there is no store yet")
    else:
        print(f"{count_noun(len(pending), 'migration')} to apply")
