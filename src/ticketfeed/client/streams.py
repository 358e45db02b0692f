"""Every stream of an export as data: where it is read, in which way, and what its records are called."""

from dataclasses import dataclass
from typing import Literal

from ticketfeed.protocol.errors import BadInput

__all__ = ["STREAMS", "Stream", "choose_streams"]


@dataclass(frozen=True, slots=True)
class Stream:
    """`way`: by cursor, by time, or a whole list. `time_key`: the member that says when a record last changed."""

    name: str
    path: str
    way: Literal["cursor", "time", "list"]
    key: str
    time_key: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()


_INCREMENTAL = (
    # The default scope of the wire leaves out tickets that an AI agent alone has handled; a complete export has them.
    Stream(
        "tickets",
        "/api/v2/incremental/tickets/cursor.json",
        "cursor",
        "tickets",
        "generated_timestamp",
        (("support_type_scope", "all"),),
    ),
    Stream("users", "/api/v2/incremental/users/cursor.json", "cursor", "users", "updated_at"),
    Stream("organizations", "/api/v2/incremental/organizations.json", "time", "organizations", "updated_at"),
    Stream("ticket_events", "/api/v2/incremental/ticket_events.json", "time", "ticket_events", "timestamp"),
    Stream(
        "comments",
        "/api/v2/incremental/ticket_events.json",
        "time",
        "ticket_events",
        "timestamp",
        (("include", "comment_events"),),
    ),
    Stream(
        "ticket_metric_events", "/api/v2/incremental/ticket_metric_events.json", "time", "ticket_metric_events", "time"
    ),
)
_LISTS = (
    "groups",
    "brands",
    "ticket_fields",
    "ticket_forms",
    "custom_statuses",
    "tags",
    "satisfaction_ratings",
    "macros",
    "group_memberships",
    "organization_memberships",
)

STREAMS = {
    stream.name: stream
    for stream in (*_INCREMENTAL, *(Stream(name, f"/api/v2/{name}.json", "list", name) for name in _LISTS))
}


def choose_streams(names: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The streams meant, each once, in the order of STREAMS; `all` is every one, none is tickets. Raises BadInput."""
    unknown = [name for name in names if name != "all" and name not in STREAMS]
    if unknown:
        raise BadInput(f"there is no stream {unknown[0]!r}; there are: {', '.join(STREAMS)}, all")
    if "all" in names:
        return tuple(STREAMS)
    return tuple(name for name in STREAMS if name in names) or ("tickets",)
