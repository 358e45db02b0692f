"""Reads of tickets, in lists and one by one, and of a ticket's audits, comments, metrics and tags.

Only the exports and /deleted_tickets return deleted tickets: all other addresses answer 404 for one.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.parts import Batches
from ticketfeed.export.record_lists import read_matching, row_batches, ticket_batches
from ticketfeed.export.sideload_reader import TicketSideloads, sideload_tickets
from ticketfeed.protocol.audit_views import comments_of, deletion_of, parse_audit_filter
from ticketfeed.protocol.envelope import embed, join_object
from ticketfeed.protocol.erasure import RESTORABLE
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import parse_ids, parse_list_request, parse_ticket_list, slice_rows
from ticketfeed.protocol.model import INT64_MAX, Owner, Slice, TicketList
from ticketfeed.protocol.paging import is_cut
from ticketfeed.protocol.query import parse_include, parse_integer
from ticketfeed.protocol.record_list import parse_boolean
from ticketfeed.protocol.rows import LinkedTicketRow, ListRow
from ticketfeed.protocol.tickets import without_fields
from ticketfeed.server.api.arrays import arrays_response
from ticketfeed.server.api.call import ApiCall, path_id
from ticketfeed.server.api.lists import count_response, list_response, record_list_response
from ticketfeed.server.responses import body_response
from ticketfeed.storage.batches import all_rows, list_batches, ordered_batches, read_batches

__all__ = [
    "count_tickets",
    "find_ticket",
    "is_deep_page",
    "list_audits",
    "list_comments",
    "list_deleted_tickets",
    "list_tickets",
    "read_audits",
    "read_comments",
    "show_metrics",
    "show_tags",
    "show_ticket",
    "show_tickets",
    "ticket_list_response",
]

# The wire limits list pages beyond this number by a rate limit of their own.
DEEP_PAGE = 500
DAY_SECONDS = 86400
_ALL = Slice(INT64_MAX)


async def list_tickets(request: Request, call: ApiCall) -> Response:
    """Tickets by id or in the order of `sort`, each without its key `fields`; deleted ones are left out."""
    tickets = replace(parse_ticket_list(call.query), archived_at=_archived_at(call))
    return await ticket_list_response(request, call, tickets)


async def ticket_list_response(request: Request, call: ApiCall, tickets: TicketList) -> Response:
    """One page of a list of tickets."""
    list_request = parse_list_request(call.query, orders=("id", "updated_at", "status"))
    store, sideloads = call.service.store, _sideloads_of(call)
    count = await store.count_tickets(call.account, tickets) if list_request.number is not None else None

    async def show(rows: Sequence[ListRow]) -> list[bytes]:
        bodies = [row.body for row in rows]
        if "include" in call.query:
            linked = await all_rows(read_batches(partial(store.read_tickets, call.account), [row.id for row in rows]))
            by_id = {row.id: row for row in linked}
            bodies = embed(bodies, await sideloads.add([by_id[row.id] for row in rows]))
        return [without_fields(body) for body in bodies]

    batches = ticket_batches(store, call.account, tickets, list_request.part)
    return await list_response(request, call, "tickets", list_request, batches, count, show, sideloads.arrays)


def is_deep_page(call: ApiCall) -> bool:
    """Whether the number of the page is beyond DEEP_PAGE."""
    return (parse_integer(call.query.get("page", "1")) or 1) > DEEP_PAGE


async def count_tickets(request: Request, call: ApiCall) -> Response:
    """The number of tickets that are neither deleted nor archived."""
    tickets = TicketList(archived_at=_archived_at(call))
    return count_response(request, call, await call.service.store.count_tickets(call.account, tickets))


async def show_ticket(request: Request, call: ApiCall) -> Response:
    """One ticket, with the sideloads of `include`."""
    row = await find_ticket(request, call)
    include = parse_include(call.query.get("include", ""))
    sideloads, embedded = await sideload_tickets(call.service.store, call.account, include, [row], call.now)
    bodies = embed([row.body], embedded)
    flag = call.query.get("remove_duplicate_fields")
    if flag is not None and parse_boolean("remove_duplicate_fields", flag):
        bodies = [without_fields(body) for body in bodies]
    return body_response(request, join_object("ticket", bodies[0], sideloads.items()))


async def show_tickets(request: Request, call: ApiCall) -> Response:
    """Up to 100 tickets by id; unknown and deleted ones are left out."""
    ids = parse_ids(call.query)
    sideloads, count = _sideloads_of(call), 0

    async def show() -> Batches:
        nonlocal count
        async for found in read_batches(partial(call.service.store.read_tickets, call.account), ids):
            rows = [row for row in found if row.status != "deleted"]
            count += len(rows)
            yield embed([row.body for row in rows], await sideloads.add(rows))
            del found, rows  # before the next ones are read

    def end() -> dict[str, Any]:
        return {"next_page": None, "previous_page": None, "count": count}

    return await arrays_response(request, call, chain([("tickets", show())], sideloads.arrays()), end)


async def list_audits(request: Request, call: ApiCall) -> Response:
    """The audits of one ticket, oldest first; only those with certain events, or of one channel, if asked for."""
    ticket_id = (await find_ticket(request, call)).id
    list_request = parse_list_request(_by_id(call.query))
    store, owner = call.service.store, Owner("ticket_id", ticket_id)
    check, is_counted, count = parse_audit_filter(call.query), list_request.number is not None, None
    if check is None:
        batches = read_audits(call, ticket_id, list_request.part)
        count = await store.count_records(call.account, "audits", owner) if is_counted else None
    else:
        matching = await read_matching(read_audits(call, ticket_id), check)
        rows, count = slice_rows(matching, list_request.part), len(matching)
        batches = row_batches(store, call.account, "audits", rows)
    return await record_list_response(request, call, "audits", list_request, batches, count)


async def list_comments(request: Request, call: ApiCall) -> Response:
    """The comments of one ticket, oldest first; `sort=-created_at` or `sort_order=desc` for newest first."""
    ticket_id = (await find_ticket(request, call)).id
    list_request = parse_list_request(_by_id(call.query))
    flag = call.query.get("include_inline_images")
    inline_images = flag is not None and parse_boolean("include_inline_images", flag)
    batches, count = await read_comments(
        call, ticket_id, list_request.part, partial(comments_of, inline_images=inline_images)
    )
    return await record_list_response(request, call, "comments", list_request, batches, count)


async def read_comments(
    call: ApiCall, ticket_id: int, part: Slice, comments_in: Callable[[Iterable[bytes]], list[ListRow]]
) -> tuple[AsyncIterator[Sequence[ListRow]], int]:
    """A part of the comments of a ticket, which `comments_in` finds in its audits, and how many there are."""
    listed, audit_ids = list[ListRow](), dict[int, int]()
    async for audits in read_audits(call, ticket_id):
        for audit in audits:
            for comment in comments_in([audit.body]):
                listed.append(comment._replace(body=b""))
                audit_ids[comment.id] = audit.id

    async def read(rows: Sequence[ListRow]) -> dict[ListRow, bytes] | None:
        ids = list({audit_ids[row.id] for row in rows})
        found = await call.service.store.read_records(call.account, "audits", ids)
        bodies = {row.id: row.body for row in comments_in([row.body for row in found])}
        return None if is_cut(found) else {row: bodies[row.id] for row in rows if row.id in bodies}

    async def batches() -> AsyncIterator[Sequence[ListRow]]:
        async for batch in ordered_batches(read, slice_rows(listed, part)):
            yield [row._replace(body=body) for row, body in batch]

    return batches(), len(listed)


def read_audits(call: ApiCall, ticket_id: int, part: Slice = _ALL) -> AsyncIterator[Sequence[ListRow]]:
    """The audits of a ticket, or a part of them, by id."""
    read = partial(call.service.store.list_records, call.account, "audits", owner=Owner("ticket_id", ticket_id))
    return list_batches(read, part)


def _by_id(query: Mapping[str, str]) -> Mapping[str, str]:
    """The query of a list whose order by created_at is that by id."""
    if query.get("sort") in ("created_at", "-created_at"):
        return {**query, "sort": query["sort"].replace("created_at", "id")}
    return query


async def show_metrics(request: Request, call: ApiCall) -> Response:
    """The metric set of one ticket."""
    ticket_id = (await find_ticket(request, call)).id
    rows = await call.service.store.read_records(call.account, "ticket_metrics", [ticket_id])
    if not rows:
        raise RecordNotFound
    return body_response(request, join_object("ticket_metric", rows[0].body, ()))


async def show_tags(request: Request, call: ApiCall) -> Response:
    """The tags of one ticket."""
    tags = msgspec.json.decode((await find_ticket(request, call)).body, type=_Tagged).tags
    return body_response(request, msgspec.json.encode({"tags": tags}))


async def list_deleted_tickets(request: Request, call: ApiCall) -> Response:
    """Deleted tickets that can be restored; those whose content was scrubbed are left out."""
    list_request = parse_list_request(call.query, orders=("id", "deleted_at", "subject"))
    store = call.service.store
    if list_request.part.order == "subject":
        rows = slice_rows(await _deleted_by_subject(call), list_request.part)
        batches = row_batches(store, call.account, "tickets", rows)
    else:
        batches = ticket_batches(store, call.account, RESTORABLE, list_request.part)
    count = await store.count_tickets(call.account, RESTORABLE) if list_request.number is not None else None

    async def show(rows: Sequence[ListRow]) -> list[bytes]:
        return [_deleted(row.body, *await _find_deletion(call, row.id)) for row in rows]

    return await list_response(request, call, "deleted_tickets", list_request, batches, count, show)


async def _find_deletion(call: ApiCall, ticket_id: int) -> tuple[int | None, str]:
    audits = await all_rows(read_audits(call, ticket_id))
    return deletion_of([row.body for row in audits])


async def _deleted_by_subject(call: ApiCall) -> list[ListRow]:
    """All deleted tickets with their subjects in lower case as keys: no index of a store has them in this order."""
    found: list[ListRow] = []
    async for rows in ticket_batches(call.service.store, call.account, RESTORABLE, _ALL):
        for row in rows:
            subject = msgspec.json.decode(row.body, type=_Deleted).subject or ""
            found.append(ListRow(subject.casefold().replace("\0", ""), row.id, b""))
    return found


class _Tagged(msgspec.Struct):
    tags: list[str] = []


class _Deleted(msgspec.Struct):
    id: int
    updated_at: str
    subject: str | None = None


def _deleted(body: bytes, actor: int | None, state: str) -> bytes:
    ticket = msgspec.json.decode(body, type=_Deleted)
    return msgspec.json.encode(
        {
            "id": ticket.id,
            "subject": ticket.subject,
            "actor": {"id": actor or -1, "name": "" if actor else "System"},
            "deleted_at": ticket.updated_at,
            "previous_state": state,
        }
    )


async def find_ticket(request: Request, call: ApiCall) -> LinkedTicketRow:
    """The ticket that the path names. Raises RecordNotFound."""
    rows = await call.service.store.read_tickets(call.account, [path_id(request)])
    if not rows or rows[0].status == "deleted":
        raise RecordNotFound
    return rows[0]


def _sideloads_of(call: ApiCall) -> TicketSideloads:
    include = parse_include(call.query.get("include", ""))
    return TicketSideloads(call.service.store, call.account, include, call.now)


def _archived_at(call: ApiCall) -> int | None:
    days = call.service.settings.archive_days
    return call.now - days * DAY_SECONDS if days else None
