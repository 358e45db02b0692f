"""What a load accepts, every address can serve: odd records of every kind, and no answer of 500."""

import asyncio
import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.server.desk import ADMIN, NOON, Desk
from ticketfeed.data.import_files import read_input
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.load import load_records
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.errors import BadInput, BadRecord
from ticketfeed.protocol.rate_limits import RATE_LIMITS
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.resources import KINDS
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.server.api.call import ApiRoute
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.settings import Settings
from ticketfeed.storage.write_contract import WriteTransaction

TIME = "2023-11-14T10:00:00Z"
VIA = {"channel": "web", "source": {"from": {}, "to": {}, "rel": None}}
COMMENT = {"id": 5, "type": "Comment", "author_id": 3, "body": "b", "public": True, "via": VIA, "attachments": []}
CREATE = {"id": 6, "type": "Create", "field_name": "status", "value": "open"}
CHANGE = {"id": 7, "type": "Change", "field_name": "group_id", "value": "4", "previous_value": None}
# Records as they should be, of which the odd ones are made. All refer to each other by small ids.
SOUND: dict[str, dict[str, Any]] = {
    "tickets": {
        "external_id": "x",
        "via": VIA,
        "created_at": TIME,
        "updated_at": TIME,
        "generated_timestamp": NOON - 500,
        "type": "incident",
        "subject": "s",
        "raw_subject": "s",
        "description": "d",
        "priority": "high",
        "status": "open",
        "recipient": "a@example.com",
        "requester_id": 3,
        "submitter_id": 3,
        "assignee_id": 2,
        "organization_id": 4,
        "group_id": 4,
        "collaborator_ids": [3],
        "follower_ids": [2],
        "email_cc_ids": [3],
        "problem_id": 3,
        "is_public": True,
        "due_at": TIME,
        "tags": ["a"],
        "custom_fields": [{"id": 3, "value": "v"}],
        "satisfaction_rating": {"score": "good"},
        "sharing_agreement_ids": [3],
        "custom_status_id": 3,
        "ticket_form_id": 3,
        "brand_id": 3,
        "support_type": "agent",
        "metric_set": {"id": 9, "ticket_id": 3, "solved_at": TIME},
        "comments": [{"id": 9, "author_id": 3, "body": "b", "public": True, "created_at": TIME}],
    },
    "users": {
        "name": "n",
        "email": "a@example.com",
        "role": "agent",
        "active": True,
        "suspended": False,
        "organization_id": 4,
        "default_group_id": 4,
        "external_id": "x",
        "tags": ["a"],
        "user_fields": {"key": "v"},
        "photo": {"id": 1},
        "created_at": TIME,
        "updated_at": TIME,
    },
    "organizations": {
        "name": "n",
        "external_id": "x",
        "domain_names": ["example.com"],
        "organization_fields": {"key": 1},
        "deleted_at": None,
        "created_at": TIME,
    },
    "group_memberships": {"user_id": 3, "group_id": 4, "default": True},
    "organization_memberships": {"user_id": 3, "organization_id": 4, "default": True, "created_at": TIME},
    "identities": {"user_id": 3, "type": "email", "value": "b@example.com", "primary": False, "verified": True},
    "ticket_fields": {
        "type": "tagger",
        "title": "t",
        "custom_field_options": [{"id": 1, "name": "n", "value": "v"}],
    },
    "macros": {"title": "t", "actions": [{"field": "status", "value": "open"}]},
    "sla_policies": {"title": "t", "filter": {"all": []}, "policy_metrics": [{"target": 60}]},
    "satisfaction_ratings": {"ticket_id": 3, "score": "good", "comment": "c", "created_at": TIME},
    "ticket_metrics": {"ticket_id": 3, "solved_at": TIME, "reply_time_in_minutes": {"calendar": 1}},
    "audits": {
        "ticket_id": 3,
        "created_at": TIME,
        "author_id": 3,
        "metadata": {"system": {}, "custom": {}},
        "events": [COMMENT, CREATE, CHANGE],
        "via": VIA,
    },
    "ticket_metric_events": {
        "ticket_id": 3,
        "metric": "reply_time",
        "instance_id": 1,
        "type": "apply_sla",
        "time": TIME,
        "sla": {"target": 60, "target_in_seconds": 3600, "business_hours": False, "policy": {"id": 1}},
    },
}
for kind in KINDS:
    SOUND.setdefault(kind, {"name": "n", "deleted": False, "active": True, "created_at": TIME, "updated_at": TIME})
