"""Reads of tickets, in lists and one by one, and of a ticket's audits, comments, metrics and tags.

Only the exports and /deleted_tickets return deleted tickets: all other addresses answer 404 for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.sideload_reader import sideload_tickets
from ticketfeed.protocol.audit_views import comments_of, deletion_of, parse_audit_filter
from ticketfeed.protocol.envelope import embed, join_arrays, join_object
from ticketfeed.protocol.erasure import RESTORABLE
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import parse_ids, parse_list_request, parse_ticket_list, slice_rows
from ticketfeed.protocol.model import Owner, Slice, TicketList
from ticketfeed.protocol.query import parse_include, parse_integer
from ticketfeed.protocol.record_list import parse_boolean
from ticketfeed.protocol.rows import LinkedTicketRow, ListRow
from ticketfeed.protocol.tickets import without_fields
from ticketfeed.server.api.call import ApiCall, path_id
from ticketfeed.server.api.lists import count_response, list_response, sideload
from ticketfeed.server.responses import body_response

__all__ = [
    "count_tickets",
    "find_ticket",
    "is_deep_page",
    "list_audits",
    "list_comments",
    "list_deleted_tickets",
    "list_tickets",
    "show_metrics",
    "show_tags",
    "show_ticket",
    "show_tickets",
    "ticket_list_response",
]

# The wire limits list pages beyond this number by a rate limit of their own.
DEEP_PAGE = 500
DAY_SECONDS = 86400


async def list_tickets(request: Request, call: ApiCall) -> Response:
    """Tickets by id or in the order of `sort`, each without its key `fields`; deleted ones are left out."""
    tickets = replace(parse_ticket_list(call.query), archived_at=_archived_at(call))
    return await ticket_list_response(request, call, tickets)


async def ticket_list_response(request: Request, call: ApiCall, tickets: TicketList) -> Response:
    """One page of a list of tickets."""
    list_request = parse_list_request(call.query, orders=("id", "updated_at", "status"))
    store = call.service.store
    rows = await store.list_tickets(call.account, tickets, list_request.part)
    count = await store.count_tickets(call.account, tickets) if list_request.number is not None else None
    shown = rows[: list_request.limit]
    include = parse_include(call.query.get("include", ""))
    bodies = [row.body for row in shown]
    sideloads: dict[str, list[bytes]] = {}
    if include:
        by_id = {row.id: row for row in await store.read_tickets(call.account, [row.id for row in shown])}
        linked = [by_id[row.id] for row in shown]
        sideloads, embedded = await sideload_tickets(store, call.account, include, linked, call.now)
        bodies = embed(bodies, embedded)
    listed = [row._replace(body=without_fields(body)) for row, body in zip(shown, bodies, strict=True)]
    rest = rows[list_request.limit :]
    return list_response(request, call, "tickets", list_request, [*listed, *rest], count, sideloads)


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
    sideloads, bodies = await _with_sideloads(call, [row])
    flag = call.query.get("remove_duplicate_fields")
    if flag is not None and parse_boolean("remove_duplicate_fields", flag):
        bodies = [without_fields(body) for body in bodies]
    return body_response(request, join_object("ticket", bodies[0], sideloads.items()))


async def show_tickets(request: Request, call: ApiCall) -> Response:
    """Up to 100 tickets by id; unknown and deleted ones are left out."""
    ids = parse_ids(call.query)
    rows = [row for row in await call.service.store.read_tickets(call.account, ids) if row.status != "deleted"]
    sideloads, bodies = await _with_sideloads(call, rows)
    ends = {"next_page": None, "previous_page": None, "count": len(bodies)}
    return body_response(request, join_arrays([("tickets", bodies), *sideloads.items()], ends))


async def list_audits(request: Request, call: ApiCall) -> Response:
    """The audits of one ticket, oldest first; only those with certain events, or of one channel, if asked for."""
    ticket_id = (await find_ticket(request, call)).id
    list_request = parse_list_request(_by_id(call.query))
    store, rows, owner = call.service.store, list[ListRow](), Owner("ticket_id", ticket_id)
    check = parse_audit_filter(call.query)
    if check is None:
        rows = list(await store.list_records(call.account, "audits", list_request.part, owner))
        is_counted = list_request.number is not None
        count = await store.count_records(call.account, "audits", owner) if is_counted else None
    else:
        found = await store.read_of_tickets(call.account, "audits", [ticket_id])
        matching = [ListRow(row.id, row.id, row.body) for row in found if check(row.body)]
        rows, count = slice_rows(matching, list_request.part), len(matching)
    sideloads = await sideload(call, "audits", [row.body for row in rows[: list_request.limit]])
    return list_response(request, call, "audits", list_request, rows, count, sideloads)


async def list_comments(request: Request, call: ApiCall) -> Response:
    """The comments of one ticket, oldest first; `sort=-created_at` or `sort_order=desc` for newest first."""
    ticket_id = (await find_ticket(request, call)).id
    list_request = parse_list_request(_by_id(call.query))
    flag = call.query.get("include_inline_images")
    inline_images = flag is not None and parse_boolean("include_inline_images", flag)
    audits = await call.service.store.read_of_tickets(call.account, "audits", [ticket_id])
    comments = comments_of((row.body for row in audits), inline_images=inline_images)
    page = slice_rows(comments, list_request.part)
    sideloads = await sideload(call, "comments", [row.body for row in page[: list_request.limit]])
    return list_response(request, call, "comments", list_request, page, len(comments), sideloads)


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
    else:
        rows = list(await store.list_tickets(call.account, RESTORABLE, list_request.part))
    count = await store.count_tickets(call.account, RESTORABLE) if list_request.number is not None else None
    audits: dict[int, list[bytes]] = {}
    for audit in await store.read_of_tickets(call.account, "audits", [row.id for row in rows]):
        audits.setdefault(audit.ticket_id, []).append(audit.body)
    shown = [ListRow(row.key, row.id, _deleted(row.body, audits.get(row.id, []))) for row in rows]
    return list_response(request, call, "deleted_tickets", list_request, shown, count)


async def _deleted_by_subject(call: ApiCall) -> list[ListRow]:
    """All deleted tickets with their subjects in lower case as keys: no index of a store has them in this order."""
    found: list[ListRow] = []
    after = None
    while True:
        rows = await call.service.store.list_tickets(call.account, RESTORABLE, Slice(1000, after=after))
        for row in rows:
            subject = msgspec.json.decode(row.body, type=_Deleted).subject or ""
            found.append(ListRow(subject.casefold().replace("\0", ""), row.id, row.body))
        if len(rows) < 1000:
            return found
        after = rows[-1].id, rows[-1].id


class _Tagged(msgspec.Struct):
    tags: list[str] = []


class _Deleted(msgspec.Struct):
    id: int
    updated_at: str
    subject: str | None = None


def _deleted(body: bytes, audits: list[bytes]) -> bytes:
    ticket = msgspec.json.decode(body, type=_Deleted)
    actor, state = deletion_of(audits)
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


async def _with_sideloads(call: ApiCall, rows: Sequence[LinkedTicketRow]) -> tuple[dict[str, list[bytes]], list[bytes]]:
    include = parse_include(call.query.get("include", ""))
    store, now = call.service.store, call.now
    sideloads, embedded = await sideload_tickets(store, call.account, include, rows, now)
    return sideloads, embed([row.body for row in rows], embedded)


def _archived_at(call: ApiCall) -> int | None:
    days = call.service.settings.archive_days
    return call.now - days * DAY_SECONDS if days else None
