"""Tickets: bytes in, bytes out, all keys in the order of the wire, and bad input always a BadRecord."""

import json
import re
from array import array
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import BROKEN_JSON, TICKET_KEYS, json_values, keys, short, texts
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.records import split_record
from ticketfeed.protocol.tickets import FUTURE_SECONDS_MAX, TicketDraft, make_ticket, parse_ticket

NOW = 1_700_000_000
NOW_TEXT = "2023-11-14T22:13:20Z"

ids = st.integers(1, INT64_MAX)
id_lists = st.lists(ids, max_size=4)
times = st.datetimes(allow_imaginary=False).map(lambda time: time.isoformat(timespec="seconds") + "Z")
past_times = times.filter(lambda text: text < "2023-11")
field_lists = st.lists(st.fixed_dictionaries({"id": ids}, optional={"value": json_values}), max_size=4)
typed = st.fixed_dictionaries(
    {"id": ids},
    optional={
        "url": texts,
        "external_id": texts.filter(lambda text: "\0" not in text) | st.none(),
        "via": st.dictionaries(keys, json_values, max_size=3),
        "created_at": past_times,
        "updated_at": past_times,
        "generated_timestamp": st.integers(0, NOW + FUTURE_SECONDS_MAX),
        "type": st.sampled_from(["problem", "incident", "question", "task", None]),
        "subject": texts | st.none(),
        "raw_subject": texts | st.none(),
        "description": texts | st.none(),
        "priority": st.sampled_from(["urgent", "high", "normal", "low", None]),
        "status": st.sampled_from(["new", "open", "pending", "hold", "solved", "closed", "deleted"]),
        "requester_id": ids | st.none(),
        "assignee_id": ids | st.none(),
        "organization_id": ids | st.none(),
        "group_id": ids | st.none(),
        "collaborator_ids": id_lists,
        "follower_ids": id_lists,
        "email_cc_ids": id_lists,
        "due_at": times | st.none(),
        "has_incidents": st.booleans(),
        "tags": st.lists(texts, max_size=4),
        "custom_fields": field_lists,
        "fields": field_lists,
        "support_type": st.sampled_from(["agent", "ai_agent", None]),
        "satisfaction_rating": json_values,
        "recipient": json_values,
    },
)
free = st.dictionaries(keys.filter(lambda key: key not in TICKET_KEYS), json_values, max_size=4)


def parse(**values: Any) -> TicketDraft:
    return parse_ticket(msgspec.json.encode({"id": 7, **values}), account="acme", now=NOW)


def raw_values(body: bytes) -> dict[str, bytes]:
    split = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return {key: bytes(value) for key, value in split.items()}


@given(typed, free, st.integers(0, 999), st.booleans())
def test_values_come_back_byte_for_byte(
    given_typed: dict[str, Any], given_free: dict[str, Any], seed: int, ascii_only: bool
) -> None:
    """Every value of the input stands in the body with the bytes it had, in wire order, unknown keys behind."""
    order = sorted(given_typed)
    Random(seed).shuffle(order)
    record = {key: given_typed[key] for key in order} | given_free
    data = json.dumps(record, ensure_ascii=ascii_only, separators=(" , ", ": ")).encode()
    draft = parse_ticket(data, account="acme", now=NOW)
    body = draft.body(1234)
    given_values, values = raw_values(data), raw_values(body)
    given_values.pop("generated_timestamp", None)
    assert {key: values[key] for key in given_values} == given_values
    assert list(json.loads(body)) == [*TICKET_KEYS, *given_free]
    assert json.loads(body)["generated_timestamp"] == 1234
    assert not record.get("generated_timestamp") or draft.generated_timestamp == record["generated_timestamp"]


