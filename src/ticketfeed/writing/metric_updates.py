"""The metric set and the metric events of a ticket follow its audits, from which they are counted anew."""

import msgspec

from ticketfeed.protocol.audits import steps_of
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.ticket_metrics import metric_events, metric_set
from ticketfeed.storage.contract import WriteTransaction

__all__ = ["follow_metrics"]

# Metric sets have ids of their own on the wire, but are kept under their ticket's.
_FIRST_SET_ID = 300_000_000_000_000


class _MetricEvent(msgspec.Struct):
    metric: str
    instance_id: int
    type: str


_EVENT = msgspec.json.Decoder(_MetricEvent)


def follow_metrics(write: WriteTransaction, account: str, ticket_id: int, requester_id: int | None) -> None:
    """For a ticket whose audits tell of its beginning; of another, loaded without them, nothing is known."""
    steps = steps_of(write.find_of_ticket("audits", ticket_id), requester_id)
    if not steps:
        return
    kept = write.find_records("ticket_metrics", [ticket_id]).get(ticket_id)
    head = {"id": _FIRST_SET_ID + ticket_id} if kept is None else {"id": msgspec.json.decode(kept)["id"]}
    numbers = msgspec.json.encode({**head, "ticket_id": ticket_id, **metric_set(steps)})
    write.put_records([parse_record("ticket_metrics", numbers, account=account, now=write.now)])
    known = {_key(body) for body in write.find_of_ticket("ticket_metric_events", ticket_id)}
    new = [
        event
        for event in metric_events(steps, None)
        if (event["metric"], event["instance_id"], event["type"]) not in known
    ]
    first_id = write.next_id("ticket_metric_events")
    bodies = [msgspec.json.encode({"id": first_id + n, "ticket_id": ticket_id, **event}) for n, event in enumerate(new)]
    write.put_records([parse_record("ticket_metric_events", body, account=account, now=write.now) for body in bodies])


def _key(body: bytes) -> tuple[str, int, str]:
    event = _EVENT.decode(body)
    return event.metric, event.instance_id, event.type
