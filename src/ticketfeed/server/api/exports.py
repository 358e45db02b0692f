"""The incremental exports, by cursor and by time: parse, read, render. Admins only."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.fragments import RUN_TICKETS
from ticketfeed.export.source import read_page, read_span
from ticketfeed.protocol.audit_views import ticket_event_of
from ticketfeed.protocol.consumers import Served
from ticketfeed.protocol.envelope import encode_etag, encode_page, encode_span
from ticketfeed.protocol.errors import InvalidPaginationParameter, InvalidValue
from ticketfeed.protocol.gzip_splice import GZIP, PLAIN
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.model import Filters, Position, Span
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import (
    PAGE_LIMIT_MAX,
    ExportRequest,
    SpanRequest,
    parse_export_request,
    parse_integer,
    parse_span_request,
)
from ticketfeed.protocol.rows import ChangeRow, ListRow
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.server.api.call import ApiCall, Handler
from ticketfeed.server.api.lists import list_response
from ticketfeed.server.middleware.page_cache import Asked, make_ready, remember
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import json_response, pieces_response, takes_gzip

__all__ = ["SAMPLE_LIMIT_MAX", "cursor_export", "event_export", "metric_event_export", "span_export"]

SAMPLE_LIMIT_MAX = 50


def cursor_export(kind: str) -> Handler:
    """GET .../cursor: one page behind a cursor, or from a start_time."""

    async def export(request: Request, call: ApiCall) -> Response:
        settings, now = call.service.settings, call.service.clock()
        query = _checked(call.query, kind)
        asked = parse_export_request(query, now=now, start_time_margin_seconds=settings.start_time_margin_seconds)
        settle = settings.settle_seconds
        address = call.address(request)
        if kind == "tickets" and _can_keep(asked, call):
            coding = GZIP if takes_gzip(request) else PLAIN
            ready = await make_ready(call.service, Asked(call.account, call.identity, asked, address, coding))
            body = call.service.runs.file.read(ready.body)
            if body is not None:
                request_context(request.scope).served = ready.served
                response = pieces_response(request, body, ready.etag, coding.name)
                remember(call.service, request.scope, ready, response.raw_headers)
                return response
        page = await read_page(call.service.store, call.account, asked, kind=kind, now=now, settle_seconds=settle)
        end, filters = page.after, asked.filters
        served = Served(f"{kind}/cursor", kind, asked.after, end, len(page.rows), page.end_of_stream, filters)
        request_context(request.scope).served = served
        tag = encode_etag(page, call.service.store.store_id, call.account.subdomain, address, repr(asked.kept))
        return json_response(request, encode_page(page, address, asked.kept, kind), tag)

    return export


def _can_keep(asked: ExportRequest, call: ApiCall) -> bool:
    """Small pages would make small runs. What stands beside tickets is kept where the store tells of each change of
    it, and what stands inside them never is: it changes too often."""
    has_change_counter = call.service.store.change_counter() is not None
    beside_only = has_change_counter and all(name in SIDELOADED_KINDS for name in asked.include)
    return call.service.runs.file.is_open and asked.page_limit >= RUN_TICKETS and (beside_only or not asked.include)


def span_export(
    kind: str, *, limit_max: int = PAGE_LIMIT_MAX, name: str | None = None, render: "Render | None" = None
) -> Handler:
    """The older form: everything generated since a time. `name`: the envelope's key, where it is not `kind`."""

    async def export(request: Request, call: ApiCall) -> Response:
        settings, now = call.service.settings, call.service.clock()
        query = _checked(call.query, kind)
        asked = parse_span_request(query, now=now, start_time_margin_seconds=settings.start_time_margin_seconds)
        asked = replace(asked, page_limit=min(asked.page_limit, limit_max))
        settle = settings.settle_seconds
        span = await read_span(call.service.store, call.account, asked, kind=kind, now=now, settle_seconds=settle)
        if limit_max > SAMPLE_LIMIT_MAX:
            request_context(request.scope).served = _served(name or kind, kind, asked, span)
        address = call.address(request)
        tag = encode_etag(span, call.service.store.store_id, call.account.subdomain, address, repr(asked.kept))
        rendered = render(span, asked) if render else span
        return json_response(request, encode_span(rendered, address, asked.kept, name or kind), tag)

    return export


def _served(export: str, kind: str, asked: SpanRequest, span: Span) -> Served:
    after = Position(asked.start_time, -1)
    end = position_of(span.rows[-1]) if span.rows else after
    return Served(export, kind, after, end, len(span.rows), span.end_of_stream, asked.filters, by_time=True)


Render = Callable[[Span, SpanRequest], Span]


def event_export(*, limit_max: int = PAGE_LIMIT_MAX) -> Handler:
    """Ticket events: audits, in the form of this export."""

    def render(span: Span, asked: SpanRequest) -> Span:
        comments = "comment_events" in asked.include
        rows = [
            ChangeRow(row.generated_timestamp, row.id, ticket_event_of(row.body, comment_events=comments))
            for row in span.rows
        ]
        return replace(span, rows=rows)

    return span_export("audits", limit_max=limit_max, name="ticket_events", render=render)


def _checked(query: Mapping[str, str], kind: str) -> Mapping[str, str]:
    asked = parse_integer(query.get("per_page", "1"))
    if kind in ("users", "organizations") and asked is not None and asked > PAGE_LIMIT_MAX:
        raise InvalidValue(f"per_page must be at most {PAGE_LIMIT_MAX}")
    return query


async def metric_event_export(request: Request, call: ApiCall) -> Response:
    """Metric events since a time; with `page[size]` in pages behind a cursor, as lists have them."""
    query = call.query
    if not any(name.startswith("page[") for name in query):
        return await span_export("ticket_metric_events")(request, call)
    settings, now = call.service.settings, call.service.clock()
    listed = parse_list_request(query, orders=("updated_at",), limit_max=PAGE_LIMIT_MAX)
    if listed.backwards:
        raise InvalidPaginationParameter("this export goes forwards only")
    after = listed.part.after
    if after is None:
        asked = parse_span_request(query, now=now, start_time_margin_seconds=settings.start_time_margin_seconds)
        after = (asked.start_time, -1)
    position = Position(int(after[0]), after[1])
    request_ = ExportRequest(position, listed.limit, Filters(), (), ())
    kind, settle = "ticket_metric_events", settings.settle_seconds
    page = await read_page(call.service.store, call.account, request_, kind=kind, now=now, settle_seconds=settle)
    request_context(request.scope).served = Served(
        kind, kind, position, page.after, len(page.rows), page.end_of_stream, by_time=True
    )
    rows = [ListRow(row.generated_timestamp, row.id, row.body) for row in page.rows]
    extra = [] if page.end_of_stream else [ListRow(0, 0, b"")]  # one row more than the page holds: more follow
    return list_response(request, call, kind, listed, [*rows, *extra], None)
