"""ticketfeed load: load files into a store."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import DownloadColumn

from ticketfeed.cli.options import new_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.cli.progress import progress
from ticketfeed.clock import system_clock
from ticketfeed.data.import_files import InputRecord, can_wait, open_input, read_input, spool
from ticketfeed.data.load import LoadSummary, OnError, load_records
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.resources import KINDS
from ticketfeed.settings import Settings

__all__ = ["load"]

REPORTS_MAX = 20
# How many of the values that Zendesk does not have are named of each key.
VALUES_MAX = 10

if TYPE_CHECKING:
    Kind = str
else:  # the choices of --kind; a type checker takes no Literal that is made from a table
    Kind = Literal[KINDS]


@with_settings("store", "account", "accept_clock")
def load(
    settings: Settings,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files to load; - is standard input.")],
    kind: Annotated[
        Kind | None,
        typer.Option(
            help=f"Kind of records that do not say what they are: {', '.join(KINDS)}.",
            show_default="what the url of a record says, else tickets",
        ),
    ] = None,
    on_error: Annotated[
        OnError, typer.Option(help="On an invalid record: stop and load nothing, or skip the record.")
    ] = "stop",
    strict: Annotated[
        bool, typer.Option("--strict", help="Reject values that Zendesk does not have, such as a type of `request`.")
    ] = False,
    expect: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Load nothing unless N records are read, those of all kinds together."),
    ] = None,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive",
            help="Load into an archive, or make a new account one: read-only, and what is newer there stays.",
        ),
    ] = False,
) -> None:
    """Load tickets, users and other records from NDJSON, JSON arrays or saved API pages, plain or gzipped.

    In an account without tickets, each ticket keeps its generated_timestamp. In any other, the load counts as a change
    made now. Either everything is loaded or nothing. Standard input and pipes are read to their end first.
    """
    size = _checked_size(files)
    with ExitStack() as stack:
        spools = _spool_pipes(files, stack)
        size += sum(os.fstat(file.fileno()).st_size for file in spools.values())
        with progress("loading", DownloadColumn()) as bar:
            bar.update(0, size)
            records = _read_files(files, kind, bar.advance, spools)
            summary = run_async(_load(settings, records, on_error, strict, expect, archive))
    for text in _foreign_values(summary):
        print_err(text)
    print(f"loaded {summary}")


def _checked_size(files: list[str]) -> int:
    """The total size in bytes. Raises BadInput, before a store is created, for a file that cannot be opened."""
    if files.count("-") > 1:
        raise BadInput("standard input can be read only once")
    paths = [Path(name) for name in files if name != "-"]
    for path in paths:
        if not can_wait(str(path)):
            with open_input(str(path)):
                pass
    return sum(path.stat().st_size for path in paths if path.is_file())


def _spool_pipes(files: list[str], stack: ExitStack) -> dict[str, IO[bytes]]:
    """What standard input and pipes hold, read to their end: a load holds locks, and must not wait for its input."""
    waiting = [name for name in files if can_wait(name)]
    if not waiting:
        return {}
    with progress("reading", DownloadColumn()) as bar:
        return {name: stack.enter_context(spool(name, bar.advance)) for name in waiting}


def _foreign_values(summary: LoadSummary) -> Iterator[str]:
    """One line a key: the values that Zendesk does not have, with the number of their records."""
    by_key: dict[tuple[str, str], list[str]] = {}
    for (kind, key, value), count in summary.foreign.most_common():
        by_key.setdefault((kind, key), []).append(f"{value[:60]!a} ({count:,})")
    for (kind, key), texts in by_key.items():
        rest = f" and {len(texts) - VALUES_MAX:,} more" if len(texts) > VALUES_MAX else ""
        shown = ", ".join(texts[:VALUES_MAX])
        yield f"kept values of {key} of {kind} that Zendesk does not have: {shown}{rest}"


async def _load(
    settings: Settings,
    records: Iterable[InputRecord],
    on_error: OnError,
    is_strict: bool,
    expected: int | None,
    into_archive: bool,
) -> LoadSummary:
    skipped = _SkippedRecords()
    async with opened(settings.store, accept_clock=settings.accept_clock) as store:
        account = await new_account(store, settings.account)
        summary = await load_records(
            store,
            account,
            records,
            now=system_clock(),
            on_error=on_error,
            report=skipped.report,
            is_strict=is_strict,
            expected=expected,
            into_archive=into_archive,
        )
    skipped.report_rest()
    return summary


def _read_files(
    files: list[str], kind: str | None, advance: Callable[[int], None], spools: Mapping[str, IO[bytes]]
) -> Iterator[InputRecord]:
    for name in files:
        with open_input(name, advance, spools.get(name)) as stream:
            yield from read_input(name, stream, kind)


class _SkippedRecords:
    """Prints the first skipped records and the number of the rest."""

    def __init__(self) -> None:
        self._count = 0

    def report(self, text: str) -> None:
        self._count += 1
        if self._count <= REPORTS_MAX:
            print_err(f"skipped {text}")

    def report_rest(self) -> None:
        if self._count > REPORTS_MAX:
            print_err(f"skipped {self._count - REPORTS_MAX} more")
