"""Loads records into a store in one transaction: all of them, or none.

In an account as it was created each ticket keeps its `generated_timestamp`, so that history stays history; in a used
one the load is a change now, at the end of the feed.
"""

import asyncio
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ticketfeed.data.find_records import InputRecord
from ticketfeed.data.partial_audits import PartialAudits
from ticketfeed.data.whole_floats import without_whole_floats
from ticketfeed.protocol import watermark
from ticketfeed.protocol.enumerations import foreign_values
from ticketfeed.protocol.errors import BadInput, BadRecord
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import LOADED_ID_MAX, Account
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage.contract import WriteStore
from ticketfeed.storage.mirror_writes import with_copies
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.memberships import derive_memberships
from ticketfeed.writing.metric_updates import derived_metrics

__all__ = ["LoadSummary", "OnError", "load_records"]

OnError = Literal["stop", "skip"]

# Tickets whose audits are read at once.
_DERIVED_AT_ONCE = 250
# What an archive is one of that was never copied from a source.
EXPORTED_FILES = "exported files"


@dataclass
class LoadSummary:
    """How many records of each kind were stored, and how many were skipped.

    `foreign`: (kind, key, value) of values that are not in an enumeration of the wire -> how many records have it.
    """

    counts: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    foreign: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many records were read."""
        return sum(self.counts.values()) + self.skipped

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
    is_strict: bool = False,
    derives_metrics: bool = True,
    expected: int | None = None,
    into_archive: bool = False,
) -> LoadSummary:
    """Store `records`, which are consumed once; an account that is not stored yet is created in the same transaction.

    An invalid record ends the load with nothing stored, or with "skip" is passed to `report`. `is_strict`: a value that
    is not in an enumeration of the wire is invalid. `derives_metrics`: a ticket without its metric set gets one.
    `expected`: how many records there must be, those that are skipped included. `into_archive`: the account is an
    archive, or a new one that becomes one; nothing replaces what is newer there. Raises BadInput.
    """
    load = _Load(account, now, on_error, report, is_strict)

    def work(transaction: WriteTransaction) -> None:
        if into_archive:
            _open_archive(transaction)
        with PartialAudits() as partial_audits:
            drafts = load.drafts(records, partial_audits)
            transaction.load(drafts, keep_generated_timestamp=watermark.allows_own_times(transaction.state))
            partial_audits.store(transaction, account.subdomain, now)
        if load.summary.counts.keys() & {"users", "organization_memberships"}:
            derive_memberships(transaction, account.subdomain)
        for start in range(0, len(load.touched) if derives_metrics else 0, _DERIVED_AT_ONCE):
            ids = load.touched[start : start + _DERIVED_AT_ONCE]
            transaction.put_records(derived_metrics(transaction, account.subdomain, ids))
        if load.summary.skipped and not load.summary.counts:
            raise BadInput("no record could be used")
        if expected is not None and load.summary.total != expected:
            raise BadInput(f"expected {expected:,} records, and read {load.summary.total:,}; nothing was loaded")

    try:
        if account.account_id:
            await store.write(account, work, exclusive=True, mirror=into_archive)
        else:
            await store.create_account(account.subdomain, with_copies(work) if into_archive else work)
    except asyncio.CancelledError:
        load.cancelled.set()  # the work runs in another thread, which does not see that its caller was cancelled
        raise
    return load.summary


def _open_archive(write: WriteTransaction) -> None:
    """Make a new account an archive. Raises BadInput for an account that is none."""
    if write.mirror is None:
        write.put_mirror(Mirror(EXPORTED_FILES, closed_at=write.now))
    elif write.mirror.closed_at is None:
        raise BadInput(f"the account mirrors {write.mirror.source} still; close it first")


class _Load:
    """One load: what it stores, and the summary of it."""

    def __init__(
        self, account: Account, now: int, on_error: OnError, report: Callable[[str], None], is_strict: bool
    ) -> None:
        self._account, self._now, self._on_error, self._report = account.subdomain, now, on_error, report
        self._is_strict = is_strict
        self.summary, self.cancelled = LoadSummary(), threading.Event()
        # Ids of tickets that may need a derived metric set; 8 bytes each, and some of them more than once.
        self.touched = array("q")

    def drafts(
        self, records: Iterable[InputRecord], partial_audits: PartialAudits
    ) -> Iterator[TicketDraft | RecordDraft]:
        """The drafts of all records but partial audits. Raises BadInput, also once `cancelled` is set."""
        for record in records:
            self._raise_if_cancelled()
            try:
                drafts = self._drafts_of(record)
            except BadRecord as error:
                file, line = record.where
                text = f"{file}, line {line}: {error}"
                if self._on_error == "stop":
                    raise BadInput(text) from None
                self.summary.skipped += 1
                self._report(text)
                continue
            self.summary.counts[record.kind] = self.summary.counts.get(record.kind, 0) + 1
            for draft in drafts:
                self._touch(draft)
                if record.is_partial and not isinstance(draft, TicketDraft):
                    partial_audits.add(draft)
                else:
                    yield draft
        self._raise_if_cancelled()  # after the last record

    def _touch(self, draft: TicketDraft | RecordDraft) -> None:
        """Note the ticket of a ticket or an audit. One that comes with its metric set, or with null, is no such one."""
        if isinstance(draft, TicketDraft):
            id = None if draft.names_metric_set else draft.id
        else:
            id = draft.ticket_id if draft.kind == "audits" else None
        if id is not None and (not self.touched or self.touched[-1] != id):
            self.touched.append(id)

    def _drafts_of(self, record: InputRecord) -> list[TicketDraft | RecordDraft]:
        """A record, or a ticket and the metric set that was embedded in it. Raises BadRecord."""
        if record.error:
            raise record.error
        try:
            drafts, data = self._parse(record.kind, record.data), record.data
        except BadRecord:
            data = without_whole_floats(record.data)
            if data == record.data:
                raise
            drafts = self._parse(record.kind, data)
        for key, value in foreign_values(record.kind, data):
            if self._is_strict:
                raise BadRecord(f"{value!r} is no {key} of Zendesk's - at `$.{key}`")
            self.summary.foreign[record.kind, key, value] += 1
        return drafts

    def _parse(self, kind: str, data: bytes) -> list[TicketDraft | RecordDraft]:
        if kind != "tickets":
            draft = parse_record(kind, data, account=self._account, now=self._now)
            _check_id(kind, draft.id)
            return [draft]
        ticket = parse_ticket(data, account=self._account, now=self._now)
        _check_id(kind, ticket.id)
        if ticket.metric_set is None:
            return [ticket]
        try:
            metric_set = parse_record("ticket_metrics", ticket.metric_set, account=self._account, now=self._now)
        except BadRecord as error:
            raise BadRecord(f"its metric set: {error}") from None
        if metric_set.id != ticket.id:  # which is the ticket's
            raise BadRecord(f"its metric set is that of ticket {metric_set.id} - at `$.metric_set.ticket_id`")
        return [ticket, metric_set]

    def _raise_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise BadInput("interrupted")


def _check_id(kind: str, id: int) -> None:
    if id > LOADED_ID_MAX:
        raise BadRecord(f"the id {id} is beyond 2**62 and leaves no room for the ids of new {kind} - at `$.id`")
