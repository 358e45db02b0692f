"""How a mirror goes, as the command, the dashboard, `/_ticketfeed/ready` and the metrics say it."""

from typing import Any

from ticketfeed.mirror.budget import PAUSED
from ticketfeed.mirror.lease import is_alive
from ticketfeed.mirror.schedule import COMMENT_STREAMS, MIRROR_STREAMS, MirrorStream, behind_seconds
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.records import wire_second
from ticketfeed.protocol.request_budget import count_sent, request_limit

__all__ = ["STATES", "status_of", "streams_of"]

STATES = ("copying", "following", "waiting", "paused", "stopped", "archived")


def streams_of(*, comments: bool) -> tuple[MirrorStream, ...]:
    """The streams that a mirror reads, with ticket events and metric events or without."""
    return MIRROR_STREAMS + (COMMENT_STREAMS if comments else ())


def status_of(mirror: Mirror, now: float) -> dict[str, Any]:
    """The members that others rely on, in order. `requests_per_minute`: 0 for no limit."""
    streams = streams_of(comments=mirror.settings.has_comments)
    told, runs = mirror.status, mirror.lease is not None and is_alive(mirror.lease, now)
    state, reason = told.state, told.reason
    if mirror.closed_at is not None:
        state, reason = "archived", f"closed on {wire_second(mirror.closed_at)[:10]}"
    elif not runs and state != "stopped":
        state, reason = "stopped", "the process has ended"
    elif runs and mirror.settings.is_paused:
        state, reason = "paused", PAUSED
    elif state in ("copying", "following"):  # what is told is some seconds old
        state = "following" if all(mirror.stream(each.name).is_copied for each in streams) else "copying"
    is_archive = state == "archived"
    limit = request_limit(mirror.budget, mirror.settings.requests_per_minute, now)
    used = count_sent(mirror.budget, now) if limit else told.requests_used
    return {
        "source": mirror.source,
        "state": state,
        "reason": reason,
        "copied": sum(stream.copied for stream in mirror.streams.values()),
        "applied": sum(stream.applied for stream in mirror.streams.values()),
        "behind_seconds": None if is_archive else behind_seconds(streams, mirror.streams, now),
        "behind_changes": None if is_archive else told.behind_changes,
        "requests_per_minute": limit or 0,
        "requests_used": used if runs else 0,
        "eta_seconds": told.eta_seconds if runs else None,
        "last_error": told.last_error,
        "verified_at": told.verified_at,
        "differences": told.differences,
    }
