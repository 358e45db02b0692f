"""ticketfeed consumers: who reads a store's exports, and how far behind they are."""

import json
from typing import Annotated, Any

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import consumer_problems, print_err, utc_time
from ticketfeed.clock import system_clock
from ticketfeed.data.status import PENDING_MAX, ConsumerStatus, FeedStatus, read_status
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.settings import Settings

__all__ = ["consumers"]

# Attributes of a consumer that --json prints under their own names.
_JSON_ATTRIBUTES = (
    "credential_id",
    "user_id",
    "email",
    "user_agent",
    "export",
    "reads",
    "requests",
    "pages",
    "tickets",
    "bytes",
    "repeats",
    "loops",
    "errors",
    "end_of_stream",
)


@with_settings("store", "account", "profile", "settle_seconds")
def consumers(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, with all details.")] = False,
) -> None:
    """List the consumers of an account's exports in the last 30 days, latest first, with their lag and problems."""

    async def work() -> FeedStatus:
        async with opened(settings.store, create=False, test_clock=True) as store:
            account = await choose_account(store, settings.account)
            return await read_status(store, account, now=system_clock(), settle_seconds=settings.settle_seconds)

    status = run_async(work())
    if status.problem:
        print_err(f"ticketfeed: consumer statistics are unavailable: {status.problem}")
        raise typer.Exit(2)
    for each in status.consumers:
        print(json.dumps(_json_values(each)) if as_json else _line(each))


def _line(status: ConsumerStatus) -> str:
    consumer = status.consumer
    pages, tickets = consumer.rate(system_clock())
    columns = [
        consumer.email or f"user {consumer.user_id}",
        consumer.user_agent or "-",
        consumer.reads,
        f"last seen {utc_time(consumer.last_at)}",
        _lag(status),
        f"{pages:,.1f} pages and {tickets:,.0f} tickets per minute",
        "; ".join(consumer_problems(status)) or "no problems",
    ]
    return "\t".join(columns)


def _lag(status: ConsumerStatus) -> str:
    if status.consumer.position is None:
        return "nothing read yet"
    if not status.pending:
        return "up to date"
    more = " or more" if status.pending >= PENDING_MAX else ""
    return f"{status.pending:,}{more} changes behind, lag {status.lag_seconds:,} s"


def _json_values(status: ConsumerStatus) -> dict[str, Any]:
    consumer = status.consumer
    pages, tickets = consumer.rate(system_clock())
    return {
        **{name: getattr(consumer, name) for name in _JSON_ATTRIBUTES},
        "first_seen": utc_time(consumer.first_at),
        "last_seen": utc_time(consumer.last_at),
        "cursor": encode_cursor(consumer.position) if consumer.position else None,
        "is_looping": consumer.is_looping,
        "pending": status.pending,
        "lag_seconds": status.lag_seconds,
        "pages_a_minute": pages,
        "tickets_a_minute": tickets,
        "gaps": [
            {"after": encode_cursor(gap.after), "until": encode_cursor(gap.until), "missed": gap.missed}
            for gap in status.gaps
        ],
        "last_error": consumer.last_error or None,
        "last_error_at": utc_time(consumer.last_error_at) if consumer.last_error else None,
    }
