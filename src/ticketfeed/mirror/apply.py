"""A page of the source, applied: its records at their positions and where the walk goes on, in one write."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from ticketfeed.client.steps import ExportPage
from ticketfeed.client.streams import STREAMS
from ticketfeed.mirror.drafts import PageDrafts, kind_of, position_of_state
from ticketfeed.mirror.lease import LOST
from ticketfeed.protocol.errors import BadInput, SourceChanged
from ticketfeed.protocol.mirrors import Mirror, StreamState, passed_second
from ticketfeed.protocol.model import Position
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.mirrors import put_copies

__all__ = ["PageWrite", "apply_page"]

# Tickets that are read at once.
_ROWS = 1000
# Kinds of which every account has at least one.
_NEVER_EMPTY = frozenset({"brands", "groups", "ticket_fields"})


@dataclass(frozen=True, slots=True)
class PageWrite:
    """What one write of a page stores.

    `account`: its name. `owner`: of the lease that it is written under. `before`: the stream as the page was asked for.
    `asked_at`: when that was. `listed`: the ids of a whole list, with its last page; what else is held of that kind is
    gone at the source. `streams`: all that are walked.
    """

    account: str
    owner: str
    page: ExportPage
    made: PageDrafts
    before: StreamState
    asked_at: float
    listed: Collection[int] | None = None
    streams: Collection[str] = ()


def apply_page(transaction: WriteTransaction, write: PageWrite) -> Mirror:
    """Returns the mirror after it. Raises BadInput where another process has taken over, SourceChanged."""
    mirror, page = transaction.mirror, write.page
    if mirror is None or mirror.lease is None or mirror.lease.owner != write.owner:
        raise BadInput(LOST)
    if mirror.stream(page.stream).state != write.before.state:
        raise BadInput(f"another process has read {page.stream} of this mirror meanwhile")
    if mirror.is_accepted_anew:
        applied = transaction.overwrite(write.made.drafts)
    else:
        if page.stream == "tickets":
            _check_same_tickets(transaction, write.made)
        applied = put_copies(transaction, write.account, write.made.drafts)
    if write.listed is not None:
        applied += _remove_unlisted(transaction, page.stream, write.listed, mirror)
    after = mirror.with_stream(page.stream, _state_after(write, mirror.stream(page.stream), applied))
    if after.is_accepted_anew and all(after.stream(name).is_copied for name in write.streams):
        after = msgspec.structs.replace(after, is_accepted_anew=False)
    transaction.put_mirror(after)
    return after


def _state_after(write: PageWrite, before: StreamState, applied: int) -> StreamState:
    page, is_list = write.page, STREAMS[write.page.stream].way == "list"
    begins = is_list and before.has_ended
    return StreamState(
        state={} if is_list and page.end_of_stream else dict(page.state),
        passed=before.passed if is_list else max(before.passed, _passed(write)),
        has_ended=page.end_of_stream,
        is_copied=before.is_copied or page.end_of_stream,
        copied=before.copied + len(page.records),
        applied=before.applied + applied,
        pages=(0 if begins else before.pages) + 1,
        asked_at=write.asked_at,
        ended_at=write.asked_at if page.end_of_stream else before.ended_at,
    )


def _passed(write: PageWrite) -> int:
    """The second that the stream has wholly passed; where its cursor cannot be read, by its newest record."""
    page = write.page
    end = position_of_state(page.state, is_end=True)
    newest = max((draft.generated_timestamp for draft in write.made.drafts), default=0)
    second = end.generated_timestamp if end else newest
    holds_end = STREAMS[page.stream].way != "time" or newest == second or (page.repeated > 0 and not write.made.drafts)
    return passed_second(second, has_ended=page.end_of_stream, holds_end=holds_end)


class _Ticket(msgspec.Struct):
    created_at: Any = None


_TICKET = msgspec.json.Decoder(_Ticket)


def _check_same_tickets(transaction: WriteTransaction, made: PageDrafts) -> None:
    """When a ticket was created never changes, so another time is that of another account's ticket."""
    drafts = {draft.id: draft for draft in made.tickets}
    for id, body in transaction.find_tickets(list(drafts)).items():
        held, given = (_TICKET.decode(each).created_at for each in (body, drafts[id].row.body))
        if held != given:
            raise SourceChanged(
                f"the source is another account than before: its ticket {id} was created at {given}, and the one that "
                f"was copied at {held}; --accept-source goes on with it"
            )


def _remove_unlisted(transaction: WriteTransaction, stream: str, listed: Collection[int], mirror: Mirror) -> int:
    kind = kind_of(stream)
    held = _ticket_ids(transaction) if kind == "tickets" else transaction.list_ids(kind)
    gone = [id for id in held if id not in listed]
    if held and not listed and kind in _NEVER_EMPTY and not mirror.is_accepted_anew:
        raise SourceChanged(
            f"the source has no {stream.replace('_', ' ')} any more, where it had {len(held):,}; --accept-source goes "
            "on with it"
        )
    if not gone:
        return 0
    if kind == "tickets":
        transaction.delete_records("ticket_metrics", gone)
        return transaction.delete_tickets(gone)
    return transaction.delete_records(kind, gone)


def _ticket_ids(transaction: WriteTransaction) -> list[int]:
    ids: list[int] = []
    after = Position(0, -1)
    while rows := transaction.find_tickets_after(after, _ROWS):
        ids += [row.id for row in rows]
        after = Position(rows[-1].generated_timestamp, rows[-1].id)
    return ids
