"""The query parameters of `/api/v2`: name -> (schema, meaning), and the sets of them that many addresses share."""

from typing import Any

from ticketfeed.protocol.embedded_sideloads import EMBEDDED
from ticketfeed.protocol.resources import SEARCH_TYPES
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS

__all__ = [
    "BY_IDS",
    "EXPORT_FILTERS",
    "LIST_ORDER",
    "LIST_PAGES",
    "LIST_REFUSED",
    "OF_TICKETS",
    "PARAMETERS",
    "RECORD_INCLUDES_REFUSED",
    "RECORD_PARAMETERS",
    "RECORD_REFUSED",
    "TICKET_LIST",
    "TICKET_LIST_REFUSED",
]

_FLAG: dict[str, Any] = {"type": "boolean"}
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}

PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "start_time": ({"type": "integer", "minimum": 0}, "Unix seconds: everything that changed at or after it."),
    "cursor": (_TEXT, "after_cursor of an earlier response; overrides start_time."),
    "per_page": ({"type": "integer", "minimum": 1, "maximum": 1000}, "The maximum number of records on a page."),
    "include": (_TEXT, "Sideloads, separated by commas; unknown names are ignored."),
    "exclude_deleted": (_FLAG, "Leave out what is deleted: the default for groups, not for tickets."),
    "support_type_scope": ({"enum": ["all", "agent", "ai_agent"]}, "agent is all but ai_agent."),
    "page": (_COUNT, "The number of the page (offset pagination); not beyond record 10,000."),
    "page[size]": ({"type": "integer", "minimum": 1, "maximum": 100}, "The size of a page (cursor pagination)."),
    "page[after]": (_TEXT, "meta.after_cursor of an earlier response."),
    "page[before]": (_TEXT, "meta.before_cursor of an earlier response."),
    "sort": (
        _TEXT,
        "What the list goes by, with - before it for descending: for tickets id, updated_at or status, for audits and "
        "comments created_at, for others id, created_at, updated_at, position, name or alphabetical, as far as they "
        "have it.",
    ),
    "sort_by": (_TEXT, "The older form of sort, with sort_order; an order that the list does not have is ignored."),
    "sort_order": ({"enum": ["asc", "desc"]}, "The direction of sort_by."),
    "external_id": (_TEXT, "Only the tickets or users with this external id."),
    "ids": (_TEXT, "Up to 100 ids, separated by commas."),
    "external_ids": (_TEXT, "Up to 100 external ids, separated by commas, instead of ids."),
    "remove_duplicate_fields": (_FLAG, "Leave out fields, which has the same values as custom_fields."),
    "role": ({"enum": ["end-user", "agent", "admin"]}, "Only users with this role."),
    "role[]": (_TEXT, "Only users with one of these roles; it can be repeated."),
    "permission_set": ({"type": "integer"}, "Only users with this custom role."),
    "active": (_FLAG, "Only active ones, or with false only inactive ones."),
    "default": (_FLAG, "Only the default ones, or with false only the others."),
    "end_user_visible": (_FLAG, "Only forms that end users see, or with false only the others."),
    "associated_to_brand": (_FLAG, "Only forms of the brand whose subdomain is that of the account."),
    "fallback_to_default": (_FLAG, "The default form, if no form in the list is active and visible to end users."),
    "status_categories": (_TEXT, "Only custom statuses of these categories, separated by commas."),
    "access": ({"enum": ["personal", "agent", "shared", "group", "account"]}, "Only macros for these people."),
    "category": (_TEXT, "Only macros whose title begins with this category, before ::."),
    "group_id": ({"type": "integer"}, "Only macros that are restricted to this group."),
    "include_deleted": (_FLAG, "Deleted brands, too."),
    "score": (_TEXT, "Only ratings like this: offered, received_with_comment, good, ..."),
    "end_time": ({"type": "integer", "minimum": 0}, "Unix seconds: only ratings made until then."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": 1000}, "The size of a page in the older pagination."),
    "filter_events[]": (_TEXT, "Only audits with an event of one of these types; it can be repeated."),
    "filter_via": (_TEXT, "Only audits that came through this channel."),
    "include_inline_images": (_FLAG, "Inline images stay in the attachments of comments, which lack them otherwise."),
    "query": (_TEXT, "The search language, for example: type:ticket status<solved updated>2026-01-31"),
    "filter[type]": ({"enum": list(SEARCH_TYPES)}, "The type of the records; required, and type: is not allowed."),
    "name": (_TEXT, "A name; for autocomplete the beginning of a word of it, of two characters or more."),
    "all": (_FLAG, "For admins: the tokens of all users."),
    "client_id": ({"type": "integer"}, "Only tokens of this OAuth client."),
    "global_client_id": ({"type": "integer"}, "Only tokens of this global OAuth client."),
    "include_expired": (_FLAG, "Expired tokens, too."),
}
LIST_PAGES = ("page", "per_page", "page[size]", "page[after]", "page[before]")
LIST_ORDER = ("sort", "sort_by", "sort_order")
# Documented for all lists, for the benefit of Zendesk's own pages.
LIST_REFUSED = ("include_boundary_indicators", "include_item_cursors")
# The sideloads of tickets, and lists of tickets by one condition.
OF_TICKETS = (*SIDELOADED_KINDS, *EMBEDDED)
TICKET_LIST = (*LIST_PAGES, *LIST_ORDER, "include")
TICKET_LIST_REFUSED = ("include=last_audits", *LIST_REFUSED)
EXPORT_FILTERS = ("per_page", "include", "exclude_deleted", "support_type_scope")
BY_IDS = ("ids", "external_ids")

# The parameters of each kind's list beside its pages and orders.
RECORD_PARAMETERS: dict[str, tuple[str, ...]] = {
    "users": ("role", "role[]", "permission_set", "external_id"),
    "groups": ("exclude_deleted",),
    "brands": ("include_deleted",),
    "ticket_forms": ("active", "end_user_visible", "associated_to_brand", "fallback_to_default"),
    "custom_statuses": ("active", "default", "status_categories"),
    "macros": ("active", "access", "category", "group_id"),
    "satisfaction_ratings": ("score", "start_time", "end_time"),
    "audits": ("limit", "cursor"),
}
# What Zendesk documents for a kind and is refused: in its list, and as an `include` everywhere.
RECORD_REFUSED: dict[str, tuple[str, ...]] = {
    "groups": ("user_id",),
    "ticket_fields": ("creator", "locale"),
    "ticket_forms": ("form_type", "locale"),
    "macros": (
        "only_viewable",
        "sort_by=usage_1h",
        "sort_by=usage_24h",
        "sort_by=usage_7d",
        "sort_by=usage_30d",
    ),
}
RECORD_INCLUDES_REFUSED: dict[str, tuple[str, ...]] = {
    "users": ("include=abilities", "include=open_ticket_count", "include=roles"),
    "organizations": ("include=abilities",),
    "macros": (
        "include=app_installation",
        "include=categories",
        "include=permissions",
        "include=usage_1h",
        "include=usage_24h",
        "include=usage_7d",
        "include=usage_30d",
    ),
}
