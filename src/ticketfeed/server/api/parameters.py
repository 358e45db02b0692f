"""The query parameters of `/api/v2`: name -> (schema, meaning), and the sets of them that many addresses share."""

from typing import Any

from ticketfeed.protocol.resources import SEARCH_TYPES

__all__ = [
    "BY_IDS",
    "EXPORT_FILTERS",
    "LIST_ORDER",
    "LIST_PAGES",
    "PARAMETERS",
]

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}

PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "start_time": ({"type": "integer", "minimum": 0}, "Unix seconds: everything that changed at or after it."),
    "cursor": (_TEXT, "after_cursor of an earlier response; overrides start_time."),
    "per_page": ({"type": "integer", "minimum": 1, "maximum": 1000}, "The maximum number of records on a page."),
    "include": (_TEXT, "Sideloads, separated by commas; unknown names are ignored."),
    "exclude_deleted": ({"type": "boolean"}, "Leave out tickets whose status is deleted."),
    "support_type_scope": ({"enum": ["all", "agent", "ai_agent"]}, "agent is all but ai_agent."),
    "page": (_COUNT, "The number of the page (offset pagination); not beyond record 10,000."),
    "page[size]": ({"type": "integer", "minimum": 1, "maximum": 100}, "The size of a page (cursor pagination)."),
    "page[after]": (_TEXT, "meta.after_cursor of an earlier response."),
    "page[before]": (_TEXT, "meta.before_cursor of an earlier response."),
    "sort": (_TEXT, "id, updated_at or status, with - before it for descending; for comments created_at."),
    "sort_by": (_TEXT, "The older form of sort, with offset pagination."),
    "sort_order": ({"enum": ["asc", "desc"]}, "The direction of sort_by."),
    "external_id": (_TEXT, "Only tickets with this external id."),
    "ids": (_TEXT, "Up to 100 ids, separated by commas."),
    "external_ids": (_TEXT, "Up to 100 external ids, separated by commas, instead of ids."),
    "query": (_TEXT, "The search language, for example: type:ticket status<solved updated>2026-01-31"),
    "filter[type]": ({"enum": list(SEARCH_TYPES)}, "The type of the records; required, and type: is not allowed."),
    "name": (_TEXT, "A name; for autocomplete the beginning of a word of it, of two characters or more."),
}
LIST_PAGES = ("page", "per_page", "page[size]", "page[after]", "page[before]")
LIST_ORDER = ("sort", "sort_by", "sort_order")
EXPORT_FILTERS = ("per_page", "include", "exclude_deleted", "support_type_scope")
BY_IDS = ("ids", "external_ids")
