"""The whole of `/api/v2` as one table: one row a method of an address.

Routing, role checks, rate limits, the OpenAPI document and the reference pages are made from it. The rows of users,
groups and the other records come from the table of resources.
"""

from functools import partial

from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS
from ticketfeed.protocol.ticket_input import ImportedTicket, TicketInput
from ticketfeed.server.api import account, bulk
from ticketfeed.server.api import ticket_writes as write
from ticketfeed.server.api import tickets as ticket
from ticketfeed.server.api.api_tokens import API_TOKEN_ROUTES
from ticketfeed.server.api.call import JOB, ApiRoute
from ticketfeed.server.api.empty_lists import EMPTY_ROUTES
from ticketfeed.server.api.end_user_requests import REQUEST_ROUTES
from ticketfeed.server.api.exports import (
    cursor_export,
    metric_event_export,
    sample_export,
    span_export,
)
from ticketfeed.server.api.identities import IDENTITY_ROUTES
from ticketfeed.server.api.lists import LIST_ROUTES
from ticketfeed.server.api.oauth import OAUTH_ROUTES
from ticketfeed.server.api.parameters import (
    EXPORT_FILTERS,
    LIST_ORDER,
    LIST_PAGES,
    LIST_REFUSED,
    OF_TICKETS,
    RECORD_INCLUDES_REFUSED,
)
from ticketfeed.server.api.record_writes import RECORD_WRITE_ROUTES
from ticketfeed.server.api.related import RELATED_ROUTES
from ticketfeed.server.api.search import SEARCH_ROUTES
from ticketfeed.server.api.ticket_lists import TICKET_LIST_ROUTES

__all__ = ["API_ROUTES"]

_BY_TIME = {"count": "integer", "end_of_stream": "boolean", "next_page": "string", "end_time": "integer"}
_BY_CURSOR = {
    "after_url": "string?",
    "after_cursor": "string?",
    "before_url": "null",
    "before_cursor": "null",
    "end_of_stream": "boolean",
}
_TICKET, _TICKETS, _TAGS = {"ticket": "object"}, {"tickets": "array"}, {"tags": "array"}
_TICKET_BODY, _TICKETS_BODY, _TAGS_BODY = {"ticket": TicketInput}, {"tickets": list[TicketInput]}, {"tags": list[str]}
_TICKET_AND_AUDIT = {"ticket": "object", "audit": "object?"}

# Sideloads of users, and those that are refused.
_OF_USERS, _NOT_OF_USERS = tuple(RECORD_SIDELOADS["users"]), RECORD_INCLUDES_REFUSED["users"]
# Clients send these to exports, where they never had a meaning.
_NO_PAGES, _NO_END = ("page", "page[size]", "page[after]", "page[before]"), ("end_time",)

_export = partial(ApiRoute, "GET", tag="Exports", role="admin")
_limited_export = partial(_export, rate_limit="incremental_exports")
_sample = partial(_export, rate_limit="incremental_samples")
_read = partial(ApiRoute, "GET", tag="Tickets")
_write_ticket = partial(ApiRoute, tag="Tickets")
_read_job = partial(ApiRoute, "GET", tag="Jobs")
_read_account = partial(ApiRoute, "GET", tag="Account and identity")

