"""GET /search and /search/count: walk the records of each type and return those that match (see protocol/search.py)."""

from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import InvalidPaginationParameter
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.model import Slice, TicketList
from ticketfeed.protocol.resources import SEARCH_TYPES
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.search import parse_search
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.api.lists import list_response
from ticketfeed.server.responses import body_response

__all__ = ["count_results", "search"]

# The wire never returns more results than this.
RESULTS_MAX = 1000
_CHUNK_ROWS = 1000


async def search(request: Request, call: ApiCall) -> Response:
    """The matching records, each with its `result_type`."""
    list_request = parse_list_request(call.query)
    if list_request.number is None:
        raise InvalidPaginationParameter("search supports offset pagination only")
    results = await _find(call, call.query.get("query", ""))
    page = results[list_request.part.offset :][: list_request.part.limit]
    return list_response(request, call, "results", list_request, page, len(results))


async def count_results(request: Request, call: ApiCall) -> Response:
    """The number of matching records."""
    results = await _find(call, call.query.get("query", ""))
    return body_response(request, msgspec.json.encode({"count": len(results)}))


async def _find(call: ApiCall, text: str) -> list[ListRow]:
    query = parse_search(text)
    results: list[ListRow] = []
    for type_ in query.types:
        async for row in _walk(call, SEARCH_TYPES[type_]):
            if query.matches(row.body):
                body = row.body[:-1] + b',"result_type":"%s"}' % type_.encode()
                results.append(row._replace(body=body))
                if len(results) == RESULTS_MAX:
                    return results
    return results


async def _walk(call: ApiCall, kind: str) -> AsyncIterator[ListRow]:
    """Every ticket or record of a kind that is not deleted, by id."""
    store, after = call.service.store, -1
    while True:
        part = Slice(_CHUNK_ROWS, after=(after, after))
        if kind == "tickets":
            rows = await store.list_tickets(call.account, TicketList(), part)
        else:
            rows = await store.list_records(call.account, kind, part)
        for row in rows:
            yield row
        if len(rows) < _CHUNK_ROWS:
            return
        after = rows[-1].id
