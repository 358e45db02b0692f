"""Searches: GET /search with its count and its export, and the searches of users and organizations.

All are queries of the search language (protocol/search_parser.py) or made of its conditions, run by the store's index.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.record_lists import read_kind
from ticketfeed.protocol.errors import (
    InvalidPaginationParameter,
    InvalidValue,
    ParameterMissing,
    SearchLimitExceeded,
)
from ticketfeed.protocol.list_request import ListRequest, parse_list_request
from ticketfeed.protocol.paging import is_cut
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS
from ticketfeed.protocol.resources import SEARCH_TYPES
from ticketfeed.protocol.rows import ListRow
from ticketfeed.protocol.search import (
    Clause,
    Condition,
    Named,
    SearchHit,
    SearchPart,
    SearchQuery,
    Term,
    Words,
    lookup_query,
)
from ticketfeed.protocol.search_index import encode_term, split_words
from ticketfeed.protocol.search_parser import parse_search
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler
from ticketfeed.server.api.lists import list_response, record_list_response
from ticketfeed.server.api.parameters import RECORD_INCLUDES_REFUSED
from ticketfeed.server.responses import body_response
from ticketfeed.storage.batches import ordered_batches

__all__ = ["SEARCH_ROUTES"]

# Limits of the wire: the last result of a search, the largest page of an export, the shortest beginning of a name.
RESULTS_MAX = 1000
EXPORT_LIMIT_MAX = 1000
AUTOCOMPLETE_CHARACTERS_MIN = 2
# Names and emails in a query, each of which is a search of its own; and records that one of them may mean.
NAMED_MAX = 20
MEANT_MAX = 1000


async def search(request: Request, call: ApiCall) -> Response:
    """The matching records, each with its `result_type`."""
    list_request = _parse_pages(call)
    if list_request.part.offset + list_request.limit > RESULTS_MAX:
        raise SearchLimitExceeded
    query = await _resolve(call, _parse(call, call.query.get("query", "")))
    hits, count = await _find(call, query, list_request)
    batches = _read(call, hits, typed=True)
    return await list_response(request, call, "results", list_request, batches, count, ends=_with_facets)


async def count_results(request: Request, call: ApiCall) -> Response:
    """The number of matching records."""
    query = await _resolve(call, _parse(call, call.query.get("query", "")))
    count = await call.service.store.count_results(call.account, query)
    return body_response(request, msgspec.json.encode({"count": count}))


async def export_results(request: Request, call: ApiCall) -> Response:
    """All matching records of one type, in the order of their creation, by cursor."""
    type_ = call.query.get("filter[type]")
    if type_ is None:
        raise ParameterMissing("filter[type]")
    if type_ not in SEARCH_TYPES:
        raise InvalidValue(f"filter[type] must be one of {', '.join(SEARCH_TYPES)}")
    query = _parse(call, call.query.get("query", ""))
    if query.has_type:
        raise InvalidValue("filter[type] says the type of an export, so its query cannot contain type:")
    if query.order is not None:
        raise InvalidValue("an export is in the order of creation, so its query cannot contain order_by:")
    list_request = parse_list_request({"page[size]": "100", **call.query}, limit_max=EXPORT_LIMIT_MAX)
    query = replace(_only(query, type_), order="created_at", descending=False)
    hits = await call.service.store.search(call.account, await _resolve(call, query), _part(list_request))
    batches = _read(call, hits, typed=True)
    end = partial(_end_export, has_more=len(hits) > list_request.limit)
    return await list_response(request, call, "results", list_request, batches, None, ends=end)


def _with_facets(ends: dict[str, Any]) -> dict[str, Any]:
    return {"facets": None, **ends}


def _end_export(ends: dict[str, Any], *, has_more: bool) -> dict[str, Any]:
    """An export leads forward only. `has_more`: whether more were found, all of which may be gone meanwhile."""
    meta = {**ends["meta"], "has_more": has_more or ends["meta"]["has_more"], "before_cursor": None}
    return {"facets": None, "meta": meta, "links": {**ends["links"], "prev": None}}


def _search_of(kind: str) -> Handler:
    """By `query` in the search language, for users; by the whole name, for organizations; by `external_id`."""
    name = "query" if kind == "users" else "name"

    async def search_records(request: Request, call: ApiCall) -> Response:
        external_id, text = call.query.get("external_id"), call.query.get(name)
        if external_id is not None:
            query = _one(kind, Term(encode_term("external_id", external_id)))
        elif text is None:
            raise ParameterMissing(name)
        elif kind == "users":
            query = await _resolve(call, _only(_parse(call, text), "user"))
        else:
            query = _one(kind, Term(encode_term("name", text)))
        return await _list(request, call, kind, query)

    return search_records


def _autocomplete(kind: str) -> Handler:
    """By the beginning of a word of the name."""

    async def autocomplete(request: Request, call: ApiCall) -> Response:
        name = call.query.get("name")
        if name is None:
            raise ParameterMissing("name")
        words = split_words(name)
        if len(name) < AUTOCOMPLETE_CHARACTERS_MIN or not words:
            raise InvalidValue(f"name must have at least {AUTOCOMPLETE_CHARACTERS_MIN} characters")
        return await _list(request, call, kind, _one(kind, Words(words, is_prefix=True, fields=("title",))))

    return autocomplete


async def _list(request: Request, call: ApiCall, kind: str, query: SearchQuery) -> Response:
    list_request = _parse_pages(call)
    hits, count = await _find(call, query, list_request)
    return await record_list_response(request, call, kind, list_request, _read(call, hits, typed=False), count)


async def _find(call: ApiCall, query: SearchQuery, list_request: ListRequest) -> tuple[list[SearchHit], int]:
    """A page of the results, and how many there are in all; the last page tells that by itself."""
    part = _part(list_request)
    hits = await call.service.store.search(call.account, query, part)
    if len(hits) < part.limit and (hits or not part.offset):
        return hits, part.offset + len(hits)
    return hits, await call.service.store.count_results(call.account, query)


def _parse(call: ApiCall, text: str) -> SearchQuery:
    sort_by, sort_order = call.query.get("sort_by"), call.query.get("sort_order")
    now, me = call.now, call.identity.user_id
    return parse_search(text, now=now, me=me, sort_by=sort_by, sort_order=sort_order)


def _parse_pages(call: ApiCall) -> ListRequest:
    list_request = parse_list_request(call.query)
    if list_request.number is None:
        raise InvalidPaginationParameter("this search supports offset pagination only")
    return list_request


def _part(list_request: ListRequest) -> SearchPart:
    part = list_request.part
    after = None if part.after is None else (int(part.after[0]), part.after[1])
    return SearchPart(part.limit, part.offset, after)


def _only(query: SearchQuery, type_: str) -> SearchQuery:
    return replace(query, types=tuple(name for name in query.types if name == type_))


def _one(kind: str, condition: Condition) -> SearchQuery:
    return SearchQuery((kind,), (Clause((condition,)),))


async def _resolve(call: ApiCall, query: SearchQuery) -> SearchQuery:
    """Look up what the query names by a name or an email. Raises InvalidValue."""
    named = query.named()
    if len(named) > NAMED_MAX:
        raise InvalidValue(f"a query has at most {NAMED_MAX} names and emails; ids are not limited so")
    ids: dict[Named, list[int]] = {}
    for each in named:
        hits = await call.service.store.search(call.account, lookup_query(each), SearchPart(MEANT_MAX + 1))
        if len(hits) > MEANT_MAX:
            raise InvalidValue(f"{each.text} is the name of more than {MEANT_MAX} {each.kind}")
        ids[each] = [hit.id for hit in hits]
    return query.resolve(ids)


async def _read(call: ApiCall, hits: Sequence[SearchHit], *, typed: bool) -> AsyncIterator[Sequence[ListRow]]:
    """Results with their bodies, in their order; `typed`: each with its `result_type`."""
    store = call.service.store
    names = {kind: name for name, kind in SEARCH_TYPES.items()}
    end = {kind: b',"result_type":"%s"}' % names[kind].encode() if typed else b"}" for kind in SEARCH_TYPES.values()}

    async def read(part: Sequence[SearchHit]) -> dict[SearchHit, bytes] | None:
        bodies: dict[tuple[str, int], bytes] = {}
        for kind in dict.fromkeys(hit.kind for hit in part):
            rows = await read_kind(store, call.account, kind, [hit.id for hit in part if hit.kind == kind])
            if is_cut(rows):
                return None
            bodies |= {(kind, row.id): row.body for row in rows}
        return {hit: bodies[hit.kind, hit.id] for hit in part if (hit.kind, hit.id) in bodies}

    async for batch in ordered_batches(read, hits):
        yield [ListRow(hit.key, hit.id, body[:-1] + end[hit.kind]) for hit, body in batch]


_search = partial(ApiRoute, "GET", tag="Search")
_PAGES = ("page", "per_page")
_CURSORS = ("page[size]", "page[after]", "page[before]")
_ORDER = ("sort_by", "sort_order")
# Relations to custom objects, which are not imitated.
_RELATIONS = ("field_id", "source")
SEARCH_ROUTES = [
    _search(
        "/search",
        search,
        summary="Search tickets, users, organizations and groups",
        parameters=("query", *_ORDER, *_PAGES),
        refused=("include", *_CURSORS),
        answer={"results": "array", "facets": "null", "count": "integer"},
    ),
    _search(
        "/search/count",
        count_results,
        summary="Count search results",
        parameters=("query",),
        ignored=(*_ORDER, *_PAGES),
        answer={"count": "integer"},
    ),
    _search(
        "/search/export",
        export_results,
        summary="Export search results by cursor",
        parameters=("query", "filter[type]", "page[size]", "page[after]"),
        refused=("include", "page", "page[before]"),
        answer={"results": "array", "facets": "null", "meta": "object", "links": "object"},
    ),
    _search(
        "/users/search",
        _search_of("users"),
        summary="Search users",
        parameters=("query", "external_id", "include", *_PAGES),
        includes=tuple(RECORD_SIDELOADS["users"]),
        refused=(*RECORD_INCLUDES_REFUSED["users"], *_CURSORS),
        answer={"users": "array", "count": "integer"},
    ),
    _search(
        "/users/autocomplete",
        _autocomplete("users"),
        summary="Find users by the beginning of a name",
        parameters=("name", "include", *_PAGES),
        includes=tuple(RECORD_SIDELOADS["users"]),
        refused=(*RECORD_INCLUDES_REFUSED["users"], *_RELATIONS, *_CURSORS),
        answer={"users": "array", "count": "integer"},
    ),
    _search(
        "/organizations/search",
        _search_of("organizations"),
        summary="Search organizations by name or external id",
        parameters=("name", "external_id", "include", *_PAGES),
        refused=(*RECORD_INCLUDES_REFUSED["organizations"], *_CURSORS),
        answer={"organizations": "array", "count": "integer"},
    ),
    _search(
        "/organizations/autocomplete",
        _autocomplete("organizations"),
        summary="Find organizations by the beginning of a name",
        parameters=("name", "include", *_PAGES),
        refused=(*RECORD_INCLUDES_REFUSED["organizations"], *_RELATIONS, *_CURSORS),
        answer={"organizations": "array", "count": "integer"},
    ),
]