_EXPORT_ROUTES = [
    _limited_export(
        "/incremental/tickets/cursor",
        cursor_export("tickets"),
        summary="Export tickets by cursor",
        parameters=("start_time", "cursor", *EXPORT_FILTERS),
        includes=OF_TICKETS,
        ignored=(*_NO_PAGES, *_NO_END, "include=last_audits"),
        answer={**_TICKETS, **_BY_CURSOR},
    ),
    _export(
        "/incremental/users/cursor",
        cursor_export("users"),
        summary="Export users by cursor",
        rate_limit="incremental_exports_cursor",
        parameters=("start_time", "cursor", "per_page", "include"),
        includes=_OF_USERS,
        refused=_NOT_OF_USERS,
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"users": "array", **_BY_CURSOR},
    ),
    _limited_export(
        "/incremental/tickets",
        span_export("tickets"),
        summary="Export tickets by time",
        parameters=("start_time", *EXPORT_FILTERS),
        includes=OF_TICKETS,
        ignored=(*_NO_PAGES, *_NO_END, "include=last_audits"),
        answer={**_TICKETS, **_BY_TIME},
    ),
    _limited_export(
        "/incremental/users",
        span_export("users"),
        summary="Export users by time",
        parameters=("start_time", "per_page", "include"),
        includes=_OF_USERS,
        refused=_NOT_OF_USERS,
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"users": "array", **_BY_TIME},
    ),
    _limited_export(
        "/incremental/organizations",
        span_export("organizations"),
        summary="Export organizations by time",
        parameters=("start_time", "per_page"),
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"organizations": "array", **_BY_TIME},
    ),
    _limited_export(
        "/incremental/ticket_events",
        span_export("audits", "ticket_events"),
        summary="Export ticket events by time",
        parameters=("start_time", "per_page", "include"),
        includes=("comment_events",),
        refused=("support_type_scope",),
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"ticket_events": "array", **_BY_TIME},
    ),
    _limited_export(
        "/incremental/ticket_metric_events",
        metric_event_export,
        summary="Export ticket metric events by time, or by cursor with page[size]",
        parameters=("start_time", "per_page", "page[size]", "page[after]"),
        refused=("page[before]", "include_changes", "exclude_deleted", "support_type_scope"),
        ignored=_NO_END,
        answer={"ticket_metric_events": "array"},
    ),
    _sample(
        "/incremental/tickets/sample",
        sample_export("tickets"),
        summary="Export up to 50 tickets by time",
        parameters=("start_time", *EXPORT_FILTERS),
        includes=OF_TICKETS,
        ignored=(*_NO_PAGES, *_NO_END, "include=last_audits"),
        answer={**_TICKETS, **_BY_TIME},
    ),
    _sample(
        "/incremental/users/sample",
        sample_export("users"),
        summary="Export up to 50 users by time",
        parameters=("start_time", "per_page", "include"),
        includes=_OF_USERS,
        refused=_NOT_OF_USERS,
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"users": "array", **_BY_TIME},
    ),
    _sample(
        "/incremental/organizations/sample",
        sample_export("organizations"),
        summary="Export up to 50 organizations by time",
        parameters=("start_time", "per_page"),
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"organizations": "array", **_BY_TIME},
    ),
    _sample(
        "/incremental/ticket_events/sample",
        sample_export("audits", "ticket_events"),
        summary="Export up to 50 ticket events by time",
        parameters=("start_time", "per_page", "include"),
        includes=("comment_events",),
        refused=("support_type_scope",),
        ignored=(*_NO_PAGES, *_NO_END),
        answer={"ticket_events": "array", **_BY_TIME},
    ),
]

