"""Whether a source is still the one that a mirror was copied from, and has not gone back.

Some tickets that are held are asked for by their ids. When a ticket was created never changes, and when it was updated
only moves forward. One that the source no longer shows was deleted, and then its deletion lies in the export or in the
list of deleted tickets; else the source was emptied, restored from an older backup, or is another one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from ticketfeed.client.flow import Plan, read_page
from ticketfeed.client.page_parser import NotAPage
from ticketfeed.client.session import Flow, Session
from ticketfeed.client.steps import Answer, Request
from ticketfeed.client.streams import STREAMS
from ticketfeed.protocol.errors import SourceChanged, SourceRefused
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = ["HeldTicket", "check_source", "count_records", "parse_answer"]

# What a lagging replica of the source may need to show what its primary has given out already.
LAG_SECONDS, LAG_TRIES = 5.0, 3
# Behind a deletion, the export gives it after so long.
SETTLE_SECONDS = 65.0
_ACCEPT = "--accept-source goes on with it"

T = TypeVar("T")


class HeldTicket(NamedTuple):
    """A ticket that is held, and not deleted."""

    id: int
    created_at: str
    updated_at: str


class _Shown(msgspec.Struct):
    id: int
    created_at: Any = None
    updated_at: Any = None


class _Tickets(msgspec.Struct):
    tickets: list[_Shown]


class _Deleted(msgspec.Struct):
    id: int


class _DeletedTickets(msgspec.Struct):
    deleted_tickets: list[_Deleted]


class _CountValue(msgspec.Struct):
    value: int


class _Count(msgspec.Struct):
    count: _CountValue


def count_records(session: Session, kind: str) -> Flow[int]:
    """How many the source counts, deleted ones left out and as of some minutes ago. Raises SourceError."""
    request = Request(f"/api/v2/{kind}/count.json")
    found = yield from session.ask(lambda _per_page: request, lambda answer: parse_answer(answer, _Count))
    return found.count.value


def check_source(held: Sequence[HeldTicket], state: Mapping[str, Any], session: Session) -> Flow[None]:
    """`state`: of the stream of tickets. Raises SourceChanged, SourceError."""
    if not held:
        return
    for attempt in range(LAG_TRIES):
        shown = yield from _show(session, [ticket.id for ticket in held])
        behind = _gone_back(held, shown)
        if not behind:
            break
        if attempt == LAG_TRIES - 1:
            raise SourceChanged(f"the source has gone back behind what was copied: {behind}; {_ACCEPT}")
        yield from session.pause(LAG_SECONDS, "the source shows an older state than it has given before")
    yield from _check_missing(held, state, shown, session)


def _check_missing(
    held: Sequence[HeldTicket], state: Mapping[str, Any], shown: Mapping[int, _Shown], session: Session
) -> Flow[None]:
    missing = {ticket.id for ticket in held} - shown.keys()
    for is_last in (False, True):
        if missing:
            missing -= yield from _list_deleted(session)
        if missing:
            ids, is_end = yield from _ids_after(state, session)
            missing -= ids
            if not is_end and len(missing) < len(held):
                return  # what is missing may have been deleted in what is still to be read
        if not missing:
            return
        if is_last or len(missing) == len(held):
            break
        yield from session.pause(SETTLE_SECONDS, "the source lacks tickets that were copied")
        missing -= (yield from _show(session, sorted(missing))).keys()
    if len(missing) == len(held):
        raise SourceChanged(f"the source has none of {len(held):,} tickets that were copied; {_ACCEPT}")
    raise SourceChanged(
        f"the source has gone back behind what was copied: it lacks ticket {min(missing)}, which was not deleted; "
        f"{_ACCEPT}"
    )


def _gone_back(held: Iterable[HeldTicket], shown: Mapping[int, _Shown]) -> str | None:
    """What shows that the source is older than what is held. Raises SourceChanged for a ticket of another account."""
    for ticket in held:
        there = shown.get(ticket.id)
        if there is None:
            continue
        if there.created_at != ticket.created_at:
            raise SourceChanged(
                f"the source is another account than before: its ticket {ticket.id} was created at "
                f"{there.created_at}, and the one that was copied at {ticket.created_at}; {_ACCEPT}"
            )
        if isinstance(there.updated_at, str) and there.updated_at < ticket.updated_at:
            return f"its ticket {ticket.id} is in its state of {there.updated_at}, and {ticket.updated_at} was copied"
    return None


def _show(session: Session, ids: Sequence[int]) -> Flow[dict[int, _Shown]]:
    request = Request(f"/api/v2/tickets/show_many.json?ids={','.join(map(str, ids))}")
    found = yield from session.ask(lambda _per_page: request, lambda answer: parse_answer(answer, _Tickets))
    return {ticket.id: ticket for ticket in found.tickets}


def _list_deleted(session: Session) -> Flow[set[int]]:
    """The tickets that were deleted last; none where these credentials may not see them."""
    request = Request("/api/v2/deleted_tickets.json?sort_by=deleted_at&sort_order=desc")
    try:
        found = yield from session.ask(lambda _per_page: request, lambda answer: parse_answer(answer, _DeletedTickets))
    except SourceRefused:
        return set()
    return {ticket.id for ticket in found.deleted_tickets}


def _ids_after(state: Mapping[str, Any], session: Session) -> Flow[tuple[set[Any], bool]]:
    """The tickets that changed since, as far as one page has them; and whether that is all."""
    page = yield from read_page(Plan(), STREAMS["tickets"], state, session)
    return {key.id for key in page.keys}, page.end_of_stream


def parse_answer(answer: Answer, kind: type[T]) -> T:
    """The body of an answer. Raises NotAPage."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except UNREADABLE as error:
        raise NotAPage(f"the answer cannot be used: {error}") from None
