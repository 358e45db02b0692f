"""Lists, counts and single records of every kind, made from the table of resources."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.record_lists import count_record_list, read_record_list
from ticketfeed.export.record_sideloads import sideload_records
from ticketfeed.protocol.audit_pages import paginate_audits, parse_audit_page_request
from ticketfeed.protocol.envelope import join_arrays, join_object
from ticketfeed.protocol.errors import RecordNotFound
from ticketfeed.protocol.list_request import (
    ListRequest,
    paginate,
    parse_external_ids,
    parse_ids,
    parse_list_request,
    slice_rows,
)
from ticketfeed.protocol.model import Slice
from ticketfeed.protocol.query import parse_include
from ticketfeed.protocol.record_list import (
    ORDERS,
    RecordList,
    is_default_form,
    is_shown_form,
    make_list_key,
    need_brand,
    parse_boolean,
    parse_record_list,
)
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS, find_ids
from ticketfeed.protocol.record_types import OrganizationMembershipRecord
from ticketfeed.protocol.records import is_deleted, split_record, wire_second
from ticketfeed.protocol.resources import RESOURCES, Resource
from ticketfeed.protocol.rows import BodyRow, ListRow
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler, path_id
from ticketfeed.server.api.parameters import (
    BY_IDS,
    LIST_ORDER,
    LIST_PAGES,
    LIST_REFUSED,
    RECORD_INCLUDES_REFUSED,
    RECORD_PARAMETERS,
    RECORD_REFUSED,
)
from ticketfeed.server.responses import body_response

__all__ = ["LIST_ROUTES", "count_response", "list_response", "sideload", "with_organization_names"]

# More forms and brands than any plan allows.
FORMS_MAX = 1000
# The parameters of a list that its count has, too.
COUNTED = ("role", "role[]", "permission_set", "exclude_deleted")
_MEMBERSHIP = StoredDecoder(OrganizationMembershipRecord)
_FORM_FILTERS = {"ticket_forms": RECORD_PARAMETERS["ticket_forms"]}


def _routes(resource: Resource) -> Iterator[ApiRoute]:
    path, kind, names = resource.path, resource.kind, resource.kind.replace("_", " ")
    includes = tuple(RECORD_SIDELOADS.get(kind, ()))
    refused = RECORD_INCLUDES_REFUSED.get(kind, ())
    include = ("include",) if includes or refused else ()
    filters = RECORD_PARAMETERS.get(kind, ())
    show = partial(ApiRoute, "GET", tag="Records", role=resource.read_role, includes=includes, refused=refused)
    yield show(
        path,
        list_ticket_audits if kind == "audits" else _list(resource),
        summary=f"List {names}",
        parameters=(*LIST_PAGES, *LIST_ORDER, *filters, *include),
        refused=(*RECORD_REFUSED.get(kind, ()), *refused, *LIST_REFUSED),
        answer={kind: "array"},
    )
    yield ApiRoute(
        "GET",
        f"{path}/count",
        _count(kind),
        "Records",
        f"Count {names}",
        resource.read_role,
        parameters=tuple(name for name in filters if name in COUNTED),
        refused=tuple(name for name in RECORD_REFUSED.get(kind, ()) if name == "user_id"),
        answer={"count": "object"},
    )
    summary = f"Show {resource.singular.replace('_', ' ')}"
    answer = {resource.singular: "object"}
    yield show(f"{path}/{{id:int}}", _show(resource), summary=summary, parameters=include, answer=answer)
    if resource.has_show_many:
        yield show(
            f"{path}/show_many",
            _show_many(resource),
            summary=f"Show up to 100 {names}",
            parameters=(*(BY_IDS if resource.has_external_id else ("ids",)), *_FORM_FILTERS.get(kind, ()), *include),
            answer={kind: "array", "count": "integer"},
        )


def _list(resource: Resource) -> Handler:
    kind = resource.kind

    async def list_records(request: Request, call: ApiCall) -> Response:
        list_request = parse_list_request(call.query, orders=ORDERS[kind])
        records = await _record_list(call, kind)
        rows, count = await read_record_list(call.service.store, call.account, records, list_request)
        if "fallback_to_default" in call.query:
            forms = await _fall_back(call, [form for form in await _read_all(call, kind) if records.holds(form)])
            rows, count = _slice(kind, forms, list_request.part), len(forms)
        sideloads = await sideload(call, kind, [row.body for row in rows[: list_request.limit]])
        if kind == "organization_memberships":
            rows = await with_organization_names(call, rows)
        return list_response(request, call, kind, list_request, rows, count, sideloads)

    return list_records


async def list_ticket_audits(request: Request, call: ApiCall) -> Response:
    """The audits of all tickets; in the older pagination, from the newest back in time, unless pages are asked for."""
    if any(name in call.query for name in LIST_PAGES):
        # Their order by created_at is that by id, which needs no reading of all audits.
        orders = {name: text.replace("created_at", "id") for name, text in call.query.items() if name in LIST_ORDER}
        return await _list(RESOURCES["audits"])(request, replace(call, query={**call.query, **orders}))
    asked = parse_audit_page_request(call.query)
    rows = await call.service.store.list_records(call.account, "audits", asked.part)
    page, ends = paginate_audits(asked, rows, call.address(request))
    bodies = [row.body for row in page]
    arrays = [("audits", bodies), *(await sideload(call, "audits", bodies)).items()]
    return body_response(request, join_arrays(arrays, ends))


def _count(kind: str) -> Handler:
    async def count_records(request: Request, call: ApiCall) -> Response:
        records = await _record_list(call, kind)
        return count_response(request, call, await count_record_list(call.service.store, call.account, records))

    return count_records


def _show(resource: Resource) -> Handler:
    async def show_record(request: Request, call: ApiCall) -> Response:
        store, id = call.service.store, path_id(request)
        rows: Sequence[BodyRow] = []
        if resource.kind == "ticket_metrics":  # a set has an id of its own, and is found by that of its ticket, too
            rows = await store.read_by_key(call.account, resource.kind, [str(id)])
        rows = rows or await store.read_records(call.account, resource.kind, [id])
        if not rows or (not resource.reads_deleted and is_deleted(resource.kind, rows[0].body)):
            raise RecordNotFound
        body = rows[0].body
        sideloads = await sideload(call, resource.kind, [body])
        if resource.kind == "organization_memberships":
            body = (await with_organization_names(call, [ListRow(rows[0].id, rows[0].id, body)]))[0].body
        return body_response(request, join_object(resource.singular, body, sideloads.items()))

    return show_record


def _show_many(resource: Resource) -> Handler:
    kind = resource.kind

    async def show_many_records(request: Request, call: ApiCall) -> Response:
        store = call.service.store
        if "external_ids" in call.query and "ids" not in call.query:
            rows = await store.read_external(call.account, kind, parse_external_ids(call.query))
        else:
            rows = await store.read_records(call.account, kind, parse_ids(call.query))
        records = await _record_list(call, kind)
        bodies = [row.body for row in rows if records.holds(row.body)]
        if "fallback_to_default" in call.query:
            bodies = await _fall_back(call, bodies)
        ends = {"next_page": None, "previous_page": None, "count": len(bodies)}
        arrays = [(kind, bodies), *(await sideload(call, kind, bodies)).items()]
        return body_response(request, join_arrays(arrays, ends))

    return show_many_records


async def sideload(call: ApiCall, kind: str, bodies: Sequence[bytes]) -> dict[str, list[bytes]]:
    """What `include` asks for beside records of a kind."""
    include = parse_include(call.query.get("include", ""))
    return await sideload_records(call.service.store, call.account, kind, include, bodies)


async def _record_list(call: ApiCall, kind: str) -> RecordList:
    """Which records the query asks for."""
    records = parse_record_list(kind, call.query)
    if "associated_to_brand" in call.query and parse_boolean("associated_to_brand", call.query["associated_to_brand"]):
        brands = await _read_all(call, "brands")
        return replace(records, checks=(*records.checks, need_brand(brands, call.account.subdomain)))
    return records


async def _fall_back(call: ApiCall, forms: list[bytes]) -> list[bytes]:
    """These ticket forms; if asked for, the default one where none is active and visible to end users."""
    is_wanted = parse_boolean("fallback_to_default", call.query["fallback_to_default"])
    if not is_wanted or any(map(is_shown_form, forms)):
        return forms
    return [form for form in await _read_all(call, "ticket_forms") if is_default_form(form)]


def _slice(kind: str, bodies: Sequence[bytes], part: Slice) -> list[ListRow]:
    """A part of a list whose records are all in memory, in its order."""
    rows = [ListRow(make_list_key(kind, part.order, body), find_ids([body], ("id",))[0], body) for body in bodies]
    return slice_rows(rows, part)


async def _read_all(call: ApiCall, kind: str) -> list[bytes]:
    """All records of a kind of which there are few."""
    rows = await call.service.store.list_records(call.account, kind, Slice(FORMS_MAX))
    return [row.body for row in rows]


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
    ids = [_MEMBERSHIP.decode(row.body).organization_id for row in rows]
    organizations = await call.service.store.read_records(call.account, "organizations", ids)
    names = {row.id: split_record(row.body).get("name") for row in organizations}
    named = []
    for row, id in zip(rows, ids, strict=True):
        if id in names:
            values = {**split_record(row.body), "organization_name": names[id]}
            row = row._replace(body=msgspec.json.encode(values))
        named.append(row)
    return named


def count_response(request: Request, call: ApiCall, count: int) -> Response:
    """The number of records in a list, now."""
    answer = {"count": {"value": count, "refreshed_at": wire_second(call.now)}}
    return body_response(request, msgspec.json.encode(answer))
