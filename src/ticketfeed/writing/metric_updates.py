"""Updates the metric set and the metric events of a ticket along with its audits.

The state that the figures are computed from is stored with the metric set, so a change reads no earlier audit. Where it
is missing (a ticket that was loaded, or last written by an older release) the audits are counted once. A ticket that
was loaded without its metric set has one that is derived from the ticket and the audits there are.
"""

from collections.abc import Iterable, Sequence

import msgspec

from ticketfeed.protocol.audits import Event, step_of, steps_of
from ticketfeed.protocol.derived_metrics import derived_state
from ticketfeed.protocol.record_types import TicketMetricEventRecord
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.stored_records import StoredDecoder
from ticketfeed.protocol.ticket_metrics import MetricState, Step, count_steps, metric_events, metric_set
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["changed_metrics", "derived_metrics", "new_metrics"]

# Metric sets have ids of their own on the wire, far from those of other records. Stores find them by their ticket's.
_FIRST_SET_ID = 300_000_000_000_000


class _Stored(msgspec.Struct, array_like=True):
    """The column `metric_state`.

    `event_types`: of the metric events for reply_time that the ticket has. `derived_steps`: how many steps of the state
    are no audits.
    """

    set_id: int
    event_types: list[str]
    state: MetricState
    derived_steps: int = 0


class _Record(msgspec.Struct):
    id: int


class _Ticket(msgspec.Struct):
    status: str
    requester_id: int | None = None


_STORED = msgspec.msgpack.Decoder(_Stored)
_TICKET = msgspec.json.Decoder(_Ticket)
_RECORD = msgspec.json.Decoder(_Record)
_EVENT = StoredDecoder(TicketMetricEventRecord)


def new_metrics(
    write: WriteTransaction, account: str, ticket_id: int, requester_id: int | None, steps: Sequence[Step]
) -> list[RecordDraft]:
    """The records of a new ticket, which has at least one step."""
    state = count_steps(steps)
    return _drafts(write, account, ticket_id, requester_id, _Stored(_FIRST_SET_ID + ticket_id, [], state))


def changed_metrics(
    write: WriteTransaction,
    account: str,
    ticket_id: int,
    requester_id: int | None,
    author_id: int,
    events: Sequence[Event],
) -> list[RecordDraft]:
    """The records after one more audit, by `author_id` with these events, which is not stored yet.

    None for a ticket without the audit of its creation: nothing is known of the time before the others.
    """
    stored = _stored(write, ticket_id)
    if stored is None:
        return []
    stored.state.add(step_of(stored.state, write.now, author_id, events))
    return _drafts(write, account, ticket_id, requester_id, stored)


def derived_metrics(write: WriteTransaction, account: str, ticket_ids: Iterable[int]) -> list[RecordDraft]:
    """The metric sets of those of these tickets that were loaded without one, and of those that have a derived one."""
    ids = sorted(set(ticket_ids))
    tickets, states = write.find_tickets(ids), write.find_metric_states(ids)
    missing = {
        id: (body, ticket)
        for id, body in tickets.items()
        if (ticket := _TICKET.decode(body)).status != "deleted" and (id not in states or states[id] is not None)
    }
    if not missing:
        return []
    has_audits = write.next_id("audits") > 1
    audits = write.find_of_tickets("audits", list(missing)) if has_audits else {}
    events = write.find_of_tickets("ticket_metric_events", list(missing))
    drafts = []
    for id, (body, ticket) in missing.items():
        state, derived_steps = derived_state(body, audits.get(id, []))
        stored = _Stored(_FIRST_SET_ID + id, _types_of_reply_time(events.get(id, [])), state, derived_steps)
        drafts.append(_set_draft(write, account, id, ticket.requester_id, stored))
    return drafts


def _stored(write: WriteTransaction, ticket_id: int) -> _Stored | None:
    data, audit_count = write.find_metric_state(ticket_id)
    stored = _decode(data)
    if stored is not None and stored.state.steps - stored.derived_steps == audit_count:
        return stored
    # Never counted, or audits were loaded since. (One that a load replaces is not noticed: audits do not change.)
    audits = write.find_of_ticket("audits", ticket_id) if audit_count else []
    steps, derived_steps = steps_of(audits), 0
    if steps:
        state = count_steps(steps)
    elif stored is not None:
        state, derived_steps = derived_state(write.find_tickets([ticket_id])[ticket_id], audits)
    else:
        return None
    body = write.find_records("ticket_metrics", [ticket_id]).get(ticket_id)
    set_id = _FIRST_SET_ID + ticket_id if body is None else _RECORD.decode(body).id
    events = write.find_of_ticket("ticket_metric_events", ticket_id)
    return _Stored(set_id, _types_of_reply_time(events), state, derived_steps)


def _types_of_reply_time(events: Sequence[bytes]) -> list[str]:
    """Those of the metric events of a ticket that are kept in its state."""
    found = _EVENT.decode_all(events)
    return sorted({event.type for event in found if (event.metric, event.instance_id) == ("reply_time", 1)})


def _decode(data: bytes | None) -> _Stored | None:
    """None for a state that is missing, or that a release with another form of it has written."""
    try:
        return None if data is None else _STORED.decode(data)
    except msgspec.MsgspecError:
        return None


def _drafts(
    write: WriteTransaction, account: str, ticket_id: int, requester_id: int | None, stored: _Stored
) -> list[RecordDraft]:
    """The metric set, and the metric events that the ticket does not have yet."""
    state = stored.state
    missing = [event for event in metric_events(state, requester_id, None) if event["type"] not in stored.event_types]
    stored.event_types += [event["type"] for event in missing]
    drafts = [_set_draft(write, account, ticket_id, requester_id, stored)]
    first_id = write.next_id("ticket_metric_events") if missing else 0
    for number, event in enumerate(missing, first_id):
        moment = state.created_at if event["type"] == "activate" else state.first_reply_at(requester_id) or 0
        body = msgspec.json.encode({"id": number, "ticket_id": ticket_id, **event})
        drafts.append(
            RecordDraft("ticket_metric_events", number, _second(write, moment), ticket_id, None, None, None, 0, body)
        )
    return drafts


def _second(write: WriteTransaction, moment: int) -> int:
    """The second of a record of this moment: a ticket may say that it was created or changed in the future."""
    return min(max(0, moment), write.now)


def _set_draft(
    write: WriteTransaction, account: str, ticket_id: int, requester_id: int | None, stored: _Stored
) -> RecordDraft:
    state = stored.state
    head = {"url": f"https://{account}.zendesk.com/api/v2/ticket_metrics/{stored.set_id}.json", "id": stored.set_id}
    body = msgspec.json.encode({**head, "ticket_id": ticket_id, **metric_set(state, requester_id)})
    return RecordDraft(
        kind="ticket_metrics",
        id=ticket_id,
        generated_timestamp=_second(write, state.updated_at),
        ticket_id=None,
        comment_count=None,
        email=None,
        external_id=None,
        is_deleted=0,
        body=body,
        metric_state=msgspec.msgpack.encode(stored),
        lookup_key=str(stored.set_id),
    )
