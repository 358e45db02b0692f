"""The whole of `/api/v2` as one table: address, who may ask, what answers."""

from starlette.routing import Route

from ticketfeed.server.api import account as account
from ticketfeed.server.api import bulk as bulk
from ticketfeed.server.api import ticket_writes as write
from ticketfeed.server.api import tickets as ticket
from ticketfeed.server.api.call import api_routes, plain_routes
from ticketfeed.server.api.exports import (
    SAMPLE_LIMIT_MAX,
    cursor_export,
    event_export,
    metric_event_export,
    span_export,
)
from ticketfeed.server.api.lists import RESOURCES, resource_routes
from ticketfeed.server.api.record_writes import RECORD_WRITE_ROUTES
from ticketfeed.server.api.search import count_found, search

__all__ = ["API_ROUTES"]

API_ROUTES: list[Route] = [
    *api_routes("/incremental/tickets/cursor", cursor_export("tickets"), budget="incremental_exports"),
    *api_routes("/incremental/users/cursor", cursor_export("users"), budget="incremental_exports_cursor"),
    *api_routes("/incremental/tickets", span_export("tickets"), budget="incremental_exports"),
    *api_routes("/incremental/users", span_export("users"), budget="incremental_exports"),
    *api_routes("/incremental/organizations", span_export("organizations"), budget="incremental_exports"),
    *api_routes("/incremental/ticket_events", event_export(), budget="incremental_exports"),
    *api_routes("/incremental/ticket_metric_events", metric_event_export, budget="incremental_exports"),
    *api_routes(
        "/incremental/tickets/sample", span_export("tickets", limit_max=SAMPLE_LIMIT_MAX), budget="incremental_samples"
    ),
    *api_routes(
        "/incremental/users/sample", span_export("users", limit_max=SAMPLE_LIMIT_MAX), budget="incremental_samples"
    ),
    *api_routes(
        "/incremental/organizations/sample",
        span_export("organizations", limit_max=SAMPLE_LIMIT_MAX),
        budget="incremental_samples",
    ),
    *api_routes(
        "/incremental/ticket_events/sample", event_export(limit_max=SAMPLE_LIMIT_MAX), budget="incremental_samples"
    ),
    *api_routes("/tickets", ticket.list_tickets, role="agent", budget="ticket_pages", spends=ticket.is_deep),
    *api_routes("/tickets", write.create_ticket, role="agent", method="POST"),
    *api_routes("/imports/tickets", write.import_ticket, method="POST"),
    *api_routes("/tickets/{id:int}", write.update_ticket, role="agent", method="PUT"),
    *api_routes("/tickets/{id:int}", write.delete_ticket, role="agent", method="DELETE"),
    *api_routes("/tickets/{id:int}/mark_as_spam", write.mark_as_spam, role="agent", method="PUT"),
    *(
        route
        for method in ("POST", "PUT", "DELETE")
        for route in api_routes("/tickets/{id:int}/tags", write.change_tags, role="agent", method=method)
    ),
    *api_routes("/deleted_tickets/{id:int}/restore", write.restore_ticket, role="agent", method="PUT"),
    *api_routes("/deleted_tickets/{id:int}", bulk.scrub_ticket, method="DELETE"),
    *api_routes("/deleted_tickets/destroy_many", bulk.destroy_many("tickets", "scrub"), method="DELETE"),
    *api_routes("/tickets/create_many", bulk.create_many("tickets"), role="agent", method="POST"),
    *api_routes("/imports/tickets/create_many", bulk.create_many("tickets", "import"), method="POST"),
    *api_routes("/tickets/update_many", bulk.update_many("tickets", "ticket"), role="agent", method="PUT"),
    *api_routes("/tickets/destroy_many", bulk.destroy_many("tickets"), role="agent", method="DELETE"),
    *api_routes("/tickets/{id:int}/merge", bulk.merge_tickets, role="agent", method="POST"),
    *api_routes("/job_statuses", bulk.list_jobs, role="agent"),
    *api_routes("/job_statuses/show_many", bulk.list_jobs, role="agent"),
    *api_routes("/job_statuses/{id}", bulk.show_job, role="agent")[:1],  # which takes the form with .json, too
    *api_routes("/tickets/count", ticket.count_tickets, role="agent"),
    *api_routes("/tickets/show_many", ticket.show_tickets, role="agent"),
    *api_routes("/tickets/{id:int}", ticket.show_ticket, role="agent"),
    *api_routes("/tickets/{id:int}/audits", ticket.list_audits, role="agent"),
    *api_routes("/tickets/{id:int}/comments", ticket.list_comments, role="agent"),
    *api_routes("/tickets/{id:int}/metrics", ticket.show_metrics, role="agent"),
    *api_routes("/tickets/{id:int}/tags", ticket.show_tags, role="agent"),
    *api_routes("/deleted_tickets", ticket.list_deleted_tickets, role="agent", budget="deleted_tickets"),
    *plain_routes("/users/me", account.show_me),
    *api_routes("/oauth/tokens/current", account.show_token, role="end-user"),
    *api_routes("/account/settings", account.show_settings, role="agent"),
    *api_routes("/tags", account.list_tags, role="agent"),
    *api_routes("/search", search, role="agent"),
    *api_routes("/search/count", count_found, role="agent"),
    *api_routes("/channels/voice/phone_numbers", account.feature_missing),
    *RECORD_WRITE_ROUTES,
    *(route for resource in RESOURCES for route in resource_routes(resource)),
]
