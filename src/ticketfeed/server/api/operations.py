"""What each address of `/api/v2` is for, what it knows and answers: the text of the OpenAPI document.

A test holds this table to the routes, and the docs to this table.
"""

from typing import Any, NamedTuple

from ticketfeed.server.api.lists import RESOURCES

__all__ = ["OPERATIONS", "PARAMETERS", "Operation"]

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}


class Operation(NamedTuple):
    """`parameters`: names in PARAMETERS. `keys`: what the answer has at least: key -> array, object, ..."""

    tag: str
    summary: str
    parameters: tuple[str, ...]
    keys: dict[str, str]
    role: str = "agent"


# name -> (schema, what it means)
PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "start_time": ({"type": "integer", "minimum": 0}, "Unix seconds: everything that changed at or after it."),
    "cursor": (_TEXT, "after_cursor of an earlier answer; beats start_time."),
    "per_page": ({"type": "integer", "minimum": 1, "maximum": 1000}, "How many records a page holds at most."),
    "include": (_TEXT, "Sideloads, with commas between them; unknown names are ignored."),
    "exclude_deleted": ({"type": "boolean"}, "Leave out tickets whose status is deleted."),
    "support_type_scope": ({"enum": ["all", "agent", "ai_agent"]}, "agent is all but ai_agent."),
    "page": (_COUNT, "The number of the page; not beyond record 10,000."),
    "page[size]": ({"type": "integer", "minimum": 1, "maximum": 100}, "How many, with pages behind a cursor."),
    "page[after]": (_TEXT, "meta.after_cursor of an earlier answer."),
    "page[before]": (_TEXT, "meta.before_cursor of an earlier answer."),
    "sort": (_TEXT, "id, updated_at or status, with - before it for descending; comments know created_at."),
    "sort_by": (_TEXT, "The older spelling of sort, for pages by number."),
    "sort_order": ({"enum": ["asc", "desc"]}, "Beside sort_by."),
    "external_id": (_TEXT, "Only tickets with this external id."),
    "ids": (_TEXT, "Up to 100 ids, with commas between them."),
    "external_ids": (_TEXT, "Up to 100 external ids, with commas between them, in place of ids."),
    "query": (_TEXT, "type:, created and updated, such as: type:user updated>2026-01-31"),
}
_FILTERS = ("per_page", "include", "exclude_deleted", "support_type_scope")
_LIST = ("page", "per_page", "page[size]", "page[after]", "page[before]")
_ORDER = ("sort", "sort_by", "sort_order")
_BY_TIME = {"count": "integer", "end_of_stream": "boolean", "next_page": "string", "end_time": "integer"}
_BY_CURSOR = {
    "after_url": "string?",
    "after_cursor": "string?",
    "before_url": "null",
    "before_cursor": "null",
    "end_of_stream": "boolean",
}
_EXPORT, _TICKETS, _START, _RECORDS = "Exports", "Tickets", "Starting", "Records"


def _span(what: str, name: str, parameters: tuple[str, ...] = ("per_page",)) -> Operation:
    return Operation(_EXPORT, f"{what} since a time", ("start_time", *parameters), {name: "array", **_BY_TIME}, "admin")


def _sample(what: str, name: str, parameters: tuple[str, ...] = ("per_page",)) -> Operation:
    return _span(what, name, parameters)._replace(summary=f"At most fifty {what.lower()} since a time")


OPERATIONS: dict[str, Operation] = {
    "/incremental/tickets/cursor": Operation(
        _EXPORT,
        "Tickets, cursor by cursor",
        ("start_time", "cursor", *_FILTERS),
        {"tickets": "array", **_BY_CURSOR},
        "admin",
    ),
    "/incremental/users/cursor": Operation(
        _EXPORT,
        "Users, cursor by cursor",
        ("start_time", "cursor", "per_page"),
        {"users": "array", **_BY_CURSOR},
        "admin",
    ),
    "/incremental/tickets": _span("Tickets", "tickets", _FILTERS),
    "/incremental/users": _span("Users", "users"),
    "/incremental/organizations": _span("Organizations", "organizations"),
    "/incremental/ticket_events": _span("Ticket events", "ticket_events", ("per_page", "include")),
    "/incremental/ticket_metric_events": Operation(
        _EXPORT,
        "Ticket metric events since a time, or cursor by cursor with page[size]",
        ("start_time", "per_page", "page[size]", "page[after]"),
        {"ticket_metric_events": "array"},
        "admin",
    ),
    "/incremental/tickets/sample": _sample("Tickets", "tickets", _FILTERS),
    "/incremental/users/sample": _sample("Users", "users"),
    "/incremental/organizations/sample": _sample("Organizations", "organizations"),
    "/incremental/ticket_events/sample": _sample("Ticket events", "ticket_events", ("per_page", "include")),
    "/tickets": Operation(
        _TICKETS,
        "Tickets, without deleted ones and without fields",
        (*_LIST, *_ORDER, "external_id", "start_time", "support_type_scope", "include"),
        {"tickets": "array"},
    ),
    "/tickets/count": Operation(_TICKETS, "How many tickets there are", (), {"count": "object"}),
    "/tickets/show_many": Operation(
        _TICKETS, "Several tickets", ("ids", "include"), {"tickets": "array", "count": "integer"}
    ),
    "/tickets/{id}": Operation(_TICKETS, "One ticket", ("include",), {"ticket": "object"}),
    "/tickets/{id}/audits": Operation(_TICKETS, "What happened to a ticket", _LIST, {"audits": "array"}),
    "/tickets/{id}/comments": Operation(
        _TICKETS, "What was said in a ticket", (*_LIST, "sort", "sort_order"), {"comments": "array"}
    ),
    "/tickets/{id}/metrics": Operation(_TICKETS, "The metric set of a ticket", (), {"ticket_metric": "object"}),
    "/tickets/{id}/tags": Operation(_TICKETS, "The tags of a ticket", (), {"tags": "array"}),
    "/deleted_tickets": Operation(_TICKETS, "Tickets that were deleted", _LIST, {"deleted_tickets": "array"}),
    "/users/me": Operation(
        _START, "Who is asking; a stranger is the anonymous user", (), {"user": "object"}, "anybody"
    ),
    "/oauth/tokens/current": Operation(_START, "The token in use", (), {"token": "object"}, "end-user"),
    "/account/settings": Operation(_START, "The account's settings", (), {"settings": "object"}),
    "/tags": Operation(_START, "Tags of recently changed tickets", _LIST, {"tags": "array"}),
    "/search": Operation(
        _START, "Records by type and time", ("query", "page", "per_page"), {"results": "array", "count": "integer"}
    ),
    "/search/count": Operation(_START, "How many a search finds", ("query",), {"count": "integer"}),
    "/channels/voice/phone_numbers": Operation(
        _START, "Always refused: the telephone is no part of it", (), {}, "admin"
    ),
}
for _each in RESOURCES:
    _words = _each.kind.replace("_", " ")
    OPERATIONS |= {
        _each.path: Operation(_RECORDS, f"The {_words}", _LIST, {_each.kind: "array"}, _each.role),
        f"{_each.path}/count": Operation(_RECORDS, f"How many {_words} there are", (), {"count": "object"}, _each.role),
        f"{_each.path}/{{id}}": Operation(_RECORDS, f"One of the {_words}", (), {_each.singular: "object"}, _each.role),
    }
    if _each.show_many:
        many = Operation(_RECORDS, f"Several {_words}", ("ids",), {_each.kind: "array", "count": "integer"}, _each.role)
        OPERATIONS[f"{_each.path}/show_many"] = many
