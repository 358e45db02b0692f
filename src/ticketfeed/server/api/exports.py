"""The incremental exports, by cursor and by time: parse, answer, respond. Admins only."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.answer import Answer, Export, ListedExportRequest, PageRequest, StreamedAnswer
from ticketfeed.protocol.errors import InvalidPaginationParameter, InvalidValue
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.model import Position
from ticketfeed.protocol.query import (
    PAGE_LIMIT_MAX,
    ExportRequest,
    SpanRequest,
    parse_export_request,
    parse_integer,
    parse_span_request,
)
from ticketfeed.server.api.call import ApiCall, Handler
from ticketfeed.server.middleware.overload import begin_page
from ticketfeed.server.request_context import request_context
from ticketfeed.server.responses import accepted_coding, encoded_response, streamed_response

__all__ = ["SAMPLE_LIMIT_MAX", "cursor_export", "metric_event_export", "sample_export", "span_export"]

SAMPLE_LIMIT_MAX = 50


def cursor_export(kind: str) -> Handler:
    """GET .../cursor: one page after a cursor, or from a start_time."""
    export = Export(f"{kind}/cursor", kind, kind)

    async def handle(request: Request, call: ApiCall) -> Response:
        now, margin = call.now, call.service.settings.start_time_margin_seconds
        query = _parse_cursor_query(tuple(call.query.items()), kind, now if margin else 0, margin)
        return _respond(request, await _answer(request, call, export, query, now))

    return handle


def span_export(kind: str, key: str | None = None) -> Handler:
    """The older, time-based form: everything generated since a time, under `key` (by default `kind`)."""
    export = Export(key or kind, kind, key or kind)

    async def handle(request: Request, call: ApiCall) -> Response:
        now = call.now
        return _respond(request, await _answer(request, call, export, _parse_span(call, kind, now), now))

    return handle


def sample_export(kind: str, key: str | None = None) -> Handler:
    """The first records of a time-based export, for trying it out: it is no page of a walk, and not counted as one."""
    export = Export(f"{key or kind}/sample", kind, key or kind)

    async def handle(request: Request, call: ApiCall) -> Response:
        now = call.now
        query = _parse_span(call, kind, now)
        query = replace(query, page_limit=min(query.page_limit, SAMPLE_LIMIT_MAX))
        return _respond(request, await _answer(request, call, export, query, now), is_page=False)

    return handle


async def metric_event_export(request: Request, call: ApiCall) -> Response:
    """Metric events since a time; with `page[size]`, in pages by cursor in the envelope of lists."""
    kind = "ticket_metric_events"
    parameters = call.query
    _check_page_limit(parameters, kind)
    if not any(name.startswith("page[") for name in parameters):
        return await _METRIC_EVENTS_BY_TIME(request, call)
    now = call.now
    listed = parse_list_request(parameters, orders=("updated_at",), limit_max=PAGE_LIMIT_MAX)
    if listed.backwards:
        raise InvalidPaginationParameter("page[before] is not supported here")
    if listed.part.after is None:
        after = Position(_parse_span(call, kind, now).start_time, -1)
    else:
        after = Position(int(listed.part.after[0]), listed.part.after[1])
    query = ListedExportRequest(after, listed)
    return _respond(request, await _answer(request, call, Export(kind, kind, kind), query, now))


_METRIC_EVENTS_BY_TIME = span_export("ticket_metric_events")


@lru_cache(1024)  # several clients walk the same pages; parsing takes a tenth of the time of a cached page
def _parse_cursor_query(query: tuple[tuple[str, str], ...], kind: str, now: int, margin: int) -> ExportRequest:
    parameters = dict(query)
    _check_page_limit(parameters, kind)
    return parse_export_request(parameters, now=now, start_time_margin_seconds=margin)


def _check_page_limit(parameters: Mapping[str, str], kind: str) -> None:
    page_limit = parse_integer(parameters.get("per_page", "1"))
    # Recorded: where tickets are clamped to 1000, users and organizations answer 400.
    if kind in ("users", "organizations") and page_limit is not None and page_limit > PAGE_LIMIT_MAX:
        raise InvalidValue(f"per_page must be at most {PAGE_LIMIT_MAX}")


def _parse_span(call: ApiCall, kind: str, now: int) -> SpanRequest:
    _check_page_limit(call.query, kind)
    margin = call.service.settings.start_time_margin_seconds
    return parse_span_request(call.query, now=now, start_time_margin_seconds=margin)


async def _answer(
    request: Request,
    call: ApiCall,
    export: Export,
    query: ExportRequest | SpanRequest | ListedExportRequest,
    now: int,
) -> Answer | StreamedAnswer:
    asked = PageRequest(call.account, export, query, call.address(request), accepted_coding(request), now)
    end_page = await begin_page(request.scope, call.account.account_id)
    try:
        return await call.service.exports.answer(asked)
    finally:
        end_page()


def _respond(request: Request, answer: Answer | StreamedAnswer, *, is_page: bool = True) -> Response:
    context = request_context(request.scope)
    if isinstance(answer, StreamedAnswer):
        parts = answer.parts

        async def send_parts() -> AsyncIterator[bytes]:
            async for part, served in parts:
                context.served = served if is_page else None
                yield part

        return streamed_response(request, send_parts(), answer.coding)
    context.served = answer.served if is_page else None
    return encoded_response(request, answer.body, answer.coding, answer.etag)
