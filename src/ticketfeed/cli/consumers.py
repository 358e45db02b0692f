"""consumers: who reads from a store, and how far each has come."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ticketfeed.cli.options import DEFAULT_STORE, AccountOption, StoreOption, choose_account, note, opened, run_async
from ticketfeed.cli.serve import ProfileOption, SettleOption, make_settings
from ticketfeed.clock import system_clock
from ticketfeed.data.status import PENDING_MAX, ConsumerStatus, FeedStatus, read_status
from ticketfeed.protocol.cursor import encode_cursor

__all__ = ["problems", "register"]


def register(app: typer.Typer) -> None:
    app.command()(consumers)


def consumers(
    store: StoreOption = DEFAULT_STORE,
    account: AccountOption = None,
    profile: ProfileOption = "open",
    settle_seconds: SettleOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with everything known.")] = False,
) -> None:
    """Who read an account's exports in the last 30 days, the last seen first: how far behind, and what went wrong."""

    settle = make_settings(profile, None, settle_seconds).settle_seconds

    async def work() -> FeedStatus:
        async with opened(store, create=False) as opened_store:
            chosen = await choose_account(opened_store, account)
            return await read_status(opened_store, chosen, now=system_clock(), settle_seconds=settle)

    found = run_async(work())
    if found.problem:
        note(f"ticketfeed: consumers are not known: {found.problem}")
        raise typer.Exit(2)
    for standing in found.standings:
        print(json.dumps(_everything(standing)) if as_json else _line(standing))


def _line(standing: ConsumerStatus) -> str:
    consumer = standing.consumer
    pages, tickets = consumer.rate(system_clock())
    fields = [
        consumer.email or f"user {consumer.user_id}",
        consumer.user_agent or "-",
        consumer.reads,
        f"last seen {_moment(consumer.last_at)}",
        _behind(standing),
        f"{pages:,.1f} pages and {tickets:,.0f} tickets a minute",
        "; ".join(problems(standing)) or "sound",
    ]
    return "\t".join(fields)


def _behind(standing: ConsumerStatus) -> str:
    if standing.consumer.position is None:
        return "given nothing yet"
    if not standing.pending:
        return "up to date"
    more = " or more" if standing.pending >= PENDING_MAX else ""
    return f"{standing.pending:,}{more} behind, for {standing.lag_seconds:,} s"


def problems(standing: ConsumerStatus) -> list[str]:
    """What is wrong with a consumer, in few words."""
    consumer, found = standing.consumer, []
    if consumer.is_looping:
        found.append(f"asks for the same page again and again, {consumer.same} times")
    if standing.missed:
        found.append(f"skipped {_many(standing.missed, 'ticket')} in {_many(len(standing.gaps), 'range')}")
    if consumer.repeats:
        found.append(f"repeated {_many(consumer.repeats, 'page')}")
    if consumer.errors:
        errors, last = _many(consumer.errors, "error"), f"{consumer.last_error} at {_moment(consumer.last_error_at)}"
        found.append(f"{errors}, last {last}")
    return found


def _many(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _everything(standing: ConsumerStatus) -> dict[str, Any]:
    consumer = standing.consumer
    pages, tickets = consumer.rate(system_clock())
    counts = (
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
    )
    found = {name: getattr(consumer, name) for name in (*counts, "repeats", "loops", "errors", "end_of_stream")}
    return {
        **found,
        "first_seen": _moment(consumer.first_at),
        "last_seen": _moment(consumer.last_at),
        "cursor": encode_cursor(consumer.position) if consumer.position else None,
        "is_looping": consumer.is_looping,
        "pending": standing.pending,
        "lag_seconds": standing.lag_seconds,
        "pages_a_minute": pages,
        "tickets_a_minute": tickets,
        "gaps": [
            {"after": encode_cursor(gap.after), "until": encode_cursor(gap.until), "missed": gap.missed}
            for gap in standing.gaps
        ],
        "last_error": consumer.last_error or None,
        "last_error_at": _moment(consumer.last_error_at) if consumer.last_error else None,
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