def test_minimal_input() -> None:
    """An id alone makes a whole ticket: every key there, null or empty or the wire's default."""
    defaults = dict.fromkeys(TICKET_KEYS) | {
        "url": "https://acme.zendesk.com/api/v2/tickets/7.json",
        "id": 7,
        "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": "2023-11-14T22:13:20Z",
        "updated_at": "2023-11-14T22:13:20Z",
        "generated_timestamp": 99,
        "status": "new",
        "has_incidents": False,
        "is_public": True,
        "allow_channelback": False,
        "allow_attachments": True,
        "from_messaging_channel": False,
        **{key: [] for key in ("collaborator_ids", "follower_ids", "email_cc_ids", "tags", "custom_fields", "fields")},
        "sharing_agreement_ids": [],
        "followup_ids": [],
    }
    ticket = json.loads(parse().body(99))
    encoded_id = ticket.pop("encoded_id")
    assert list(json.loads(parse().body(99))) == TICKET_KEYS
    assert ticket == {key: value for key, value in defaults.items() if key != "encoded_id"}
    assert re.fullmatch(r"[A-Z0-9]{6}-[A-Z0-9]{5}", encoded_id)


def test_encoded_id_is_stable() -> None:
    """A ticket has the same encoded_id each time, another ticket or another account a different one."""
    seen = [
        json.loads(parse_ticket(b'{"id":%d}' % id, account=account, now=now).body(1))["encoded_id"]
        for id, account, now in [(7, "acme", NOW), (7, "acme", 1), (8, "acme", NOW), (7, "other", NOW)]
    ]
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3


DERIVED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"subject": "s"}, {"raw_subject": "s"}),
    ({"subject": "s", "raw_subject": "{{dc.s}}"}, {"raw_subject": "{{dc.s}}"}),
    ({"subject": "s", "raw_subject": None}, {"raw_subject": None}),
    ({"custom_fields": [{"id": 1, "value": "x"}]}, {"fields": [{"id": 1, "value": "x"}]}),
    ({"fields": [{"id": 1, "value": "x"}]}, {"custom_fields": [{"id": 1, "value": "x"}]}),
    ({"fields": [], "custom_fields": [{"id": 1}]}, {"fields": [], "custom_fields": [{"id": 1}]}),
    ({"updated_at": "2020-01-02T03:04:05Z"}, {"created_at": "2020-01-02T03:04:05Z"}),
    ({"created_at": "2020-01-02T03:04:05Z"}, {"updated_at": "2020-01-02T03:04:05Z"}),
    # the wire has one form of a time: other forms in the input are rewritten
    ({"created_at": "2020-01-02T03:04:05.678Z"}, {"created_at": "2020-01-02T03:04:05Z"}),
    ({"updated_at": "2020-01-02 03:04:05+02:00"}, {"updated_at": "2020-01-02T01:04:05Z"}),
    ({"updated_at": "2020-01-02t03:04:05z"}, {"updated_at": "2020-01-02T03:04:05Z"}),
    ({"due_at": "2020-01-02T03:04:05-00:00"}, {"due_at": "2020-01-02T03:04:05Z"}),
    ({"created_at": "0999-01-02T03:04:05+00:00"}, {"created_at": "0999-01-02T03:04:05Z"}),
]


