"""Loads records into a store in one transaction: all of them, or none.

In an account as it was created each ticket keeps its `generated_timestamp`, so that history stays history; in a used
one the load is a change now, at the end of the feed.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ticketfeed.data.import_files import InputRecord
from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput, BadRecord
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.contract import WriteStore, WriteTransaction
from ticketfeed.writing.memberships import derive_memberships

__all__ = ["LoadSummary", "OnError", "load_records"]

OnError = Literal["stop", "skip"]


@dataclass
class LoadSummary:
    """How many records of each kind were stored, and how many were skipped."""

    counts: dict[str, int] = field(default_factory=dict)
    skipped: int = 0

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items()) or "nothing"
        return counts + (f"; {self.skipped:,} skipped" if self.skipped else "")


async def load_records(
    store: WriteStore,
    account: Account,
    records: Iterable[InputRecord],
    *,
    now: int,
    on_error: OnError = "stop",
    report: Callable[[str], None] = lambda _text: None,
) -> LoadSummary:
    """Store `records`, which are consumed once. An invalid one ends the load with nothing stored, or with "skip" is
    passed to `report`. Raises BadInput.
    """
    cancelled, summary = threading.Event(), LoadSummary()

    def work(transaction: WriteTransaction) -> None:
        drafts = _parse(records, account, now, on_error, report, summary, cancelled)
        transaction.load(drafts, keep_generated_timestamp=watermark.allows_own_times(transaction.state))
        if summary.counts.keys() & {"users", "organization_memberships"}:
            derive_memberships(transaction, account.subdomain)
        if summary.skipped and not summary.counts:
            raise BadInput("no record could be used")

    try:
        await store.write(account, work, exclusive=True)
    except asyncio.CancelledError:
        cancelled.set()  # the work runs in another thread, which does not see that its caller was cancelled
        raise
    return summary


def _parse(
    records: Iterable[InputRecord],
    account: Account,
    now: int,
    on_error: OnError,
    report: Callable[[str], None],
    summary: LoadSummary,
    cancelled: threading.Event,
) -> Iterator[TicketDraft | RecordDraft]:
    """The drafts of all records, counted in `summary`. Raises BadInput, also once `cancelled` is set."""
    for record in records:
        _raise_if(cancelled)
        try:
            drafts = _drafts_of(record, account.subdomain, now)
        except BadRecord as error:
            file, line = record.where
            text = f"{file}, line {line}: {error}"
            if on_error == "stop":
                raise BadInput(text) from None
            summary.skipped += 1
            report(text)
            continue
        summary.counts[record.kind] = summary.counts.get(record.kind, 0) + 1
        yield from drafts
    _raise_if(cancelled)  # while the end of the input was waited for


def _drafts_of(record: InputRecord, account: str, now: int) -> list[TicketDraft | RecordDraft]:
    """A record, or a ticket and the metric set that was embedded in it."""
    if record.error:
        raise record.error
    if record.kind != "tickets":
        return [parse_record(record.kind, record.data, account=account, now=now)]
    ticket = parse_ticket(record.data, account=account, now=now)
    if ticket.metric_set is None:
        return [ticket]
    return [ticket, parse_record("ticket_metrics", ticket.metric_set, account=account, now=now)]


def _raise_if(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise BadInput("interrupted")
