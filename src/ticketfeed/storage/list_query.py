"""Lists: which of the few forms of a list query is asked for. Both engines run the same text but for its parameters."""

import re
from collections.abc import Callable
from typing import Any

from ticketfeed.protocol.model import INT64_MAX, Filters, ListOrder, Position, Slice, TicketList

__all__ = ["COUNT_CHANGES", "KEY_COLUMN", "change_bindings", "compose_list", "list_bindings", "ticket_bindings"]

KEY_COLUMN: dict[ListOrder, str] = {"id": "id", "updated_at": "generated_timestamp", "status": "status"}
# Which query counts the changes of a kind; every other kind is a record.
COUNT_CHANGES = {"tickets": "count_changes"}
# Before and behind every key there is: letters that no status begins with.
_STATUS_ENDS = ("", "zzzz")

_SCOPES = {
    "all": "TRUE",
    "agent": "support_type IS DISTINCT FROM 'ai_agent'",
    "ai_agent": "support_type = 'ai_agent'",
}


def compose_list(
    sql: str, order: Slice, tickets: TicketList | None = None, parameter: Callable[[str], str] = ":{}".format
) -> str:
    """The query in this order and direction, with the conditions of `tickets`."""
    sql = sql.replace("/* key */", KEY_COLUMN[order.order])
    if tickets is not None:
        sql = sql.replace("/* filters */", " AND ".join(_conditions(tickets, parameter)))
    if order.descending:
        sql = re.sub(r"\bASC\b", "DESC", sql).replace("id) >", "id) <").replace("id >", "id <")
    return sql


def list_bindings(order: Slice) -> dict[str, Any]:
    """Where the list goes on."""
    if order.after is not None:
        key, id = order.after
    elif order.order == "status":
        key, id = _STATUS_ENDS[order.descending], INT64_MAX if order.descending else -1
    else:
        key = id = INT64_MAX if order.descending else -1
    return {"after_key": key, "after_id": id, "limit": order.limit, "offset": order.offset}


def ticket_bindings(tickets: TicketList) -> dict[str, Any]:
    """What the conditions compare with."""
    return {
        "external_id": tickets.external_id,
        "start_time": tickets.start_time,
        "archived_at": tickets.archived_at,
    }


def change_bindings(after: Position, until: Position, filters: Filters) -> dict[str, Any]:
    """A range of the feed, and which tickets of it count."""
    return {
        "after_timestamp": after.generated_timestamp,
        "after_id": after.id,
        "until_timestamp": until.generated_timestamp,
        "until_id": until.id,
        "exclude_deleted": filters.exclude_deleted,
        "scope": filters.support_type_scope,
    }


def _conditions(tickets: TicketList, parameter: Callable[[str], str]) -> list[str]:
    conditions = ["status = 'deleted'" if tickets.deleted else "status <> 'deleted'"]
    conditions.append(_SCOPES[tickets.support_type_scope])
    if tickets.external_id is not None:
        conditions.append(f"external_id = {parameter('external_id')}")
    if tickets.start_time is not None:
        conditions.append(f"generated_timestamp >= {parameter('start_time')}")
    if tickets.archived_at is not None:
        conditions.append(f"(status <> 'closed' OR generated_timestamp > {parameter('archived_at')})")
    return conditions
