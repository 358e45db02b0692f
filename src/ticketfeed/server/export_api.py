"""GET /api/v2/incremental/tickets/cursor(.json): parse, read, render."""

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.feed import read_page
from ticketfeed.protocol.params import parse_export_request, parse_query
from ticketfeed.protocol.wire import encode_etag, encode_page
from ticketfeed.server.api import ApiCall
from ticketfeed.server.responses import json_response

__all__ = ["export_tickets"]


async def export_tickets(request: Request, call: ApiCall) -> Response:
    """One page of the account's feed, admins only."""
    settings, now = call.service.settings, call.service.clock()
    query = parse_query(request.scope["query_string"].decode("latin-1"))
    asked = parse_export_request(query, now=now, start_time_margin_seconds=settings.start_time_margin_seconds)
    page = await read_page(call.service.store, call.account, asked, now=now, settle_seconds=settings.settle_seconds)
    address = call.address(request)
    tag = encode_etag(page, call.service.store.store_id, call.account.subdomain, address, repr(asked.kept))
    return json_response(request, encode_page(page, address, asked.kept), tag)
