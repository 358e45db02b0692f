"""ticketfeed store: the store as a whole."""

from typing import Annotated

import typer

from ticketfeed.cli.options import with_settings
from ticketfeed.settings import Settings
from ticketfeed.storage.distribution import distribute_store

__all__ = ["app"]

app = typer.Typer(help="Distribute the store over the nodes of Citus.", no_args_is_help=True)


@app.callback()
def _stores() -> None:
    """Distribute the store over the nodes of Citus."""


@app.command()
@with_settings("store")
def distribute(
    settings: Settings,
    undo: Annotated[bool, typer.Option("--undo", help="Take all tables back to the coordinator.")] = False,
    shards: Annotated[
        int | None,
        typer.Option(min=1, max=64000, help="Shards of each table, of a store that is not distributed yet."),
    ] = None,
) -> None:
    """Distribute the tables of the store over the nodes of Citus, by account; those that are already stay as they are.

    In one transaction, for which requests wait. The nodes must have been added.
    """
    tables = distribute_store(settings.store, undo=undo, shards=shards)
    for table in tables:
        print(f"{table}\t{'taken back' if undo else 'distributed'}")
    if not tables:
        print("nothing is distributed" if undo else "everything is distributed already")
