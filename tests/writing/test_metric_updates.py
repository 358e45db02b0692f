"""The metrics of a ticket after each of many writes, beside the same counted anew from all of its audits."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.writing.office import NOON, Office
from tests.writing.recount import recount, recounted_events
from ticketfeed.protocol.errors import RecordInvalid, RecordNotFound
from ticketfeed.protocol.records import parse_record
from ticketfeed.protocol.ticket_input import IMPORTED_TICKET, NEW_TICKET, TICKET_CHANGE
from ticketfeed.storage.write_contract import WriteTransaction

TICKET = 1
USERS, AGENTS = st.sampled_from([10, 11, 20, 21]), st.sampled_from([20, 21])
STATUSES = st.sampled_from(["new", "open", "pending", "hold", "solved", "closed"])
Step = tuple[str, Any]


def wire(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


comments = st.fixed_dictionaries({"body": st.just("x"), "author_id": USERS}, optional={"public": st.booleans()})
changes = st.fixed_dictionaries(
    {},
    optional={
        "status": STATUSES,
        "assignee_id": AGENTS | st.none(),
        "group_id": st.sampled_from([30, 31, None]),
        "priority": st.sampled_from(["low", "high"]),
        "comment": comments,
        "requester_id": USERS,
    },
)


@st.composite
def imports(draw: st.DrawFn) -> dict[str, Any]:
    """A ticket with comments in any order of time."""
    moments = draw(st.lists(st.integers(-90_000, 100), min_size=1, max_size=4))
    return {
        **draw(changes),
        "comment": None,
        "requester_id": draw(USERS),
        "created_at": wire(NOON - 100_000),
        "comments": [{**draw(comments), "created_at": wire(NOON + moment)} for moment in moments],
    }


@st.composite
def loaded_audits(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Audits from elsewhere, with ids as text as on the wire, with or without the one of the creation."""
    values = st.fixed_dictionaries(
        {}, optional={"status": STATUSES, "group_id": st.sampled_from(["30", None, 31]), "assignee_id": st.just("20")}
    )
    audits = []
    for number in range(draw(st.integers(1, 4))):
        kind = "Create" if number == 0 and draw(st.booleans()) else "Change"
        events: list[dict[str, Any]] = [
            {"id": 0, "type": kind, "field_name": name, "value": value} for name, value in draw(values).items()
        ]
        if draw(st.booleans()):
            events.insert(0, {"id": 0, "type": "Comment", "public": draw(st.booleans()), "body": "x"})
        author_id = draw(USERS | st.none())
        second = NOON - 50_000 + draw(st.integers(0, 40_000))
        audits.append(
            {
                "id": 1000 * (number + 1),
                "ticket_id": TICKET,
                "created_at": wire(second),
                "author_id": author_id,
                "events": events,
            }
        )
    return audits


beginnings = st.one_of(
    st.tuples(st.just("create"), changes),
    st.tuples(st.just("import"), imports()),
    st.tuples(st.just("load"), st.none()),
    st.tuples(st.just("load with audits"), loaded_audits()),
)
steps = st.one_of(
    st.tuples(st.just("update"), changes),
    st.tuples(st.just("update"), changes),
    st.tuples(st.just("comment"), comments),
    st.tuples(st.just("wait"), st.integers(0, 5000)),
    st.tuples(st.sampled_from(["delete", "restore", "close", "forget"]), st.none()),
    st.tuples(st.just("load audit"), st.integers(0, 1)),
)