@pytest.mark.parametrize(("values", "expected"), DERIVED)
def test_derived_values(values: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the input leaves out follows from what it says; what it says is kept."""
    ticket = json.loads(parse(**values).body(1))
    assert {key: ticket[key] for key in expected} == expected


GENERATED: list[tuple[dict[str, Any], int]] = [
    ({"generated_timestamp": 5, "updated_at": "2020-01-01T00:00:00Z"}, 5),
    ({"generated_timestamp": 0, "updated_at": "2020-01-01T00:00:00Z"}, 1577836800),
    ({"updated_at": "2020-01-01T00:00:00Z", "created_at": "2019-01-01T00:00:00Z"}, 1577836800),
    ({"created_at": "2019-01-01T00:00:00Z"}, 1546300800),
    ({"updated_at": "1970-01-01T00:00:00Z"}, 0),
    ({"updated_at": "1969-12-31T00:00:00Z"}, 0),
    ({}, NOW),
    ({"generated_timestamp": NOW + FUTURE_SECONDS_MAX}, NOW + FUTURE_SECONDS_MAX),
]


@pytest.mark.parametrize(("values", "second"), GENERATED)
def test_generated_timestamp(values: dict[str, Any], second: int) -> None:
    """A ticket counts as generated when it says (0 says nothing), else when updated, else created, else now."""
    assert parse(**values).generated_timestamp == second


def test_columns() -> None:
    """The draft carries what the store searches by: status, support type, external id, and every link, once."""
    draft = parse(
        status="deleted",
        support_type="ai_agent",
        external_id="x",
        requester_id=30,
        submitter_id=10,
        assignee_id=20,
        collaborator_ids=[10, INT64_MAX],
        follower_ids=[5],
        email_cc_ids=[5, 40],
        group_id=3,
        organization_id=4,
    )
    row = draft.row
    assert (row.id, row.status, row.support_type, row.external_id) == (7, "deleted", "ai_agent", "x")
    assert (row.group_id, row.organization_id) == (3, 4)
    assert list(array("q", row.user_ids)) == [5, 10, 20, 30, 40, INT64_MAX]


VIOLATIONS = [
    ("id", b'0 -1 1.0 1e3 true null "7" [7] 9223372036854775808 ' + b"9" * 5000),
    ("url", b"5 null"),
    ("external_id", rb'"a\u0000b" {}'),
    ("external_id", b"5 {}"),
    ("via", b'null [] "web"'),
    ("created_at", b'null 5 "" "soon" "2020-01-01" "2020-01-01T00:00:00" "2020-02-30T00:00:00Z"'),
    ("updated_at", b'null 5 "" "2020-01-01T24:00:01Z" "10000-01-01T00:00:00Z"'),
    ("due_at", b'5 "tomorrow"'),
    ("generated_timestamp", b'-1 1.5 "5" null 9223372036854775808'),
    ("type", b"1 []"),
    ("subject", b"5 [] {}"),
    ("raw_subject", b"true"),
    ("description", b"5"),
    ("priority", b"1 {}"),
    ("status", rb'null 1 "a\u0000b"'),
    ("requester_id", b'"5" 0 5.0'),
    ("submitter_id", b'"5"'),
    ("assignee_id", b"-5"),
    ("organization_id", b"[]"),
    ("group_id", b'""'),
    ("problem_id", b"false"),
    ("collaborator_ids", b"null 5 [null] [0] {}"),
    ("follower_ids", b'null ["5"]'),
    ("email_cc_ids", b'"a@b.c" ["a@b.c"]'),
    ("has_incidents", b'null 0 "true"'),
    ("is_public", b"null 1"),
    ("tags", b'null "a,b" [1] [null]'),
    ("custom_fields", b'null {} [5] [{}] [{"id":"1"}] [{"id":1,"value":1e999}]'),
    ("fields", b"null {}"),
    ("support_type", rb'1 "a\u0000b"'),
]


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in VIOLATIONS for value in re.findall(rb'(?:"[^"]*"|[^ "])+', values)],
    ids=short,
)
def test_violations_name_the_key(key: str, value: bytes) -> None:
    """A value of the wrong type or range is refused, and the message says where."""
    with pytest.raises(BadRecord, match=rf"\$\.{key}\b"):
        parse_ticket(b'{"id":7,"%s":%s}' % (key.encode(), value), account="acme", now=NOW)


OTHER_BAD_RECORDS: list[tuple[bytes, str]] = [
    (b"{}", "missing required field `id`"),
    (b'{"error":"Couldn\'t authenticate you"}', "missing required field `id`"),
    (b'{"id":7,"generated_timestamp":%d}' % (NOW + FUTURE_SECONDS_MAX + 1), "lies in the future"),
    (b'{"id":7,"updated_at":"2999-01-01T00:00:00Z"}', "lies in the future"),
    (b'{"id":7,"updated_at":"0001-01-01T00:00:00+02:00"}', "outside the years 1 to 9999"),
    (b'{"id":7,"created_at":"9999-12-31T23:59:59-02:00"}', "outside the years 1 to 9999|in the future"),
    (b'{"id":7,"due_at":"9999-12-31T23:59:59-02:00"}', "outside the years 1 to 9999"),
    (b'{"id":7,"subject":"\xff"}', "not UTF-8: invalid start byte at byte 19"),
    (b'{"id":7,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
]


@pytest.mark.parametrize(("data", "message"), OTHER_BAD_RECORDS, ids=short)
def test_bad_records_say_why(data: bytes, message: str) -> None:
    """What cannot be a ticket is refused with the reason."""
    with pytest.raises(BadRecord, match=message):
        parse_ticket(data, account="acme", now=NOW)


@pytest.mark.parametrize("data", BROKEN_JSON, ids=short)
def test_broken_json(data: bytes) -> None:
    """Bytes that are not one JSON object of valid text are refused, wherever the fault stands."""
    with pytest.raises(BadRecord):
        parse_ticket(data, account="acme", now=NOW)


@given(
    st.binary()
    | json_values.map(msgspec.json.encode)
    | st.dictionaries(st.sampled_from(TICKET_KEYS), json_values).map(
        lambda record: msgspec.json.encode({"id": 7} | record)
    )
)
def test_any_bytes_are_a_ticket_or_a_bad_record(data: bytes) -> None:
    """Whatever comes in, either BadRecord goes out or a body of valid JSON with every key."""
    try:
        draft = parse_ticket(data, account="acme", now=NOW)
    except BadRecord:
        return
    assert list(json.loads(draft.body(0)))[: len(TICKET_KEYS)] == TICKET_KEYS


@pytest.mark.parametrize(
    ("data", "key", "value"),
    [
        (b'{"id":1,"id":7}', "id", 7),
        (b'{"id":7,"subject":"a","subject":"b"}', "subject", "b"),
        (b'{"id":7,"x":1,"x":2}', "x", 2),
        (rb'{"id":1,"\u0069d":7}', "id", 7),
        (b'{"id":7,"generated_timestamp":1,"generated_timestamp":2}', "generated_timestamp", 99),
    ],
)
def test_duplicate_keys(data: bytes, key: str, value: object) -> None:
    """Of a key that stands twice the last one counts, and the body has it once."""
    body = parse_ticket(data, account="acme", now=NOW).body(99)
    pairs = json.loads(body, object_pairs_hook=list)
    assert [found for name, found in pairs if name == key] == [value]


@given(st.integers(0, INT64_MAX))
def test_body_holds_its_second(second: int) -> None:
    """The body is valid JSON with whatever second the store writes into its gap."""
    assert json.loads(parse(subject='"generated_timestamp":5').body(second))["generated_timestamp"] == second


@given(typed)
def test_a_written_ticket_is_as_if_it_had_been_loaded(values: dict[str, Any]) -> None:
    """A write makes of values what a load makes of their JSON, byte for byte; also where most stay as stored."""
    values = {"created_at": NOW_TEXT, "updated_at": NOW_TEXT, **values}
    encoded = msgspec.json.encode(values)
    loaded = parse_ticket(encoded, account="acme", now=NOW)
    decoded = msgspec.json.decode(encoded)
    second = loaded.generated_timestamp
    assert make_ticket(decoded, {}, account="acme", generated_timestamp=second).row == loaded.row
    body = loaded.row.body
    again = make_ticket(msgspec.json.decode(body), split_record(body), account="acme", generated_timestamp=NOW)
    assert again.row == loaded.row_at(NOW)


def test_stored_values_stay_byte_for_byte() -> None:
    """A write changes the values that it changes, and no spelling of another."""
    spelled = rb'{"id":7,"subject":"\u00e9\/","custom_fields":[{"id":1,"value":1.50}],"other":1e2,"tags":["a"]}'
    body = parse_ticket(spelled, account="acme", now=NOW).row.body
    stored = split_record(body)
    del stored["tags"]
    values = {**msgspec.json.decode(body), "tags": ["b"]}
    after = make_ticket(values, stored, account="acme", generated_timestamp=NOW).row.body
    assert after == body.replace(b'["a"]', b'["b"]')


@pytest.mark.parametrize("values", [{"id": 0}, {"id": 1, "status": None}, {"id": 1, "tags": [1]}, {}])
def test_a_written_ticket_is_refused_as_a_loaded_one(values: dict[str, Any]) -> None:
    """Values that no load takes make no ticket."""
    with pytest.raises(BadRecord):
        make_ticket(values, {}, account="acme", generated_timestamp=NOW)