_TICKET_ROUTES = [
    _read(
        "/tickets",
        ticket.list_tickets,
        summary="List tickets, without deleted ones and without their fields",
        rate_limit="ticket_pages",
        counts=ticket.is_deep_page,
        parameters=(*LIST_PAGES, *LIST_ORDER, "external_id", "start_time", "support_type_scope", "include"),
        includes=OF_TICKETS,
        refused=("reduced_payload_size", "include=last_audits", *LIST_REFUSED),
        answer=_TICKETS,
    ),
    _read("/tickets/count", ticket.count_tickets, summary="Count tickets", answer={"count": "object"}),
    _read(
        "/tickets/show_many",
        ticket.show_tickets,
        summary="Show up to 100 tickets",
        parameters=("ids", "include"),
        includes=OF_TICKETS,
        refused=("include=last_audits",),
        answer={**_TICKETS, "count": "integer"},
    ),
    _read(
        "/tickets/{id:int}",
        ticket.show_ticket,
        summary="Show ticket",
        parameters=("include", "remove_duplicate_fields"),
        includes=OF_TICKETS,
        refused=("reduced_payload_size", "include=last_audits"),
        answer=_TICKET,
    ),
    _read(
        "/tickets/{id:int}/audits",
        ticket.list_audits,
        summary="List the audits of a ticket",
        parameters=(*LIST_PAGES, "sort", "sort_order", "filter_events[]", "filter_via", "include"),
        includes=tuple(RECORD_SIDELOADS["audits"]),
        refused=LIST_REFUSED,
        answer={"audits": "array"},
    ),
    _read(
        "/tickets/{id:int}/comments",
        ticket.list_comments,
        summary="List the comments of a ticket",
        parameters=(*LIST_PAGES, "sort", "sort_order", "include_inline_images", "include"),
        includes=tuple(RECORD_SIDELOADS["comments"]),
        refused=LIST_REFUSED,
        answer={"comments": "array"},
    ),
    _read(
        "/tickets/{id:int}/metrics",
        ticket.show_metrics,
        summary="Show the metrics of a ticket",
        answer={"ticket_metric": "object"},
    ),
    _read("/tickets/{id:int}/tags", ticket.show_tags, summary="List the tags of a ticket", answer=_TAGS),
    _read(
        "/deleted_tickets",
        ticket.list_deleted_tickets,
        summary="List deleted tickets",
        rate_limit="deleted_tickets",
        parameters=(*LIST_PAGES, *LIST_ORDER),
        refused=LIST_REFUSED,
        answer={"deleted_tickets": "array"},
    ),
]

_TICKET_WRITE_ROUTES = [
    _write_ticket(
        "POST",
        "/tickets",
        write.create_ticket,
        summary="Create ticket",
        body=_TICKET_BODY,
        answer=_TICKET_AND_AUDIT,
        statuses=(201,),
    ),
    _write_ticket(
        "PUT",
        "/tickets/{id:int}",
        write.update_ticket,
        summary="Update ticket",
        body=_TICKET_BODY,
        answer=_TICKET_AND_AUDIT,
    ),
    _write_ticket("DELETE", "/tickets/{id:int}", write.delete_ticket, summary="Delete ticket", statuses=(204,)),
    _write_ticket(
        "PUT",
        "/tickets/{id:int}/mark_as_spam",
        write.mark_as_spam,
        summary="Mark ticket as spam: delete it and suspend its requester",
    ),
    _write_ticket(
        "POST",
        "/tickets/{id:int}/tags",
        write.change_tags,
        summary="Set the tags of a ticket",
        body=_TAGS_BODY,
        answer=_TAGS,
        statuses=(201,),
    ),
    _write_ticket(
        "PUT",
        "/tickets/{id:int}/tags",
        write.change_tags,
        summary="Add tags to a ticket",
        body=_TAGS_BODY,
        answer=_TAGS,
    ),
    _write_ticket(
        "DELETE",
        "/tickets/{id:int}/tags",
        write.change_tags,
        summary="Remove tags from a ticket",
        body=_TAGS_BODY,
        answer=_TAGS,
    ),
    _write_ticket(
        "POST",
        "/tickets/{id:int}/merge",
        bulk.merge_tickets,
        summary="Merge other tickets into a ticket",
        body={"ids": list[int], "target_comment": str | None, "source_comment": str | None},
        answer=JOB,
    ),
    _write_ticket(
        "POST",
        "/tickets/create_many",
        bulk.create_many("tickets"),
        summary="Create up to 100 tickets",
        body=_TICKETS_BODY,
        answer=JOB,
    ),
    _write_ticket(
        "PUT",
        "/tickets/update_many",
        bulk.update_many("tickets", "ticket"),
        summary="Update up to 100 tickets: the same change for all ids, or a change for each",
        parameters=("ids",),
        body={**_TICKET_BODY, **_TICKETS_BODY},
        answer=JOB,
    ),
    _write_ticket(
        "DELETE",
        "/tickets/destroy_many",
        bulk.destroy_many("tickets"),
        summary="Delete up to 100 tickets",
        parameters=("ids",),
        answer=JOB,
    ),
    _write_ticket(
        "POST",
        "/imports/tickets",
        write.import_ticket,
        summary="Import ticket with its history",
        role="admin",
        body={"ticket": ImportedTicket},
        answer=_TICKET,
        statuses=(201,),
    ),
    _write_ticket(
        "POST",
        "/imports/tickets/create_many",
        bulk.create_many("tickets", "import"),
        summary="Import up to 100 tickets with their history",
        role="admin",
        body={"tickets": list[ImportedTicket]},
        answer=JOB,
    ),
    _write_ticket(
        "PUT",
        "/tickets/mark_many_as_spam",
        bulk.destroy_many("tickets", "mark_as_spam"),
        summary="Mark up to 100 tickets as spam",
        parameters=("ids",),
        answer=JOB,
    ),
    _write_ticket("PUT", "/deleted_tickets/{id:int}/restore", write.restore_ticket, summary="Restore a deleted ticket"),
    _write_ticket(
        "PUT",
        "/deleted_tickets/restore_many",
        write.restore_tickets,
        summary="Restore up to 100 deleted tickets: all of them, or none",
        parameters=("ids",),
    ),
    _write_ticket(
        "DELETE",
        "/deleted_tickets/{id:int}",
        bulk.scrub_ticket,
        summary="Delete a deleted ticket permanently",
        role="admin",
        answer=JOB,
    ),
    _write_ticket(
        "DELETE",
        "/deleted_tickets/destroy_many",
        bulk.destroy_many("tickets", "scrub"),
        summary="Delete up to 100 deleted tickets permanently",
        role="admin",
        parameters=("ids",),
        answer=JOB,
    ),
]

