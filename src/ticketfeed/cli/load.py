"""load, generate: data in."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.progress import DownloadColumn, MofNCompleteColumn

from ticketfeed.cli.options import (
    DEFAULT_ACCOUNT,
    DEFAULT_STORE,
    AccountOption,
    StoreOption,
    choose_account,
    note,
    opened,
    run_async,
)
from ticketfeed.cli.progress import progress
from ticketfeed.clock import system_clock
from ticketfeed.data.demo import DAY_SECONDS, generated_records
from ticketfeed.data.import_files import InputRecord, open_input, read_input
from ticketfeed.data.load import LoadSummary, OnError, load_records
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.shapes import KINDS, Kind

__all__ = ["register"]

REPORTS_MAX = 20


def register(app: typer.Typer) -> None:
    app.command()(load)
    app.command()(generate)


def load(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to load; - is standard input.")],
    store: StoreOption = DEFAULT_STORE,
    account: AccountOption = None,
    kind: Annotated[
        Kind, typer.Option(help=f"What the records are, where they do not say so: {', '.join(KINDS)}.")
    ] = "tickets",
    on_error: Annotated[OnError, typer.Option(help="On a bad record: stop with nothing loaded, or skip it.")] = (
        "stop"
    ),
) -> None:
    """Load tickets, users and the rest from NDJSON, a JSON array or saved pages, plain or gzipped.

    Into an account as it was made each ticket keeps its generated_timestamp; into a used one the load is a change
    now. All or nothing is loaded.
    """
    size = _checked_size(files)
    with progress("loading", DownloadColumn()) as bar:
        bar.update(0, size)
        summary = run_async(_load(store, account, _read_files(files, kind, bar.advance), on_error))
    print(f"loaded {summary}")


def _checked_size(files: list[str]) -> int:
    """The bytes of the files together. Raises BadInput before a store is touched when one cannot be opened."""
    if files.count("-") > 1:
        raise BadInput("standard input can be read only once")
    paths = [Path(name) for name in files if name != "-"]
    for path in paths:
        if not path.is_fifo():
            with open_input(str(path)):
                pass
    return sum(path.stat().st_size for path in paths if path.is_file())


async def _load(store_url: str, name: str | None, records: Iterable[InputRecord], on_error: OnError) -> LoadSummary:
    reporter = _Reporter()
    async with opened(store_url) as store:
        account = await choose_account(store, name, create=True)
        summary = await load_records(
            store, account, records, now=system_clock(), on_error=on_error, report=reporter.report
        )
    reporter.close()
    return summary


def _read_files(files: list[str], kind: str, advance: Callable[[int], None]) -> Iterator[InputRecord]:
    for name in files:
        with open_input(name, advance) as stream:
            yield from read_input(name, stream, kind)


class _Reporter:
    """Names the first bad records and counts the rest."""

    def __init__(self) -> None:
        self._count = 0

    def report(self, text: str) -> None:
        self._count += 1
        if self._count <= REPORTS_MAX:
            note(f"skipped {text}")

    def close(self) -> None:
        if self._count > REPORTS_MAX:
            note(f"skipped {self._count - REPORTS_MAX} more")


def generate(
    tickets: Annotated[int, typer.Argument(metavar="N", min=0, help="How many tickets.")],
    seed: Annotated[int, typer.Option(help="The same seed, N and --until give the same bytes.")] = 1,
    account: AccountOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[str | None, typer.Option(help="Write NDJSON here in place of the store; - is standard output.")] = (
        None
    ),
    until: Annotated[
        int | None,
        typer.Option(help="The newest moment in the world, Unix seconds; otherwise the start of today."),
    ] = None,
    histories: Annotated[
        bool, typer.Option(help="What happened to each ticket too: audits, metrics, ratings. Most of the work.")
    ] = True,
) -> None:
    """Make a coherent help desk: people, settings, and N tickets with what happened to them."""
    now = system_clock()
    until = until if until is not None else now - now % DAY_SECONDS
    if not 0 <= until <= now:
        raise BadInput("--until must be a time in Unix seconds that has passed")
    with progress("generating", MofNCompleteColumn()) as bar:
        bar.update(0, tickets)
        if out is not None:
            name = account or DEFAULT_ACCOUNT
            _write_world(out, generated_records(tickets, seed, until, name, bar.advance, histories))
        else:
            print(f"generated {run_async(_generate(store, account, tickets, seed, until, bar.advance, histories))}")


async def _generate(
    store_url: str,
    name: str | None,
    tickets: int,
    seed: int,
    until: int,
    advance: Callable[[int], None],
    histories: bool,
) -> LoadSummary:
    async with opened(store_url) as store:
        account = await choose_account(store, name, create=True)
        records = generated_records(tickets, seed, until, account.subdomain, advance, histories)
        return await load_records(store, account, records, now=system_clock())


def _write_world(out: str, records: Iterator[InputRecord]) -> None:
    """One ticket a line; a record of any other kind stands on its line as a page of one, which says its kind."""

    def write(file: IO[bytes]) -> None:
        for record in records:
            line = record.data if record.kind == "tickets" else b'{"%s":[%s]}' % (record.kind.encode(), record.data)
            file.write(line + b"\n")

    if out == "-":
        write(sys.stdout.buffer)
        return
    path, part = Path(out), Path(f"{out}.part")
    if path.exists() and not path.is_file():  # a device or a pipe takes the lines, and must not be replaced
        with path.open("wb") as file:
            write(file)
        return
    try:
        with part.open("wb") as file:
            write(file)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
