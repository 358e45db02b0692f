"""Sideloads that stand inside each ticket: spliced in before its closing brace, the ticket's bytes never parsed.

Each key asked for is on every ticket of a page: null where there is nothing to say, 0 where nothing was counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ticketfeed.protocol.record_types import TicketMetricEventRecord
from ticketfeed.protocol.records import encode, split_record, wire_time
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = ["EMBEDDED", "dates_of", "join_embedded", "metric_events_of", "slas_of"]

# include name -> its key inside a ticket
EMBEDDED = {
    "metric_sets": "metric_set",
    "dates": "dates",
    "comment_count": "comment_count",
    "incident_counts": "incident_count",
    "slas": "slas",
    "metric_events": "metric_events",
}


_DATES = (
    "assignee_updated_at",
    "requester_updated_at",
    "status_updated_at",
    "initially_assigned_at",
    "assigned_at",
    "solved_at",
    "latest_comment_added_at",
)
_EVENT = StoredDecoder(TicketMetricEventRecord)


def join_embedded(values: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    """For each ticket all that is put into it: `,"metric_set":{...},"comment_count":3`."""
    form = b"".join(b',"%s":%%s' % key.encode() for key in values)
    return [form % row for row in zip(*values.values(), strict=True)]


def dates_of(metric_set: bytes) -> bytes:
    """The dates of a metric set, which is where they are kept."""
    values = split_record(metric_set)
    return encode({name: values.get(name) for name in _DATES})


def metric_events_of(events: Iterable[bytes]) -> bytes:
    """A ticket's metric events, in arrays by metric."""
    by_metric = defaultdict[str, list[bytes]](list)
    for body in events:
        by_metric[_EVENT.decode(body).metric].append(body)
    arrays = (b"%s:[%s]" % (encode(name), b",".join(found)) for name, found in by_metric.items())
    return b"{%s}" % b",".join(arrays)


def slas_of(events: Iterable[bytes], now: datetime) -> bytes:
    """How each SLA of a ticket stands at `now`: what its metric events come to."""
    by_metric = defaultdict[str, list[TicketMetricEventRecord]](list)
    for event in sorted(map(_EVENT.decode, events), key=lambda event: (event.time, event.id)):
        by_metric[event.metric].append(event)
    metrics = [_sla(metric, found, now) for metric, found in by_metric.items()]
    return encode({"policy_metrics": [sla for sla in metrics if sla]})


def _sla(metric: str, events: list[TicketMetricEventRecord], now: datetime) -> dict[str, object] | None:
    """The newest instance of one metric; None where no policy applies to it."""
    newest = max(event.instance_id for event in events)
    target, stage, since, spent = None, "achieved", None, timedelta()
    for event in events:
        if event.instance_id != newest:
            continue
        if event.sla is not None and event.sla.target is not None:
            target = timedelta(minutes=event.sla.target)
        if event.type == "activate":
            stage, since = "active", event.time
        elif event.type in ("pause", "fulfill") and since is not None:
            stage, spent, since = "paused" if event.type == "pause" else "achieved", spent + (event.time - since), None
    if target is None:
        return None
    if stage != "active" or since is None:
        return {"metric": metric, "stage": stage, "breach_at": None}
    breach_at = since + target - spent
    return {"metric": metric, "stage": stage, "breach_at": wire_time(breach_at), **_time_left(breach_at - now)}


def _time_left(left: timedelta) -> dict[str, int]:
    """In the largest unit there is a whole one of; negative once breached."""
    minutes = int(left.total_seconds() / 60)
    for unit, length in (("days", 1440), ("hours", 60)):
        if abs(minutes) >= length:
            return {unit: int(minutes / length)}
    return {"minutes": minutes}
