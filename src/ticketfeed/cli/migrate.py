"""ticketfeed migrate: bring a store's schema up to date, apart from serving it."""

from ticketfeed.cli.options import opened, run_async, with_settings
from ticketfeed.cli.output import count_noun
from ticketfeed.settings import Settings

__all__ = ["migrate"]


@with_settings("store")
def migrate(settings: Settings) -> None:
    """Create the store if there is none, and apply the migrations that it lacks, as any command on it would.

    Run it before servers of a new release are started, as where their user may not change tables. Done before, it
    changes nothing.
    """

    async def work() -> int:
        async with opened(settings.store) as store:
            return len(await store.list_accounts())

    print(f"the schema is up to date; {count_noun(run_async(work()), 'account')}")