_JOB_ROUTES = [
    _read_job(
        "/job_statuses",
        bulk.list_jobs,
        summary="List the latest jobs",
        parameters=("ids", "page[size]", "page[after]", "page[before]"),
        refused=LIST_REFUSED,
        answer={"job_statuses": "array"},
    ),
    _read_job(
        "/job_statuses/show_many",
        bulk.list_jobs,
        summary="Show up to 100 jobs",
        parameters=("ids",),
        answer={"job_statuses": "array"},
    ),
    _read_job("/job_statuses/{id}", bulk.show_job, summary="Show job", answer=JOB),
]

_ACCOUNT_ROUTES = [
    _read_account(
        "/users/me",
        account.show_me,
        summary="The authenticated user, or the anonymous user",
        role="anybody",
        answer={"user": "object"},
    ),
    _read_account(
        "/account/settings", account.show_settings, summary="Show account settings", answer={"settings": "object"}
    ),
    _read_account(
        "/tags",
        account.list_tags,
        summary="List the tags of recently changed tickets",
        parameters=LIST_PAGES,
        refused=LIST_REFUSED,
        answer=_TAGS,
    ),
    _read_account(
        "/tags/count",
        account.count_tags,
        summary="Count the tags of recently changed tickets",
        answer={"count": "object"},
    ),
]

API_ROUTES: list[ApiRoute] = [
    *_EXPORT_ROUTES,
    *_TICKET_ROUTES,
    *_TICKET_WRITE_ROUTES,
    *_JOB_ROUTES,
    *_ACCOUNT_ROUTES,
    *OAUTH_ROUTES,
    *API_TOKEN_ROUTES,
    *SEARCH_ROUTES,
    *LIST_ROUTES,
    *RECORD_WRITE_ROUTES,
    *RELATED_ROUTES,
    *IDENTITY_ROUTES,
    *TICKET_LIST_ROUTES,
    *REQUEST_ROUTES,
    *EMPTY_ROUTES,
]
