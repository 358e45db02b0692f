"""Views of the dashboard: each reads the values of its template."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request

from ticketfeed.clock import system_instant
from ticketfeed.data.status import PENDING_MAX, count_pending, read_status, readable_until
from ticketfeed.export.record_lists import ticket_batches
from ticketfeed.export.source import FeedReader
from ticketfeed.faults import shipped_scenarios
from ticketfeed.mirror.status import status_of
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import RecordNotFound, StoreUnavailable
from ticketfeed.protocol.model import Account, Filters, Position, Slice, TicketList
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import parse_integer
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.dashboard.charts import PERIODS, Chart, Charts
from ticketfeed.server.dashboard.filters import Place, parse_place
from ticketfeed.server.faults.engine import Faults
from ticketfeed.storage.batches import read_batches
from ticketfeed.storage.snapshot_contract import Snapshot

__all__ = ["VIEWS", "Values", "View"]

NEXT_TICKETS = 20
LISTED_TICKETS = 50
LISTED_TOKENS = 200
_ALL = Filters(support_type_scope="all")
_EXPORT = "/api/v2/incremental/tickets/cursor.json"

Values = dict[str, Any]
View = Callable[[Request, ApiCall], Awaitable[Values]]


class _Ticket(msgspec.Struct):
    id: int
    generated_timestamp: int = 0
    status: str | None = None
    subject: str | None = None
    updated_at: str | None = None


class _User(msgspec.Struct):
    email: str | None = None


async def overview(request: Request, call: ApiCall) -> Values:
    charts: Charts = request.app.state.charts
    period = request.query_params.get("span", "")
    period, now = period if period in PERIODS else "day", call.now
    status, mirror, chart = await asyncio.gather(
        _read_status(call), _read_mirror(call), _read_chart(charts, call.account, period, now)
    )
    return {**status, **mirror, "chart": chart, "periods": PERIODS, "curls": _curls(request, call)}


async def _read_mirror(call: ApiCall) -> Values:
    """Read anew each time, so that whoever has changed something sees it."""
    service = call.service
    mirror = await service.recent_reads.get(
        ("mirror", call.account), lambda: service.store.read_mirror(call.account), keep=lambda _seconds: 0.0
    )
    return {"mirror": mirror, "mirror_status": mirror and status_of(mirror, system_instant())}


async def _read_chart(charts: Charts, account: Account, period: str, now: int) -> Chart:
    try:
        return await charts.read(account, period, now)
    except StoreUnavailable:  # it takes long the first time
        return Chart(PERIODS[period], [], [], None)


async def consumers(_request: Request, call: ApiCall) -> Values:
    return await _read_status(call)


async def oauth(_request: Request, call: ApiCall) -> Values:
    """OAuth clients, and the tokens that can be used or renewed, newest first. Nothing of a secret is among them."""
    store = call.service.store
    clients = await store.list_oauth_clients(call.account)
    tokens = [token for token in await store.list_oauth_tokens(call.account) if token.is_listed(call.now)]
    user_ids = {client.user_id for client in clients} | {token.user_id for token in tokens}
    users = read_batches(partial(store.read_records, call.account, "users"), user_ids)
    emails = {user.id: msgspec.json.decode(user.body, type=_User).email async for rows in users for user in rows}
    return {
        "clients": clients,
        "tokens": tokens[: -LISTED_TOKENS - 1 : -1],
        "token_count": len(tokens),
        "living": Counter(token.client_id for token in tokens),
        "names": {client.id: client.identifier for client in clients},
        "emails": {id: emails.get(id) or f"user {id}" for id in user_ids},
    }


async def requests(_request: Request, call: ApiCall) -> Values:
    return {"requests": await call.service.store.read_requests(call.account)}


async def faults(request: Request, call: ApiCall) -> Values:
    """The scenarios that there are, and those that are switched on for the account."""
    found: Faults | None = request.app.state.faults
    active = found.active(call.account) if found is not None else []
    return {"active": active, "scenarios": list(shipped_scenarios().values())}


async def feed(request: Request, call: ApiCall) -> Values:
    """The feed inspector: the position of a cursor or a time, and the next tickets."""
    text = request.query_params.get("at", "").strip()
    values: Values = {"asked": text, "place": None, "problem": ""}
    if not text:
        return values
    try:
        place = parse_place(text)
    except (ValueError, OverflowError) as problem:
        return {**values, "problem": str(problem)}
    return {**values, "place": place, **await _inspect(request, call, place)}


async def _inspect(request: Request, call: ApiCall, place: Place) -> Values:
    service, account = call.service, call.account
    now, settle = call.now, service.settings.settle_seconds
    reader = FeedReader(service.store, account, "tickets", _ALL, (), now, now - settle)
    state, rows = await reader.read(place.position, NEXT_TICKETS)
    until = readable_until(state, now, settle)

    def work(snapshot: Snapshot) -> tuple[int, int]:
        every, _ = count_pending(snapshot, account, place.position, until, _ALL)
        default_pending, _ = count_pending(snapshot, account, place.position, until, Filters())
        return every, default_pending

    pending, default_pending = await service.store.inspect(work, accounts=[account])
    address = f"{_address(request, call)}{_EXPORT}"
    return {
        "state": state,
        "pending": pending,
        "default_pending": default_pending,
        "pending_max": PENDING_MAX,
        "next": [(_parse(row.body), encode_cursor(position_of(row))) for row in rows],
        "curl_line": f"curl -s -u EMAIL/token:TOKEN '{address}?cursor={place.cursor.replace('=', '%3D')}'",
    }


async def tickets(request: Request, call: ApiCall) -> Values:
    """Tickets by last change, newest first, starting after `after` if it is given."""
    query = request.query_params
    after = _parse_key(query.get("after", ""))
    listed = TicketList(deleted=query.get("deleted") == "1")
    part = Slice(LISTED_TICKETS + 1, "updated_at", descending=True, after=after)
    batches = ticket_batches(call.service.store, call.account, listed, part)
    rows = [(row.key, row.id, _parse(row.body)) async for found in batches for row in found]
    shown = rows[:LISTED_TICKETS]
    return {
        "tickets": [parsed for _, _, parsed in shown],
        "deleted": listed.deleted,
        "after": "{}-{}".format(*shown[-1]) if len(rows) > LISTED_TICKETS else None,
        "is_first": after is None,
    }


async def ticket(request: Request, call: ApiCall) -> Values:
    """One ticket as it is stored, and its audits."""
    ticket_id = parse_integer(request.path_params["id"])
    if ticket_id is None:
        raise RecordNotFound
    rows = await call.service.store.read_tickets(call.account, [ticket_id])
    if not rows:
        raise RecordNotFound
    body = rows[0].body
    audits = await call.service.store.read_of_tickets(call.account, "audits", [ticket_id])
    return {
        "ticket": _parse(body),
        "json": _indent(body),
        "cursor": encode_cursor(Position(rows[0].generated_timestamp, ticket_id - 1)),
        "audits": [(audit.id, _indent(audit.body)) for audit in audits],
        "curl_line": f"curl -s -u EMAIL/token:TOKEN '{_address(request, call)}/api/v2/tickets/{ticket_id}.json'",
    }


async def _read_status(call: ApiCall) -> Values:
    service, now = call.service, call.service.clock()
    found = await service.recent_reads.get(
        ("status", call.account),
        lambda: read_status(service.store, call.account, now=now, settle_seconds=service.settings.settle_seconds),
    )
    return {"feed": found, "pending_max": PENDING_MAX, "cursor_of": encode_cursor}


def _parse(body: bytes) -> _Ticket:
    return msgspec.json.decode(body, type=_Ticket)


def _indent(body: bytes) -> str:
    return msgspec.json.format(bytes(body), indent=2).decode()


def _parse_key(text: str) -> tuple[int, int] | None:
    second, _, ticket_id = text.partition("-")
    key = parse_integer(second), parse_integer(ticket_id)
    return None if key[0] is None or key[1] is None else (key[0], key[1])


def _address(request: Request, call: ApiCall) -> str:
    return call.address(request).removesuffix(str(request.scope["path"]))


def _curls(request: Request, call: ApiCall) -> Mapping[str, str]:
    start = f"curl -s -u EMAIL/token:TOKEN '{_address(request, call)}{_EXPORT}"
    return {
        "The first page": f"{start}?start_time=0&per_page=100'",
        "Changes of the last hour": f"{start}?start_time={call.now - 3600}'",
        "Without deleted tickets": f"{start}?start_time=0&exclude_deleted=true'",
    }


VIEWS: dict[str, tuple[str, View]] = {
    "": ("overview", overview),
    "feed": ("feed", feed),
    "consumers": ("consumers", consumers),
    "oauth": ("oauth", oauth),
    "requests": ("requests", requests),
    "scenarios": ("faults", faults),
    "tickets": ("tickets", tickets),
    "tickets/{id}": ("ticket", ticket),
}
