"""GET /search: the small part of the query language with which connectors look for what changed.

Understood are `type:`, and `created` and `updated` compared with a time. Anything else is refused in words: an answer
that left a condition out would be wrong without a sign of it.
"""

import re
from collections.abc import AsyncIterator, Callable
from operator import ge, gt, le, lt

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import InvalidPaginationParameter, InvalidValue
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.model import Slice, TicketList
from ticketfeed.protocol.query import parse_query
from ticketfeed.protocol.rows import ListRow
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.api.lists import list_response
from ticketfeed.server.responses import body_response

__all__ = ["count_found", "search"]

# As many as the wire ever gives.
FOUND_MAX = 1000
CHUNK = 1000
_KINDS = {"ticket": "tickets", "user": "users", "organization": "organizations", "group": "groups"}
_TERM = re.compile(r"(type|created|updated|created_at|updated_at)(:|>=|<=|>|<)(\S+)")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+]00:00))?")
_COMPARE: dict[str, Callable[[str, str], bool]] = {">": gt, "<": lt, ">=": ge, "<=": le}


class _Dated(msgspec.Struct):
    created_at: str
    updated_at: str


_DATED = msgspec.json.Decoder(_Dated)
Condition = Callable[[_Dated], bool]


async def search(request: Request, call: ApiCall) -> Response:
    """The records found, each saying its `result_type`."""
    query = parse_query(request.scope["query_string"].decode("latin-1"))
    asked = parse_list_request(query)
    if asked.number is None:
        raise InvalidPaginationParameter("a search has pages by number only")
    found = await _find(call, query.get("query", ""))
    part = found[asked.part.offset :][: asked.part.limit]
    return list_response(request, call, "results", asked, part, len(found))


async def count_found(request: Request, call: ApiCall) -> Response:
    """How many records are found."""
    query = parse_query(request.scope["query_string"].decode("latin-1"))
    return body_response(request, msgspec.json.encode({"count": len(await _find(call, query.get("query", "")))}))


async def _find(call: ApiCall, text: str) -> list[ListRow]:
    types, conditions = _parse(text)
    found: list[ListRow] = []
    for type_ in types:
        async for row in _walk(call, _KINDS[type_]):
            if all(holds(_DATED.decode(row.body)) for holds in conditions):
                body = row.body[:-1] + b',"result_type":"%s"}' % type_.encode()
                found.append(ListRow(row.id, row.id, body))
                if len(found) == FOUND_MAX:
                    return found
    return found


async def _walk(call: ApiCall, kind: str) -> AsyncIterator[ListRow]:
    store, after = call.service.store, -1
    while True:
        part = Slice(CHUNK, after=(after, after))
        if kind == "tickets":
            rows = await store.list_tickets(call.account, TicketList(), part)
        else:
            rows = await store.list_records(call.account, kind, part)
        for row in rows:
            yield row
        if len(rows) < CHUNK:
            return
        after = rows[-1].id


def _parse(text: str) -> tuple[list[str], list[Condition]]:
    types, conditions = list(_KINDS), []
    for term in text.split():
        match = _TERM.fullmatch(term)
        if match is None:
            raise InvalidValue(f"this search understands type:, created and updated, but not {term}")
        name, operator, value = match.groups()
        if name == "type":
            if value not in _KINDS or operator != ":":
                raise InvalidValue(f"type must be one of {', '.join(_KINDS)}")
            types = [value]
        elif not _TIME.fullmatch(value):
            raise InvalidValue(f"{value} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z")
        else:
            conditions.append(_dated(name.removesuffix("_at") + "_at", operator, value))
    return types, conditions


def _dated(key: str, operator: str, value: str) -> Condition:
    """Times on the wire have one form, so their texts are in their order; a day is all of it, or its beginning."""
    value = value.replace("+00:00", "Z")
    if operator == ":":
        return lambda record: bool(getattr(record, key).startswith(value))
    compare, moment = _COMPARE[operator], value if "T" in value else f"{value}T00:00:00Z"
    return lambda record: compare(getattr(record, key), moment)
