"""Writes of users, groups, organizations and the other records, made from the table of resources."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar, assert_never

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.errors import RecordInvalid
from ticketfeed.protocol.record_input import parse_create_or_update, parse_new_record, parse_record_change
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.resources import RESOURCES, ManyVerb, Resource, Writes
from ticketfeed.server.api.bulk import create_many, destroy_many, update_many
from ticketfeed.server.api.call import JOB, ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.parameters import BY_IDS
from ticketfeed.server.api.requests import read_envelope
from ticketfeed.server.responses import written_response
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.person_erasure import erase_user
from ticketfeed.writing.records import RecordWriter

__all__ = ["RECORD_WRITE_ROUTES"]

T = TypeVar("T")


def _routes(resource: Resource, writes: Writes) -> Iterator[ApiRoute]:
    name, one, body = (
        resource.singular.replace("_", " "),
        {resource.singular: "object"},
        {resource.singular: writes.input},
    )
    route = partial(ApiRoute, tag="Records", role=writes.role)
    create, update, delete = _create(resource), _update(resource), _delete(resource)
    yield route("POST", resource.path, create, summary=f"Create {name}", body=body, answer=one, statuses=(201,))
    if writes.has_update:
        yield route("PUT", f"{resource.path}/{{id:int}}", update, summary=f"Update {name}", body=body, answer=one)
    answer, status = (one, 200) if resource.reads_deleted else ({}, 204)
    yield route(
        "DELETE", f"{resource.path}/{{id:int}}", delete, summary=f"Delete {name}", answer=answer, statuses=(status,)
    )
    for verb in writes.verbs:
        yield _verb_route(resource, writes, verb)


def _verb_route(resource: Resource, writes: Writes, verb: ManyVerb) -> ApiRoute:
    kind, name, names = resource.kind, resource.singular.replace("_", " "), resource.kind.replace("_", " ")
    one, many = {resource.singular: writes.input}, {kind: list[writes.input]}  # type: ignore[name-defined]  # made at run time
    route = partial(ApiRoute, path=f"{resource.path}/{verb}", tag="Records", role=writes.role)
    match verb:
        case "create_or_update":
            handler, summary = _create_or_update(resource), f"Create or update {name}"
            return route(
                "POST",
                handler=handler,
                summary=summary,
                body=one,
                answer={resource.singular: "object"},
                statuses=(200, 201),
            )
        case "create_many" | "create_or_update_many":
            action = verb.removesuffix("_many")
            summary = f"{action.replace('_', ' ').capitalize()} up to 100 {names}"
            return route("POST", handler=create_many(kind, action), summary=summary, body=many, answer=JOB)
        case "update_many":
            handler, summary = update_many(kind, resource.singular), f"Update up to 100 {names}"
            return route("PUT", handler=handler, summary=summary, parameters=BY_IDS, body={**one, **many}, answer=JOB)
        case "destroy_many":
            handler, summary = destroy_many(kind), f"Delete up to 100 {names}"
            return route("DELETE", handler=handler, summary=summary, parameters=BY_IDS, answer=JOB)
    assert_never(verb)


def _create(resource: Resource) -> Handler:
    async def create(request: Request, call: ApiCall) -> Response:
        record = parse_new_record(resource.kind, await read_envelope(request, resource.singular))
        draft = await _write(call, resource, lambda records: records.create(record))
        return _created(request, call, resource, draft)

    return create


def _create_or_update(resource: Resource) -> Handler:
    async def create_or_update(request: Request, call: ApiCall) -> Response:
        keys, record = parse_create_or_update(resource.kind, await read_envelope(request, resource.singular))
        draft, is_new = await _write(call, resource, lambda records: records.create_or_update(keys, record))
        return _created(request, call, resource, draft) if is_new else _answer(request, resource, draft)

    return create_or_update


def _update(resource: Resource) -> Handler:
    async def update(request: Request, call: ApiCall) -> Response:
        data, id = await read_envelope(request, resource.singular), path_id(request)
        try:
            change = parse_record_change(resource.kind, data)
        except RecordInvalid:
            await _write(call, resource, lambda records: records.find(id))  # that it does not exist comes first
            raise
        return _answer(request, resource, await _write(call, resource, lambda records: records.update(id, change)))

    return update


def _delete(resource: Resource) -> Handler:
    async def delete(request: Request, call: ApiCall) -> Response:
        id = path_id(request)
        draft = await _write(call, resource, lambda records: records.delete(id))
        return _answer(request, resource, draft) if resource.reads_deleted else written_response(request, 204, b"")

    return delete


async def erase_deleted_user(request: Request, call: ApiCall) -> Response:
    """200 with what is left of the user: an id."""
    user_id = path_id(request)
    draft = await call.service.store.write(
        call.account, lambda write: erase_user(write, call.account.subdomain, call.identity, user_id), exclusive=True
    )
    return written_response(request, 200, b'{"deleted_user":%s}' % draft.body)


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


RECORD_WRITE_ROUTES = [
    route
    for resource in RESOURCES.values()
    if resource.writes is not None and resource.is_listed
    for route in _routes(resource, resource.writes)
] + [
    ApiRoute(
        "DELETE",
        "/deleted_users/{id:int}",
        erase_deleted_user,
        tag="Records",
        summary="Delete a deleted user permanently",
        role="admin",
        answer={"deleted_user": "object"},
    )
]
