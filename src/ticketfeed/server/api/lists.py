"""Lists, counts and single records of every kind, made from the table of resources."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.envelope import join_arrays
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import ListRequest, paginate, parse_ids, parse_list_request
from ticketfeed.protocol.records import is_deleted, wire_second
from ticketfeed.protocol.resources import RESOURCES, Resource
from ticketfeed.protocol.rows import ListRow
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.parameters import LIST_PAGES
from ticketfeed.server.responses import body_response

__all__ = ["LIST_ROUTES", "count_response", "list_response", "with_organization_names"]


def _routes(resource: Resource) -> Iterator[ApiRoute]:
    path, kind, names = resource.path, resource.kind, resource.kind.replace("_", " ")
    route = partial(ApiRoute, "GET", tag="Records", role=resource.read_role)
    yield route(path, _list(kind), summary=f"List {names}", parameters=LIST_PAGES, answer={kind: "array"})
    yield route(f"{path}/count", _count(kind), summary=f"Count {names}", answer={"count": "object"})
    summary = f"Show {resource.singular.replace('_', ' ')}"
    yield route(f"{path}/{{id:int}}", _show(resource), summary=summary, answer={resource.singular: "object"})
    if resource.has_show_many:
        handler, summary, answer = _show_many(kind), f"Show up to 100 {names}", {kind: "array", "count": "integer"}
        yield route(f"{path}/show_many", handler, summary=summary, parameters=("ids",), answer=answer)


def _list(kind: str) -> Handler:
    async def list_records(request: Request, call: ApiCall) -> Response:
        list_request = parse_list_request(call.query)
        store = call.service.store
        rows = await store.list_records(call.account, kind, list_request.part)
        if kind == "organization_memberships":
            rows = await with_organization_names(call, rows)
        count = await store.count_records(call.account, kind) if list_request.number is not None else None
        return list_response(request, call, kind, list_request, rows, count)

    return list_records


def _count(kind: str) -> Handler:
    async def count_records(request: Request, call: ApiCall) -> Response:
        return count_response(request, call, await call.service.store.count_records(call.account, kind))

    return count_records


def _show(resource: Resource) -> Handler:
    async def show_record(request: Request, call: ApiCall) -> Response:
        rows = await call.service.store.read_records(call.account, resource.kind, [path_id(request)])
        if not rows or (not resource.reads_deleted and is_deleted(resource.kind, rows[0].body)):
            raise RecordNotFound
        body = rows[0].body
        if resource.kind == "organization_memberships":
            body = (await with_organization_names(call, [ListRow(rows[0].id, rows[0].id, body)]))[0].body
        return body_response(request, b'{"%s":%s}' % (resource.singular.encode(), body))

    return show_record


def _show_many(kind: str) -> Handler:
    async def show_many_records(request: Request, call: ApiCall) -> Response:
        rows = await call.service.store.read_records(call.account, kind, parse_ids(call.query))
        ends = {"next_page": None, "previous_page": None, "count": len(rows)}
        return body_response(request, join_arrays([(kind, [row.body for row in rows])], ends))

    return show_many_records


LIST_ROUTES = [route for resource in RESOURCES.values() if resource.is_listed for route in _routes(resource)]


def list_response(
    request: Request,
    call: ApiCall,
    key: str,
    list_request: ListRequest,
    rows: Sequence[ListRow],
    count: int | None,
    sideloads: dict[str, list[bytes]] | None = None,
) -> Response:
    """One page of a list under `key`. `count`: of the whole list, by offset only."""
    page_rows, ends = paginate(list_request, rows, count, call.address(request))
    arrays = [(key, [row.body for row in page_rows]), *(sideloads or {}).items()]
    return body_response(request, join_arrays(arrays, ends))


async def with_organization_names(call: ApiCall, rows: Sequence[ListRow]) -> Sequence[ListRow]:
    """Organization memberships with the names that their organizations have now."""
    ids = [msgspec.json.decode(row.body, type=_Membership).organization_id for row in rows]
    organizations = await call.service.store.read_records(call.account, "organizations", ids)
    names = {row.id: msgspec.json.decode(row.body, type=_Organization).name for row in organizations}
    named = []
    for row, id in zip(rows, ids, strict=True):
        if id in names:
            values = msgspec.json.decode(row.body, type=dict[str, Any])
            row = row._replace(body=msgspec.json.encode({**values, "organization_name": names[id]}))
        named.append(row)
    return named


class _Membership(msgspec.Struct):
    organization_id: int


class _Organization(msgspec.Struct):
    name: str | None = None


def count_response(request: Request, call: ApiCall, count: int) -> Response:
    """The number of records in a list, now."""
    answer = {"count": {"value": count, "refreshed_at": wire_second(call.service.clock())}}
    return body_response(request, msgspec.json.encode(answer))