MISSING = object()
ODD: list[Any] = [
    *(MISSING, None, "", "7001", "a b", "\0", "x" * 100_000, '"', TIME, "9" * 5000),
    *(0, 1, -1, 2**31, 2**62, 2**63 - 1, 2**63, 10**30, 1.5, 32.0, 1e300, True, False),
    *([], [None], [[]], ["a"], [5], {}, {"a": None}, {"id": 5}, [{}], [{"id": None}], {"type": "Comment"}),
    *(json.loads("[" * 150 + "]" * 150), json.loads("[" * 90 + "]" * 90)),
]
NAMES = (
    "users groups organizations sharing_agreements ticket_forms brands custom_statuses metric_sets dates comment_count "
    "incident_counts slas metric_events comment_events identities"
)
INCLUDE = f"include={NAMES.replace(' ', ',')}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a record can be made odd: each key of it and of what is nested in it."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def with_odd(record: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The record with one value replaced, or left out."""
    changed = json.loads(json.dumps(record))
    place = changed
    for key in path[:-1]:
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return dict(changed)


def load(desk: Desk, kind: str, record: dict[str, Any]) -> bool:
    """Whether the record is accepted. One that is refused is refused by its file and line."""
    problems: list[str] = []
    records = read_input("f", io.BytesIO(json.dumps(record).encode()), kind)
    work = load_records(
        desk.store, desk._account("acme"), records, now=desk.now, on_error="skip", report=problems.append
    )
    with contextlib.suppress(BadInput):  # nothing could be used
        asyncio.run(work)
    assert all(problem.startswith("f, line 1: ") for problem in problems), problems
    return not problems


def new_desk() -> Desk:
    """A desk with one sound record of each kind, and no rate limits."""
    desk = Desk(Settings.of_profile("open", **dict.fromkeys(RATE_LIMITS, 0)))
    for kind, record in SOUND.items():
        assert load(desk, kind, {"id": 3, **record}), kind
    desk.now += 5
    return desk


BODIES: dict[str, Any] = {
    "ticket": {"comment": {"body": "c"}, "status": "pending", "assignee_id": 2, "additional_tags": ["t"]},
    "tickets": [{"id": 3, "subject": "s", "comment": {"body": "c"}}],
    "tags": ["a"],
    "user": {"name": "n", "user_fields": {"other": 1}},
    "organization": {"name": "n2", "organization_fields": {"other": 1}},
    "group_membership": {"user_id": 3, "group_id": 3},
    "organization_membership": {"user_id": 3, "organization_id": 3},
    "identity": {"type": "email", "value": "c@example.com", "primary": True},
}


def targets(route: ApiRoute, ids: Sequence[int]) -> Iterator[str]:
    """The addresses of a route, with the parameters that it knows."""
    query = [INCLUDE] if "include" in route.parameters else []
    query += ["start_time=0"] if "start_time" in route.parameters else []
    query += ["ids=" + ",".join(map(str, ids))] if "ids" in route.parameters else []
    text = f"/api/v2{re.sub(r'{[a-z_]+(:int)?}', '{id}', route.path)}?{'&'.join(query)}"
    if "{id}" not in text:
        yield text
        if "query" in route.parameters:
            yield f"{text}&query=created>2020-01-01"
            yield f"{text}&query=a&filter[type]=user"
        if "name" in route.parameters:
            yield f"{text}&name=nn"
        if "page[size]" in route.parameters:
            yield f"{text}&page[size]=2"
    for id in ids if "{id}" in text else ():
        yield text.replace("{id}", str(id))


def ask_everything(desk: Desk, ids: Sequence[int], context: Any) -> None:
    """Every address that reads, then every one that writes, then those that read once more."""
    reads = [route for route in API_ROUTES if route.method == "GET"]
    writes = [route for route in API_ROUTES if route.method != "GET"]
    writes.sort(key=lambda route: route.method == "DELETE")
    for route in (*reads, *writes, *reads):
        body = {name: BODIES[name] for name in route.body if name in BODIES}
        for target in targets(route, ids):
            answer = ask(desk, route.method, target, json.dumps(body).encode() if body else b"")
            assert answer.status < 500, (context, route.method, target, answer.body)
            if answer.body:
                json.loads(answer.body)
    desk.run_jobs()
    for page in ("", "tickets", "tickets/3"):
        assert desk.ask(f"/_ticketfeed/{page}").status < 500, (context, page)


def ask(desk: Desk, method: str, target: str, body: bytes) -> Answer:
    headers = [("Authorization", ADMIN), ("Content-Type", "application/json")]
    return asyncio.run(call_app(desk.app, target, host="acme.localhost", method=method, headers=headers, body=body))


def check(desk: Desk) -> list[str]:
    found: list[str] = []
    asyncio.run(desk.store.inspect(lambda snapshot: check_store(snapshot, found.append)))
    return found


@st.composite
def odd_records(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """A record of each kind, with one or two values that are not as they should be."""
    records = []
    for kind in KINDS:
        record = {"id": 4, **SOUND[kind]}
        for _ in range(draw(st.integers(1, 2))):
            path = draw(st.sampled_from(list(places(record))))
            record = with_odd(record, path, draw(st.sampled_from(ODD)))
        records.append((kind, record))
    return records


@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))  # an example takes a second
@given(odd_records())
def test_accepted_records_are_served(records: list[tuple[str, dict[str, Any]]]) -> None:
    """A record is refused with its file and line, or every address answers with it, before and after writes."""
    desk = new_desk()
    accepted = [(kind, record) for kind, record in records if load(desk, kind, record)]
    desk.now += 5
    ask_everything(desk, (3, 4), accepted)
    assert check(desk) == []


# Where older releases stored any value, by kind.
UNCHECKED: dict[str, list[tuple[Any, ...]]] = {
    "tickets": [("satisfaction_rating",), ("custom_fields", 0, "value"), ("unknown",)],
    "users": [("default_group_id",), ("user_fields",), ("photo",), ("tags",)],
    "organizations": [("organization_fields",), ("domain_names",)],
    "group_memberships": [("user_id",), ("group_id",), ("default",)],
    "ticket_fields": [("type",), ("custom_field_options",), ("custom_field_options", 0)],
    "macros": [("actions",)],
    "sla_policies": [("filter",), ("policy_metrics",)],
    "satisfaction_ratings": [("score",)],
    "ticket_metrics": [("solved_at",), ("reply_time_in_minutes",)],
    "audits": [
        *(("author_id",), ("via",), ("metadata",)),
        *(("events", number, key) for number in (0, 1, 2) for key in ("id", "field_name", "value", "public", "via")),
    ],
    "ticket_metric_events": [("instance_id",), ("sla",), ("sla", "target")],
}
OLD_ODD = [value for value in ODD if value is not MISSING]


def stored_before(kind: str, path: tuple[Any, ...], value: Any) -> TicketRow | RecordDraft:
    """The row of a record with one odd value, as a release that did not check it has stored it."""
    data = json.dumps({"id": 4, **SOUND[kind], "ticket_id": 3, "unknown": 1}).encode()
    if kind == "tickets":
        row: Any = parse_ticket(data, account="acme", now=NOON).row
    else:
        row = parse_record(kind, data, account="acme", now=NOON)
    body = json.dumps(with_odd(json.loads(row.body), path, value), separators=(",", ":"), ensure_ascii=False)
    return row._replace(body=body.encode())  # type: ignore[no-any-return]


@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))  # an example takes a second
@given(st.data())
def test_what_older_releases_stored_is_served(data: st.DataObject) -> None:
    """A record that a load refuses now is found by the check, with its field, and every address answers with it."""
    desk = new_desk()
    chosen = {
        kind: (data.draw(st.sampled_from(paths)), data.draw(st.sampled_from(OLD_ODD)))
        for kind, paths in UNCHECKED.items()
    }
    rows = {kind: stored_before(kind, *choice) for kind, choice in chosen.items()}
    ticket = rows.pop("tickets")

    def work(write: WriteTransaction) -> None:
        write.put_records([row for row in rows.values() if isinstance(row, RecordRow)])
        second_at = ticket.body.index(b'"generated_timestamp":') + len(b'"generated_timestamp":')
        write.put_tickets([TicketDraft(TicketRow(*ticket), second_at)])

    account = desk._account("acme")
    asyncio.run(desk.store.write(account, work))
    desk.now += 5
    refused = dict[str, tuple[Any, ...]]()
    for kind, row in rows.items():
        try:
            parse_record(kind, row.body, account="acme", now=NOON)
        except BadRecord:
            refused[f"{kind} {row.id}"] = chosen[kind][0]
    problems = check(desk)
    for name, path in refused.items():
        assert any(name in problem and f"$.{path[0]}" in problem for problem in problems), (name, path, problems)
    ask_everything(desk, (3, 4), chosen)


def test_odd_records_are_erased() -> None:
    """Tickets whose records an older release let in odd are deleted for good, and so is a person that they name."""
    desk = new_desk()
    places_of = [
        (kind, path)
        for kind in ("audits", "ticket_metric_events", "satisfaction_ratings", "ticket_metrics")
        for path in [*UNCHECKED[kind], ("created_at",), *([("time",), ("type",)] if "metric" in SOUND[kind] else [])]
    ] + [("tickets", (key,)) for key in SOUND["tickets"] if key != "comments"]
    values = [None, "7001", 10**30, {"a": None}, json.loads("[" * 150 + "]" * 150), -1, ["a"]]
    odd = [(*place, values[(at + step) % 7]) for at, place in enumerate(places_of) for step in (0, 3)]
    odd = [case for case in odd if case[1] not in (("status",), ("generated_timestamp",))]  # columns say them, too
    desk.now += 5

    def work(write: WriteTransaction) -> None:
        for id, (kind, path, value) in enumerate(odd, 1000):
            name = {"subject": "a@example.com", "tags": ["WORD"]}
            data = json.dumps({**SOUND["tickets"], "id": id, "problem_id": None, **name}).encode()
            ticket = parse_ticket(data, account="acme", now=NOON).row
            if kind == "tickets":
                body = json.dumps(with_odd(json.loads(ticket.body), path, value), separators=(",", ":"))
                ticket = ticket._replace(body=body.encode())
            at = ticket.body.index(b'"generated_timestamp":') + len(b'"generated_timestamp":')
            write.put_tickets([TicketDraft(ticket, at)])
            record = {"id": id, **SOUND["audits" if kind == "tickets" else kind], "ticket_id": id, "note": "WORD"}
            row = parse_record(
                "audits" if kind == "tickets" else kind, json.dumps(record).encode(), account="acme", now=NOON
            )
            if kind != "tickets":
                body = json.dumps(with_odd(json.loads(row.body), path, value), separators=(",", ":"))
                row = row._replace(body=body.encode())
            write.put_records([row])

    account = desk._account("acme")
    asyncio.run(desk.store.write(account, work))
    desk.now += 5
    desk.send("DELETE", "/users/3")
    desk.send("DELETE", "/deleted_users/3")
    numbers = range(1000, 1000 + len(odd))
    for begin in range(0, len(numbers), 100):
        named = ",".join(map(str, numbers[begin : begin + 100]))
        desk.send("DELETE", f"/tickets/destroy_many?ids={named}")
        desk.run_jobs()
        id = desk.send("DELETE", f"/deleted_tickets/destroy_many?ids={named}")["job_status"]["id"]
        desk.run_jobs()
        results = desk.send("GET", f"/job_statuses/{id}")["job_status"]["results"]
        failed = [odd[each["index"] + begin] for each in results if not each.get("success")]
        assert failed == []
    for row in asyncio.run(desk.store.read_tickets(account, list(numbers))):
        assert b"WORD" not in row.body
        assert b"a@example.com" not in row.body
    for kind in ("audits", "ticket_metric_events", "satisfaction_ratings", "ticket_metrics"):
        for record in asyncio.run(desk.store.read_records(account, kind, list(numbers))):
            assert b"WORD" not in record.body
