"""check, fence, backup, restore: keeping a store sound."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskProgressColumn

from ticketfeed.cli.options import DEFAULT_STORE, StoreOption, note, opened, run_async
from ticketfeed.cli.progress import progress
from ticketfeed.data.integrity_check import CheckSummary, check_store
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.backup import backup_store, restore_store

__all__ = ["register"]

DEFAULT_CLOCK_ERROR_SECONDS = 5
# A watermark is never lowered: with more, a slip of the finger would hold every change back for days.
CLOCK_ERROR_SECONDS_MAX = 86400

ClockErrorOption = Annotated[
    int,
    typer.Option(
        "--clock-error",
        metavar="SECONDS",
        min=0,
        max=CLOCK_ERROR_SECONDS_MAX,
        help="How far this machine's clock may be behind that of the machine that served.",
    ),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


def register(app: typer.Typer) -> None:
    for command in (check, fence, backup, restore):
        app.command()(command)


def check(store: StoreOption = DEFAULT_STORE) -> None:
    """Verify everything that a store must hold to; print one line for each thing that is wrong.

    Exit code 0: nothing is. 1: something is. It reads one snapshot, while writers go on.
    """

    async def work() -> CheckSummary:
        async with opened(store, create=False) as opened_store:
            with progress("checking", TaskProgressColumn()) as bar:
                return await opened_store.inspect(lambda snapshot: check_store(snapshot, print, bar.update))

    summary = run_async(work())
    if summary.findings:
        note(f"ticketfeed: {summary}")
        raise typer.Exit(1)
    print(summary)


def fence(store: StoreOption = DEFAULT_STORE, clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS) -> None:
    """Raise every account's watermark past any position that readers can have been given.

    Run it before the first write after a promotion or a restore by other means. It may be run again.
    """

    async def work() -> None:
        async with opened(store, create=False) as opened_store:
            for account in await opened_store.list_accounts():
                _tell_fenced(account, await opened_store.fence(account, clock_error))

    run_async(work())


def backup(file: FileArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Copy the store into FILE, which must not be there yet, while writers go on.

    An SQLite store becomes one SQLite file. A PostgreSQL store becomes a dump in pg_dump's custom format; pg_dump is
    taken from PATH, or from the variable PG_DUMP.
    """
    with progress("copying", TaskProgressColumn()) as bar:
        backup_store(store, file, bar.update)
    print(f"wrote {file}")


def restore(
    file: FileArgument,
    store: StoreOption = DEFAULT_STORE,
    clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS,
) -> None:
    """Make a store of the backup FILE where there is none, and fence it.

    A PostgreSQL database may be there, but without a schema `ticketfeed`; pg_restore is taken from PATH, or from the
    variable PG_RESTORE.
    """
    with progress("copying", TaskProgressColumn()) as bar:
        fenced = restore_store(store, file, clock_error, bar.update)
    for account, state in fenced:
        _tell_fenced(account, state)


def _tell_fenced(account: Account, state: FeedState) -> None:
    moment = datetime.fromtimestamp(state.watermark, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    print(f"{account.subdomain}\tfenced at {state.watermark}\t{moment}")
