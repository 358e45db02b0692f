"""ticketfeed generate: generate a help desk into a store or a file."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import MofNCompleteColumn

from ticketfeed.atomic_file import atomic_file
from ticketfeed.cli.options import DEFAULT_ACCOUNT, TICKETS_MAX, new_account, opened, run_async, with_settings
from ticketfeed.cli.progress import progress
from ticketfeed.clock import system_clock
from ticketfeed.data.demo import DAY_SECONDS, generated_records
from ticketfeed.data.import_files import InputRecord
from ticketfeed.data.load import LoadSummary, load_records
from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import Settings

__all__ = ["generate"]


@with_settings("account", "store", "accept_clock")
def generate(
    settings: Settings,
    tickets: Annotated[int, typer.Argument(metavar="N", min=0, max=TICKETS_MAX, help="Number of tickets.")],
    seed: Annotated[int, typer.Option(help="The same seed, N and --until give the same bytes.")] = 1,
    out: Annotated[
        str | None, typer.Option(help="Write NDJSON to this file instead of the store; - is standard output.")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(help="Time of the newest event, in Unix seconds. Default: the start of the current day."),
    ] = None,
    histories: Annotated[
        bool, typer.Option(help="Generate audits, metrics and ratings of each ticket, which takes most of the time.")
    ] = True,
) -> None:
    """Generate a coherent help desk: people, settings, and N tickets with their history."""
    now = system_clock()
    until = until if until is not None else now - now % DAY_SECONDS
    if not 0 <= until <= now:
        raise BadInput("--until must be a time in the past, in Unix seconds")

    def records(account: str, advance: Callable[[int], None]) -> Iterator[InputRecord]:
        return generated_records(tickets, seed, until, account, advance, histories)

    with progress("generating", MofNCompleteColumn()) as bar:
        bar.update(0, tickets)
        if out is not None:
            _write(out, records(settings.account or DEFAULT_ACCOUNT, bar.advance))
        else:
            print(f"generated {run_async(_load(settings, lambda account: records(account, bar.advance)))}")


async def _load(settings: Settings, records: Callable[[str], Iterator[InputRecord]]) -> LoadSummary:
    async with opened(settings.store, accept_clock=settings.accept_clock) as store:
        account = await new_account(store, settings.account, among_others=True)
        return await load_records(store, account, records(account.subdomain), now=system_clock(), derives_metrics=False)


def _write(out: str, records: Iterator[InputRecord]) -> None:
    """One ticket a line; a record of another kind is written as a page of one record, which names its kind."""

    def write(file: IO[bytes]) -> None:
        for record in records:
            line = record.data if record.kind == "tickets" else b'{"%s":[%s]}' % (record.kind.encode(), record.data)
            file.write(line + b"\n")

    path = Path(out)
    if out == "-":
        write(sys.stdout.buffer)
    elif path.exists() and not path.is_file():  # a device or a pipe is written to; it must not be replaced by a file
        with path.open("wb") as file:
            write(file)
    else:
        with atomic_file(path, 0o666, replace=True) as part, part.open("wb") as file:
            write(file)