@dataclass
class History:
    """One ticket, and what its metrics must be."""

    office: Office = field(default_factory=Office)
    expected: dict[str, Any] | None = None
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    def do(self, name: str, argument: Any) -> None:
        audits, requester_id = len(self.audits()), self.requester_id()
        try:
            getattr(self, f"do_{name.replace(' ', '_')}")(argument)
        except (RecordInvalid, RecordNotFound):
            assert len(self.audits()) == audits
        if len(self.audits()) != audits and not name.startswith("load"):
            self.count(requester_id if requester_id is not None else self.requester_id())
        self.check()

    def count(self, requester_id: int | None) -> None:
        """A write with an audit counts all that are there, and adds the events that are not."""
        self.expected = recount(self.audits(), requester_id) or self.expected
        for event in recounted_events(self.audits(), requester_id):
            self.events.setdefault(event["type"], event)

    def check(self) -> None:
        metric_set = self.office.record("ticket_metrics", TICKET)
        if metric_set is not None:
            metric_set = {key: value for key, value in metric_set.items() if key not in ("url", "id", "ticket_id")}
        assert metric_set == self.expected
        events = map(msgspec.json.decode, self.office.of_ticket("ticket_metric_events", TICKET))
        stored = {e["type"]: {key: value for key, value in e.items() if key not in ("id", "ticket_id")} for e in events}
        assert stored == self.events

    def audits(self) -> list[bytes]:
        return self.office.of_ticket("audits", TICKET)

    def requester_id(self) -> int | None:
        body = self.office.write(lambda write: write.find_tickets([TICKET])).get(TICKET)
        return None if body is None else msgspec.json.decode(body)["requester_id"]

    def do_create(self, values: dict[str, Any]) -> None:
        ticket = NEW_TICKET.convert({"comment": {"body": "x"}, **values})
        self.office.tickets(lambda tickets: tickets.create(ticket))

    def do_import(self, values: dict[str, Any]) -> None:
        ticket = IMPORTED_TICKET.convert(values)
        self.office.tickets(lambda tickets: tickets.import_ticket(ticket))

    def do_load(self, _: None) -> None:
        self.office.load("tickets", {"id": TICKET, "requester_id": 10, "status": "open", "group_id": 30})

    def do_load_with_audits(self, audits: list[dict[str, Any]]) -> None:
        self.do_load(None)
        self.office.load("audits", *audits)

    def do_update(self, values: dict[str, Any]) -> None:
        change = TICKET_CHANGE.convert(values)
        self.office.tickets(lambda tickets: tickets.update(TICKET, change))

    def do_comment(self, comment: dict[str, Any]) -> None:
        self.do_update({"comment": comment})

    def do_wait(self, seconds: int) -> None:
        self.office.now += seconds

    def do_delete(self, _: None) -> None:
        self.office.tickets(lambda tickets: tickets.delete(TICKET))

    def do_restore(self, _: None) -> None:
        self.office.tickets(lambda tickets: tickets.restore(TICKET))

    def do_close(self, _: None) -> None:
        self.office.tickets(lambda tickets: tickets.close(TICKET))

    def do_forget(self, _: None) -> None:
        """As an older release leaves a metric set, which stores no state with it."""
        metric_set = self.office.record("ticket_metrics", TICKET)
        if metric_set is not None:
            self.office.load("ticket_metrics", metric_set)

    def do_load_audit(self, before: int) -> None:
        """An audit from elsewhere, behind those that are there or among them."""
        ids = [msgspec.json.decode(body)["id"] for body in self.audits()] or [1000]
        among = next(id for id in range(ids[0] + 1, ids[0] + 1000) if id not in ids)  # a new one, and no replacement
        id = among if before else ids[-1] + 1000
        event = {"id": 0, "type": "Change", "field_name": "status", "value": "pending"}
        audit = {"id": id, "ticket_id": TICKET, "author_id": 20, "created_at": wire(self.office.now), "events": [event]}
        self.office.load("audits", audit)


@settings(max_examples=100, deadline=None)
@given(beginning=beginnings, history=st.lists(steps, max_size=12))
@example(
    beginning=("create", {}), history=[("update", {"requester_id": 20}), ("comment", {"body": "x", "author_id": 10})]
)
def test_as_if_counted_anew(beginning: Step, history: list[Step]) -> None:
    """After each write the metric set and the metric events are those that all audits together give."""
    ticket = History()
    for name, argument in (beginning, *history):
        ticket.do(name, argument)


def test_an_audit_that_was_loaded_is_counted() -> None:
    """Behind those that are there or among them, by the next write."""
    for before in (0, 1):
        ticket = History()
        ticket.do("create", {})
        ticket.do("wait", 3600)
        ticket.do("load audit", before)
        ticket.do("wait", 3600)
        ticket.do("update", {"priority": "low"})


@pytest.mark.parametrize("state", [b"", b"\xff", msgspec.msgpack.encode(["a", 1]), msgspec.msgpack.encode([1, [], []])])
def test_a_state_of_another_form(state: bytes) -> None:
    """It is as if there were none: the audits are counted, and the state is stored in today's form."""
    ticket = History()
    ticket.do("create", {})

    def replace(write: WriteTransaction) -> None:
        body = write.find_records("ticket_metrics", [TICKET])[TICKET]
        draft = parse_record("ticket_metrics", body, account="acme", now=ticket.office.now)
        write.put_records([draft._replace(metric_state=state)])

    ticket.office.write(replace)
    ticket.do("update", {"status": "pending"})
    data, audits = ticket.office.write(lambda write: write.find_metric_state(TICKET))
    assert (audits, data is None, data == state) == (2, False, False)
