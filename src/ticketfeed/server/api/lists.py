"""Lists of records and single ones: users, groups, fields and the rest, all alike, from one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.protocol.envelope import join_arrays
from ticketfeed.protocol.errors import InvalidValue, RecordNotFound, TooManyValues
from ticketfeed.protocol.list_request import LIST_LIMIT_MAX, ListRequest, list_ends, parse_list_request
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.query import parse_integer, parse_query
from ticketfeed.protocol.records import is_deleted, wire_second
from ticketfeed.protocol.rows import ListRow
from ticketfeed.server.api.call import ApiCall, Handler, api_routes
from ticketfeed.server.responses import body_response

__all__ = ["RESOURCES", "Resource", "count_response", "list_response", "parse_ids", "path_id", "resource_routes"]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of record: where it is listed, and what a single one is called."""

    path: str
    kind: str
    singular: str
    show_many: bool = False
    role: str = "agent"


RESOURCES = (
    Resource("/users", "users", "user", show_many=True),
    Resource("/organizations", "organizations", "organization", show_many=True),
    Resource("/groups", "groups", "group"),
    Resource("/group_memberships", "group_memberships", "group_membership"),
    Resource("/ticket_fields", "ticket_fields", "ticket_field"),
    Resource("/ticket_forms", "ticket_forms", "ticket_form", show_many=True),
    Resource("/brands", "brands", "brand", role="admin"),
    Resource("/custom_statuses", "custom_statuses", "custom_status"),
    Resource("/user_fields", "user_fields", "user_field"),
    Resource("/organization_fields", "organization_fields", "organization_field"),
    Resource("/macros", "macros", "macro"),
    Resource("/slas/policies", "sla_policies", "sla_policy", role="admin"),
    Resource("/satisfaction_ratings", "satisfaction_ratings", "satisfaction_rating"),
    Resource("/sharing_agreements", "sharing_agreements", "sharing_agreement"),
    Resource("/ticket_metrics", "ticket_metrics", "ticket_metric"),
    Resource("/ticket_audits", "audits", "audit"),
)


def resource_routes(resource: Resource) -> list[Route]:
    """List, count, show_many where there is one, and show."""
    routes = [
        *api_routes(resource.path, _list(resource), role=resource.role),
        *api_routes(f"{resource.path}/count", _count(resource), role=resource.role),
        *api_routes(f"{resource.path}/{{id:int}}", _show(resource), role=resource.role),
    ]
    if resource.show_many:
        routes += api_routes(f"{resource.path}/show_many", _show_many(resource), role=resource.role)
    return routes


def _list(resource: Resource) -> Handler:
    async def list_records(request: Request, call: ApiCall) -> Response:
        asked = parse_list_request(parse_query(request.scope["query_string"].decode("latin-1")))
        store = call.service.store
        rows = await store.list_records(call.account, resource.kind, asked.part)
        count = await store.count_records(call.account, resource.kind) if asked.number is not None else None
        return list_response(request, call, resource.kind, asked, rows, count)

    return list_records


def _count(resource: Resource) -> Handler:
    async def count_records(request: Request, call: ApiCall) -> Response:
        return count_response(request, call, await call.service.store.count_records(call.account, resource.kind))

    return count_records


def _show(resource: Resource) -> Handler:
    async def show_record(request: Request, call: ApiCall) -> Response:
        rows = await call.service.store.read_records(call.account, resource.kind, [path_id(request)])
        if not rows or (resource.kind != "users" and is_deleted(resource.kind, rows[0].body)):
            raise RecordNotFound
        return body_response(request, b'{"%s":%s}' % (resource.singular.encode(), rows[0].body))

    return show_record


def _show_many(resource: Resource) -> Handler:
    async def show_many_records(request: Request, call: ApiCall) -> Response:
        ids = parse_ids(parse_query(request.scope["query_string"].decode("latin-1")))
        rows = await call.service.store.read_records(call.account, resource.kind, ids)
        ends = {"next_page": None, "previous_page": None, "count": len(rows)}
        return body_response(request, join_arrays([(resource.kind, [row.body for row in rows])], ends))

    return show_many_records


def list_response(
    request: Request,
    call: ApiCall,
    name: str,
    asked: ListRequest,
    rows: Sequence[ListRow],
    count: int | None,
    sideloads: dict[str, list[bytes]] | None = None,
) -> Response:
    """A part of a list."""
    taken, ends = list_ends(asked, rows, count, call.address(request))
    arrays = [(name, [row.body for row in taken]), *(sideloads or {}).items()]
    return body_response(request, join_arrays(arrays, ends))


def count_response(request: Request, call: ApiCall, count: int) -> Response:
    """How many there are, as of now."""
    answer = {"count": {"value": count, "refreshed_at": wire_second(call.service.clock())}}
    return body_response(request, msgspec.json.encode(answer))


def path_id(request: Request) -> int:
    """The id in the path. Raises RecordNotFound where none can be so large."""
    id: int = request.path_params["id"]
    if id > INT64_MAX:
        raise RecordNotFound
    return id


def parse_ids(query: dict[str, str]) -> list[int]:
    """The `ids` of a show_many. Raises InvalidValue, TooManyValues."""
    texts = [text for text in query.get("ids", "").split(",") if text.strip()]
    if len(texts) > LIST_LIMIT_MAX:
        raise TooManyValues(LIST_LIMIT_MAX)
    ids = [parse_integer(text) for text in texts]
    if not ids or None in ids:
        raise InvalidValue("ids must be whole numbers, with commas between them")
    return [id for id in ids if id is not None]
