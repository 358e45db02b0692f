"""Users, groups, organizations and the other records written one by one, all alike, from the table of resources."""

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ticketfeed.protocol.records import RecordDraft
from ticketfeed.server.api.bulk import create_many, destroy_many, update_many
from ticketfeed.server.api.call import ApiCall, Handler, api_routes
from ticketfeed.server.api.lists import RESOURCES, Resource, path_id
from ticketfeed.server.api.requests import read_envelope
from ticketfeed.server.responses import written_response
from ticketfeed.storage.contract import WriteTransaction
from ticketfeed.writing.records import RecordWriter

__all__ = ["RECORD_WRITE_ROUTES", "WRITTEN"]

T = TypeVar("T")

# Which may be written, by whom; those with True in bulk and by create_or_update, too.
WRITTEN = {
    "users": ("agent", True),
    "organizations": ("agent", True),
    "groups": ("admin", False),
    "group_memberships": ("admin", False),
    "ticket_fields": ("admin", False),
    "ticket_forms": ("admin", False),
    "brands": ("admin", False),
    "custom_statuses": ("admin", False),
}


def _routes(resource: Resource, role: str, in_bulk: bool) -> list[Route]:
    path, kind, singular = resource.path, resource.kind, resource.singular
    one = f"{path}/{{id:int}}"
    routes = [
        *api_routes(path, _create(resource), role=role, method="POST"),
        *api_routes(one, _update(resource), role=role, method="PUT"),
        *api_routes(one, _delete(resource), role=role, method="DELETE"),
    ]
    if in_bulk:
        routes += api_routes(f"{path}/create_or_update", _create_or_update(resource), role=role, method="POST")
        routes += api_routes(f"{path}/create_many", create_many(kind), role=role, method="POST")
        routes += api_routes(f"{path}/update_many", update_many(kind, singular), role=role, method="PUT")
        routes += api_routes(f"{path}/destroy_many", destroy_many(kind), role=role, method="DELETE")
    if kind == "users":
        verb = "create_or_update"
        routes += api_routes(f"{path}/{verb}_many", create_many(kind, verb), role=role, method="POST")
    return routes


def _create(resource: Resource) -> Handler:
    async def create(request: Request, call: ApiCall) -> Response:
        given = await read_envelope(request, resource.singular)
        draft = await _write(call, resource, lambda records: records.create(given))
        return _created(request, call, resource, draft)

    return create


def _create_or_update(resource: Resource) -> Handler:
    async def create_or_update(request: Request, call: ApiCall) -> Response:
        given = await read_envelope(request, resource.singular)
        draft, is_new = await _write(call, resource, lambda records: records.create_or_update(given))
        return _created(request, call, resource, draft) if is_new else _answer(request, resource, draft)

    return create_or_update


def _update(resource: Resource) -> Handler:
    async def update(request: Request, call: ApiCall) -> Response:
        given, id = await read_envelope(request, resource.singular), path_id(request)
        return _answer(request, resource, await _write(call, resource, lambda records: records.update(id, given)))

    return update


def _delete(resource: Resource) -> Handler:
    async def delete(request: Request, call: ApiCall) -> Response:
        id = path_id(request)
        draft = await _write(call, resource, lambda records: records.delete(id))
        return _answer(request, resource, draft) if resource.kind == "users" else written_response(request, 204, b"")

    return delete


async def _write(call: ApiCall, resource: Resource, work: Callable[[RecordWriter], T]) -> T:
    def in_write(write: WriteTransaction) -> T:
        return work(RecordWriter(write, call.account.subdomain, call.identity, resource.kind))

    return await call.service.store.write(call.account, in_write)


def _created(request: Request, call: ApiCall, resource: Resource, draft: RecordDraft) -> Response:
    base = call.address(request).partition("/api/v2/")[0]
    location = f"{base}/api/v2{resource.path}/{draft.id}.json"
    return _answer(request, resource, draft, 201, location)


def _answer(
    request: Request, resource: Resource, draft: RecordDraft, status: int = 200, location: str | None = None
) -> Response:
    return written_response(request, status, b'{"%s":%s}' % (resource.singular.encode(), draft.body), location)


RECORD_WRITE_ROUTES: list[Route] = [
    route for resource in RESOURCES if resource.kind in WRITTEN for route in _routes(resource, *WRITTEN[resource.kind])
]
