"""ticketfeed check: check the integrity of a store, or whether words that were erased are still stored."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import TaskProgressColumn

from ticketfeed.cli.options import opened, run_async, with_settings
from ticketfeed.cli.output import count_noun, print_err
from ticketfeed.cli.progress import progress
from ticketfeed.clock import system_clock
from ticketfeed.data.integrity_check import CheckSummary, check_store
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.stored_words import StoredWords, parse_words
from ticketfeed.settings import Settings
from ticketfeed.storage.snapshot_contract import LONG_STATEMENT_SECONDS

__all__ = ["check"]


@with_settings("store")
def check(
    settings: Settings,
    erased: Annotated[
        Path | None,
        typer.Option(
            metavar="WORDFILE",
            show_default=False,
            help="Look for the words of this file, one a line, in everything that is stored, and print where they are.",
        ),
    ] = None,
) -> None:
    """Check the integrity of a store, and print one line for each problem. Reads one snapshot; writes are not blocked.

    Exit code 0: no problem. 1: at least one; with --erased, a word is still stored.
    """
    if erased is not None:
        _check_erased(settings, erased)
        return

    async def work() -> CheckSummary:
        async with opened(settings.store, create=False, test_clock=True) as store:
            with progress("checking", TaskProgressColumn()) as bar:
                now = system_clock()
                times = partial(store.clocks.at, now=now)
                return await store.inspect(
                    lambda snapshot: check_store(snapshot, print, bar.update, times),
                    statement_seconds=LONG_STATEMENT_SECONDS,
                )

    summary = run_async(work())
    if summary.findings:
        print_err(f"ticketfeed: {summary}")
        raise typer.Exit(1)
    print(summary)


def _check_erased(settings: Settings, wordfile: Path) -> None:
    """Words are shown by the number of their line: what was erased should not get into a log."""
    words = _read_words(wordfile)

    async def work() -> int:
        count = 0
        async with opened(settings.store, create=False) as store:
            for number, place in await store.inspect(
                lambda snapshot: list(snapshot.find_words(words)), statement_seconds=LONG_STATEMENT_SECONDS
            ):
                print(f"word {number}: {place}")
                count += 1
        return count

    if found := run_async(work()):
        print_err(f"ticketfeed: found in {count_noun(found, 'place')}")
        raise typer.Exit(1)
    print(f"{count_noun(words.count, 'word')}: none is stored")


def _read_words(path: Path) -> StoredWords:
    try:
        words = parse_words(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text") from None
    if not words:
        raise BadInput(f"{path} holds no words")
    return StoredWords(words)
