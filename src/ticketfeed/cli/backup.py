"""ticketfeed backup and ticketfeed restore."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskProgressColumn

from ticketfeed.cli.options import DEFAULT_CLOCK_ERROR_SECONDS, ClockErrorOption, with_settings
from ticketfeed.cli.output import print_fenced
from ticketfeed.cli.progress import progress
from ticketfeed.settings import Settings
from ticketfeed.storage.backup import backup_store, restore_store

__all__ = ["backup", "restore"]

FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]


@with_settings("store")
def backup(settings: Settings, file: FileArgument) -> None:
    """Copy the store into FILE, which must not exist. Writes are not blocked.

    An SQLite store is copied into one SQLite file. A PostgreSQL store is dumped in pg_dump's custom format; pg_dump is
    looked up in PATH, or set by the variable PG_DUMP.
    """
    with progress("copying", TaskProgressColumn()) as bar:
        backup_store(settings.store, file, bar.update)
    print(f"wrote {file}")


@with_settings("store")
def restore(
    settings: Settings, file: FileArgument, clock_error: ClockErrorOption = DEFAULT_CLOCK_ERROR_SECONDS
) -> None:
    """Create the store from the backup FILE, and fence it. The store must not exist.

    A PostgreSQL database may exist if it has no schema `ticketfeed`; pg_restore is looked up in PATH, or set by the
    variable PG_RESTORE.
    """
    with progress("copying", TaskProgressColumn()) as bar:
        fenced = restore_store(settings.store, file, clock_error, bar.update)
    for account, state in fenced:
        print_fenced(account.subdomain, state)
