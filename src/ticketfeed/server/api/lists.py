"""Lists, counts and single records of every kind, made from the table of resources."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.parts import Arrays, Batches
from ticketfeed.export.record_lists import count_record_list, read_record_list
from ticketfeed.export.record_sideloads import RecordSideloads, sideload_records
from ticketfeed.protocol.audit_pages import paginate_audits, parse_audit_page_request
from ticketfeed.protocol.envelope import join_object
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
from ticketfeed.server.api.arrays import arrays_response, one_batch
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
from ticketfeed.storage.batches import all_rows, list_batches, read_batches

__all__ = [
    "LIST_ROUTES",
    "count_response",
    "list_response",
    "read_rows",
    "record_list_response",
    "sideloads_of",
    "with_organization_names",
]

Show = Callable[[Sequence[ListRow]], Awaitable[list[bytes]]]

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
        if "fallback_to_default" in call.query:
            forms = await _fall_back(call, [form for form in await _read_all(call, kind) if records.holds(form)])
            page = read_rows(_slice(kind, forms, list_request.part))
            return await record_list_response(request, call, kind, list_request, page, len(forms))
        batches, count = await read_record_list(call.service.store, call.account, records, list_request)
        return await record_list_response(request, call, kind, list_request, batches, count)

    return list_records


async def list_ticket_audits(request: Request, call: ApiCall) -> Response:
    """The audits of all tickets; in the older pagination, from the newest back in time, unless pages are asked for."""
    if any(name in call.query for name in LIST_PAGES):
        # Their order by created_at is that by id, which needs no reading of all audits.
        orders = {name: text.replace("created_at", "id") for name, text in call.query.items() if name in LIST_ORDER}
        return await _list(RESOURCES["audits"])(request, replace(call, query={**call.query, **orders}))
    asked = parse_audit_page_request(call.query)
    sideloads, ends = sideloads_of(call, "audits"), dict[str, Any]()

    async def read() -> Batches:
        rows = await call.service.store.list_records(call.account, "audits", asked.part)
        page, keys = paginate_audits(asked, rows, call.address(request))
        ends.update(keys)
        bodies = [row.body for row in page]
        sideloads.add(bodies)
        yield bodies

    return await arrays_response(request, call, chain([("audits", read())], sideloads.arrays()), lambda: ends)


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
        include = parse_include(call.query.get("include", ""))
        sideloads = await sideload_records(store, call.account, resource.kind, include, [body])
        if resource.kind == "organization_memberships":
            (body,) = await with_organization_names(call, [body])
        return body_response(request, join_object(resource.singular, body, sideloads.items()))

    return show_record


def _show_many(resource: Resource) -> Handler:
    kind = resource.kind

    async def show_many_records(request: Request, call: ApiCall) -> Response:
        store = call.service.store
        is_external = "external_ids" in call.query and "ids" not in call.query
        external_ids = parse_external_ids(call.query) if is_external else []
        ids = [] if is_external else parse_ids(call.query)
        records, sideloads = await _record_list(call, kind), sideloads_of(call, kind)
        count = 0

        async def find() -> Batches:
            if is_external:
                rows = await store.read_external(call.account, kind, external_ids)
                yield [row.body for row in rows if records.holds(row.body)]
            async for rows in read_batches(partial(store.read_records, call.account, kind), ids):
                yield [row.body for row in rows if records.holds(row.body)]

        async def show() -> Batches:
            nonlocal count
            batches = find()
            if "fallback_to_default" in call.query:  # which looks at all of them, and there are few
                batches = one_batch(await _fall_back(call, [body async for bodies in batches for body in bodies]))
            async for bodies in batches:
                count += len(bodies)
                sideloads.add(bodies)
                yield bodies

        def end() -> dict[str, Any]:
            return {"next_page": None, "previous_page": None, "count": count}

        return await arrays_response(request, call, chain([(kind, show())], sideloads.arrays()), end)

    return show_many_records


def sideloads_of(call: ApiCall, kind: str) -> RecordSideloads:
    """What `include` asks for beside records of a kind."""
    include = parse_include(call.query.get("include", ""))
    return RecordSideloads(call.service.store, call.account, kind, include)


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
    read = partial(call.service.store.list_records, call.account, kind)
    return [row.body for row in await all_rows(list_batches(read, Slice(FORMS_MAX)))]


async def _bodies(rows: Sequence[ListRow]) -> list[bytes]:
    return [row.body for row in rows]


LIST_ROUTES = [route for resource in RESOURCES.values() if resource.is_listed for route in _routes(resource)]


async def list_response(
    request: Request,
    call: ApiCall,
    key: str,
    list_request: ListRequest,
    batches: AsyncIterator[Sequence[ListRow]],
    count: int | None,
    show: Show = _bodies,
    sideloads: Callable[[], Arrays] = tuple,
    ends: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> Response:
    """One page of a list under `key`, of the rows that these batches have.

    `count`: of the whole list, by offset only. `show`: the bodies of rows as this list has them. `sideloads`: the
    arrays beside all that were shown. `ends`: the keys that follow them, made of those of the pagination.
    """
    address = call.address(request)
    _, keys = paginate(list_request, [], count, address)

    async def read() -> Batches:
        if list_request.number is None:  # the page ends where a store stops, and the next one goes on from there
            rows: Sequence[ListRow] = await anext(batches, [])
            more = len(rows) <= list_request.limit and await anext(batches, None) is not None
            page, found = paginate(list_request, rows, None, address, more=more)
            keys.update(found)
            yield await show(page)
        else:
            async for rows in batches:
                yield await show(rows)
                del rows  # before the next ones are read

    def arrays() -> Arrays:
        yield key, read()
        yield from sideloads()

    return await arrays_response(request, call, arrays(), lambda: ends(keys))


async def record_list_response(
    request: Request,
    call: ApiCall,
    kind: str,
    list_request: ListRequest,
    batches: AsyncIterator[Sequence[ListRow]],
    count: int | None,
) -> Response:
    """One page of a list of records, with what `include` asks for."""
    sideloads = sideloads_of(call, kind)

    async def show(rows: Sequence[ListRow]) -> list[bytes]:
        bodies = [row.body for row in rows]
        sideloads.add(bodies)
        return await with_organization_names(call, bodies) if kind == "organization_memberships" else bodies

    return await list_response(request, call, kind, list_request, batches, count, show, sideloads.arrays)


async def read_rows(rows: Sequence[ListRow]) -> AsyncIterator[Sequence[ListRow]]:
    """Those of a page that are in memory."""
    yield rows


async def with_organization_names(call: ApiCall, memberships: Sequence[bytes]) -> list[bytes]:
    """Organization memberships with the names that their organizations have now."""
    ids = [_MEMBERSHIP.decode(body).organization_id for body in memberships]
    names = {}
    async for rows in read_batches(partial(call.service.store.read_records, call.account, "organizations"), ids):
        names.update({row.id: split_record(row.body).get("name") for row in rows})
    return [
        msgspec.json.encode({**split_record(body), "organization_name": names[id]}) if id in names else body
        for body, id in zip(memberships, ids, strict=True)
    ]


def count_response(request: Request, call: ApiCall, count: int) -> Response:
    """The number of records in a list, now."""
    answer = {"count": {"value": count, "refreshed_at": wire_second(call.now)}}
    return body_response(request, msgspec.json.encode(answer))
