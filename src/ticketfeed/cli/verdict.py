"""ticketfeed verdict: whether a consumer has the latest state of every ticket."""

import time as machine
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import count_noun
from ticketfeed.client.outputs import read_output
from ticketfeed.clock import system_clock
from ticketfeed.data.verdict import VerdictOptions, read_verdict
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.output_check import OutputDifferences
from ticketfeed.protocol.verdict import Verdict
from ticketfeed.settings import Settings

__all__ = ["verdict"]

# Of the ids that a line lists; --json has up to a thousand.
IDS_MAX = 20
# A server stores within a second what it has sent; what ran just before the command is part of the verdict.
FLUSHED_SECONDS = 1.2


@with_settings("store", "account", "settle_seconds")
def verdict(
    settings: Settings,
    consumer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The email, user agent or credential id of one consumer. Default: all of the account together.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the consumer wrote, to be compared with the feed: NDJSON, Singer or Airbyte messages, CSV, "
            "Parquet, DuckDB or SQLite.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all details.")] = False,
) -> None:
    """Compare what a consumer was given, or wrote, with the feed. Exit code 1 unless it has all latest states."""
    if settings.store == "memory:":
        raise BadInput("a memory: store is empty when it is opened; ask its server: GET /_ticketfeed/verdict")

    machine.sleep(FLUSHED_SECONDS)

    async def work() -> Verdict:
        options = VerdictOptions(
            consumer, read_output(str(output)) if output else None, None, None, settings.settle_seconds
        )
        async with opened(settings.store, create=False, test_clock=True) as store:
            account = await choose_account(store, settings.account)
            return await read_verdict(store, account, now=system_clock(), options=options)

    found = run_async(work())
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(_lines(found)))
    if found.outcome != "PASS":
        raise typer.Exit(1)


def _lines(found: Verdict) -> list[str]:
    """The outcome, then a line for each thing to know."""
    lines = [f"{found.outcome}\t{found.reason}"]
    if found.missed:
        lines.append(f"missed\t{count_noun(found.missed, 'ticket')}: {_ids(found.missed_ids, found.missed)}")
    counts = (
        (
            "pending",
            found.pending,
            "ticket changed since it read the last page",
            "tickets changed since it read the last page",
        ),
        ("given twice", found.given_twice, "page", "pages"),
        ("looped", found.loops, "time", "times"),
        ("ignored Retry-After", found.ignored_retry_after, "time", "times"),
        ("over budget", found.over_budget, "request refused", "requests refused"),
    )
    lines += [f"{name}\t{count:,} {one if count == 1 else many}" for name, count, one, many in counts if count]
    if found.gave_up:
        lines.append(f"gave up\tafter {found.gave_up}")
    return lines + (_output_lines(found.output) if found.output else [])


def _output_lines(output: OutputDifferences) -> list[str]:
    lines = [f"output\t{count_noun(output.tickets, 'ticket')}"]
    lists = (
        ("missing", output.missing, output.missing_count),
        ("stale", output.stale, output.stale_count),
        ("still alive", output.alive, output.alive_count),
        ("not in the feed", output.unknown, output.unknown_count),
    )
    lines += [f"{name}\t{count_noun(count, 'ticket')}: {_ids(ids, count)}" for name, ids, count in lists if count]
    if output.torn_count:
        lines.append(f"torn\t{count_noun(output.torn_count, 'record')}: {'; '.join(output.torn[:3])}")
    return lines


def _ids(ids: tuple[int, ...], count: int) -> str:
    shown = ", ".join(map(str, ids[:IDS_MAX]))
    return shown + (" ..." if count > IDS_MAX else "")
