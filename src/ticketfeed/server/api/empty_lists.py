"""Lists of what a help desk has and this one does not: each is empty, in the envelope that the wire has for it.

Connectors read them before or beside the tickets and stop at a 404. One row an address; with a keyword where it is
not paginated in both ways.
"""

from typing import Any, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.protocol.envelope import join_arrays
from ticketfeed.protocol.errors import FeatureMissing, HelpCenterMissing, RoleTooLow
from ticketfeed.protocol.list_request import parse_list_request
from ticketfeed.protocol.query import parse_integer
from ticketfeed.protocol.resources import Role
from ticketfeed.server.api.call import ApiCall, ApiRoute, Handler
from ticketfeed.server.api.lists import count_response, list_response, read_rows
from ticketfeed.server.api.parameters import LIST_PAGES
from ticketfeed.server.responses import body_response

__all__ = ["EMPTY_ROUTES"]

# offset, cursor: how it is paginated without parameters that say so; array: not at all; time: as an export by time.
_Form = Literal["offset", "cursor", "array", "time"]


class _EmptyList(NamedTuple):
    """An address, the key of its list, its pagination, who may read it, and whether it has a count beside it."""

    path: str
    key: str
    form: _Form = "offset"
    role: Role = "agent"
    has_count: bool = False


_LISTS = (
    _EmptyList("/activities", "activities", has_count=True),
    _EmptyList("/automations", "automations", role="admin"),
    _EmptyList("/automations/active", "automations", role="admin"),
    _EmptyList("/triggers", "triggers", role="admin"),
    _EmptyList("/triggers/active", "triggers", role="admin"),
    _EmptyList("/trigger_categories", "trigger_categories", "cursor", "admin"),
    _EmptyList("/skips", "skips"),
    _EmptyList("/views", "views", has_count=True),
    _EmptyList("/views/active", "views"),
    _EmptyList("/views/compact", "views"),
    _EmptyList("/targets", "targets", role="admin"),
    _EmptyList("/webhooks", "webhooks", "cursor", "admin"),
    _EmptyList("/suspended_tickets", "suspended_tickets"),
    _EmptyList("/recipient_addresses", "recipient_addresses"),
    _EmptyList("/business_hours/schedules", "schedules", "array"),
    _EmptyList("/dynamic_content/items", "items", role="admin"),
    _EmptyList("/routing/attributes", "attributes", role="admin"),
    _EmptyList("/custom_roles", "custom_roles"),
    _EmptyList("/workspaces", "workspaces", role="admin"),
    _EmptyList("/resource_collections", "resource_collections", role="admin"),
    _EmptyList("/custom_objects", "custom_objects", "array"),
    _EmptyList("/guide/content_tags", "records", "cursor", "end-user"),
    _EmptyList("/help_center/incremental/articles", "articles", "time"),
    *(
        _EmptyList(f"/help_center{locale}/{key}", key, role="anybody")
        for locale in ("", "/{locale}")
        for key in ("articles", "categories", "sections")
    ),
    _EmptyList("/community/topics", "topics", role="anybody"),
)
# Products that are no part of a help desk: a client that asks is told so.
_VOICE = (
    "phone_numbers",
    "addresses",
    "lines",
    "ivr",
    "greetings",
    "greeting_categories",
    "stats/account_overview",
    "stats/agents_overview",
    "stats/agents_activity",
    "stats/current_queue_activity",
    "stats/incremental/calls",
    "stats/incremental/legs",
)


def _list(row: _EmptyList) -> Handler:
    async def list_nothing(request: Request, call: ApiCall) -> Response:
        if row.form == "array":
            return body_response(request, msgspec.json.encode({row.key: []}))
        if row.form == "time":
            end_time = parse_integer(call.query.get("start_time", "")) or 0
            ends: dict[str, Any] = {"count": 0, "next_page": None, "end_time": end_time, "end_of_stream": True}
            return body_response(request, join_arrays([(row.key, [])], ends))
        query = dict(call.query)
        if row.form == "cursor" and "page" not in query and "per_page" not in query:
            query.setdefault("page[size]", "100")
        query.pop("sort", None)  # any order of nothing is right
        return await list_response(request, call, row.key, parse_list_request(query), read_rows([]), 0)

    return list_nothing


async def _count(request: Request, call: ApiCall) -> Response:
    return count_response(request, call, 0)


async def _show_definitions(request: Request, _call: ApiCall) -> Response:
    definitions: dict[str, list[Any]] = {"conditions_all": [], "conditions_any": []}
    return body_response(request, msgspec.json.encode({"definitions": definitions}))


async def _refuse_voice(_request: Request, _call: ApiCall) -> Response:
    raise FeatureMissing


async def _refuse_audit_logs(_request: Request, _call: ApiCall) -> Response:
    raise RoleTooLow


async def _refuse_posts(_request: Request, _call: ApiCall) -> Response:
    raise HelpCenterMissing


def _routes(row: _EmptyList) -> list[ApiRoute]:
    name = row.path.removeprefix("/").replace("/{locale}", "").replace("/", " ").replace("_", " ")
    summary = f"Always empty: {name}" + (" of a locale" if "{locale}" in row.path else "")
    parameters = {"array": (), "time": ("start_time", "per_page")}.get(row.form, LIST_PAGES)
    list_route = ApiRoute(
        "GET", row.path, _list(row), "Empty lists", summary, row.role, parameters=parameters, answer={row.key: "array"}
    )
    if not row.has_count:
        return [list_route]
    count = ApiRoute(
        "GET", f"{row.path}/count", _count, "Empty lists", f"Always 0: {name}", row.role, answer={"count": "object"}
    )
    return [list_route, count]


EMPTY_ROUTES = [
    *(route for row in _LISTS for route in _routes(row)),
    ApiRoute(
        "GET",
        "/routing/attributes/definitions",
        _show_definitions,
        "Empty lists",
        "Always empty: routing attributes definitions",
        "admin",
        answer={"definitions": "object"},
    ),
    *(
        ApiRoute("GET", f"/channels/voice/{path}", _refuse_voice, "Empty lists", "Always 403: no Talk", "admin")
        for path in _VOICE
    ),
    ApiRoute("GET", "/audit_logs", _refuse_audit_logs, "Empty lists", "Always 403: no audit log", "admin"),
    ApiRoute("GET", "/community/posts", _refuse_posts, "Empty lists", "Always 404: no community", "anybody"),
]
