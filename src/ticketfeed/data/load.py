"""Records -> a store, in one transaction: all of them, or none.

Into an account as it was made each ticket keeps its `generated_timestamp`, so that history stays history; into
a used one the load is a change now, and stands at the end of the feed.
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
from ticketfeed.storage.contract import Store, WriteTransaction

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
    store: Store,
    account: Account,
    records: Iterable[InputRecord],
    *,
    now: int,
    on_error: OnError = "stop",
    report: Callable[[str], None] = lambda _text: None,
) -> LoadSummary:
    """Store `records`. A bad one ends the load with nothing stored, or with "skip" is told to `report`.

    Raises BadInput.
    """
    stopped, summary = threading.Event(), LoadSummary()

    def work(transaction: WriteTransaction) -> None:
        drafts = _parse(records, account, now, on_error, report, summary)
        keep = watermark.can_keep(transaction.state)
        transaction.put_tickets(_put_others(drafts, transaction, stopped), keep_generated_timestamp=keep)
        if summary.skipped and not summary.counts:
            raise BadInput("no record could be used")

    try:
        await store.write(account, work, exclusive=True)
    except asyncio.CancelledError:
        stopped.set()  # the work runs in another thread, which cancelling does not reach
        raise
    return summary


def _parse(
    records: Iterable[InputRecord],
    account: Account,
    now: int,
    on_error: OnError,
    report: Callable[[str], None],
    summary: LoadSummary,
) -> Iterator[TicketDraft | RecordDraft]:
    for record in records:
        try:
            drafts = _drafts(record, account.subdomain, now)
        except BadRecord as error:
            text = f"{record.where[0]}, line {record.where[1]}: {error}"
            if on_error == "stop":
                raise BadInput(text) from None
            summary.skipped += 1
            report(text)
            continue
        summary.counts[record.kind] = summary.counts.get(record.kind, 0) + 1
        yield from drafts


def _drafts(record: InputRecord, account: str, now: int) -> list[TicketDraft | RecordDraft]:
    if record.error:
        raise record.error
    if record.kind != "tickets":
        return [parse_record(record.kind, record.data, account=account, now=now)]
    ticket = parse_ticket(record.data, account=account, now=now)
    if ticket.metric_set is None:
        return [ticket]
    return [parse_record("ticket_metrics", ticket.metric_set, account=account, now=now), ticket]


def _put_others(
    drafts: Iterable[TicketDraft | RecordDraft], transaction: WriteTransaction, stopped: threading.Event
) -> Iterator[TicketDraft]:
    """The tickets among the drafts; what is none is stored in passing."""
    for draft in drafts:
        _refuse_if(stopped)
        if isinstance(draft, TicketDraft):
            yield draft
        else:
            transaction.put_records((draft,))
    _refuse_if(stopped)  # while the input was waiting for its end


def _refuse_if(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise BadInput("interrupted")
