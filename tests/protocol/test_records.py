"""Users, groups and the rest: complete shapes in the order of the wire, values kept as they came."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import BROKEN_JSON, json_values, keys, short
from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.records import RecordDraft, is_deleted, parse_record
from ticketfeed.protocol.resources import KINDS, RESOURCES

NOW = 1_700_000_000

# Written from the facts of the wire, not from the code
KEY_ORDER = {
    "users": (
        "id url name email created_at updated_at time_zone iana_time_zone phone shared_phone_number photo locale_id "
        "locale organization_id role verified external_id tags alias active shared shared_agent last_login_at "
        "two_factor_auth_enabled signature details notes role_type custom_role_id is_billing_admin moderator "
        "ticket_restriction only_private_comments restricted_agent suspended default_group_id report_csv "
        "user_fields suspension_details"
    ),
    "groups": "url id is_public name description default deleted created_at updated_at",
    "organizations": (
        "url id name shared_tickets shared_comments external_id created_at updated_at domain_names details notes "
        "group_id tags organization_fields deleted_at"
    ),
    "ticket_forms": (
        "id raw_name raw_display_name end_user_visible position ticket_field_ids active default in_all_brands "
        "restricted_brand_ids end_user_conditions agent_conditions url name display_name form_type created_at "
        "updated_at deleted_at"
    ),
    "brands": (
        "url id name brand_url subdomain host_mapping has_help_center help_center_state active default is_deleted "
        "logo ticket_form_ids signature_template created_at updated_at"
    ),
    "custom_statuses": (
        "url id status_category agent_label raw_agent_label end_user_label raw_end_user_label description "
        "raw_description end_user_description raw_end_user_description active default created_at updated_at"
    ),
    "sharing_agreements": "id name partner_name remote_subdomain status type created_at updated_at url",
}
ORDER = {kind: KEY_ORDER[kind].split() if kind in KEY_ORDER else list(RESOURCES[kind].shape) for kind in RESOURCES}
CHECKED = {"id", "created_at", "updated_at", "name", "email", "role", "active", "suspended", "organization_id"}
kinds = st.sampled_from(sorted(RESOURCES))
# What a record of these kinds cannot do without.
OF_TICKET = {"ticket_id": 5}
NEEDED: dict[str, dict[str, Any]] = {
    "audits": OF_TICKET,
    "ticket_metrics": OF_TICKET,
    "satisfaction_ratings": OF_TICKET,
    "organization_memberships": {"user_id": 5, "organization_id": 6},
    "identities": {"user_id": 5, "type": "email", "value": "x@example.com"},
    "ticket_metric_events": {
        **OF_TICKET,
        "metric": "reply_time",
        "instance_id": 1,
        "type": "activate",
        "time": "2023-11-14T22:13:20Z",
    },
}
CHECKED |= {"ticket_id", "metric", "instance_id", "type", "time", "events"}
CHECKED |= {"author_id", "via", "metadata", "user_id", "group_id", "default_group_id"}
CHECKED |= {"user_fields", "organization_fields", "default", "value", "primary", "verified"}
PATHS = {"sla_policies": "slas/policies", "identities": "users/5/identities"}


def parse(kind: str, **values: Any) -> RecordDraft:
    return parse_record(kind, msgspec.json.encode({"id": 7, **NEEDED.get(kind, {}), **values}), account="acme", now=NOW)


def test_every_kind_has_a_shape() -> None:
    """All kinds that can be loaded are known, and only tickets have rules of their own."""
    assert set(KINDS) == {"tickets", *RESOURCES}


@pytest.mark.parametrize("kind", RESOURCES)
def test_minimal_input(kind: str) -> None:
    """An id alone, and the ticket's of what belongs to one, makes a whole record, with the wire's keys in order."""
    draft = parse(kind)
    record = json.loads(draft.body)
    assert list(record) == ORDER[kind]
    assert record["id"] == 7
    assert record.get("url") in (None, f"https://acme.zendesk.com/api/v2/{PATHS.get(kind, kind)}/7.json")
    assert {record[key] for key in ("created_at", "updated_at", "time") if key in record} == {"2023-11-14T22:13:20Z"}
    id = 5 if kind == "ticket_metrics" else 7
    assert (draft.kind, draft.id, draft.generated_timestamp, draft.email) == (kind, id, NOW, None)


@given(kinds, st.data(), st.booleans())
def test_values_come_back_byte_for_byte(kind: str, data: st.DataObject, ascii_only: bool) -> None:
    """Every value of the input stands in the body with the bytes it had, in wire order, unknown keys behind."""
    names = st.sampled_from(ORDER[kind]) | keys
    record = data.draw(st.dictionaries(names.filter(lambda name: name not in CHECKED), json_values, max_size=6))
    text = json.dumps(
        {**record, "id": 7, **NEEDED.get(kind, {})}, ensure_ascii=ascii_only, separators=(" ,", " : ")
    ).encode()
    body = parse_record(kind, text, account="acme", now=NOW).body
    asked, got = (msgspec.json.decode(source, type=dict[str, msgspec.Raw]) for source in (text, body))
    assert {key: bytes(got[key]) for key in asked} == {key: bytes(value) for key, value in asked.items()}
    assert list(json.loads(body)) == [*ORDER[kind], *(key for key in record if key not in ORDER[kind])]


TIMES: list[tuple[dict[str, Any], str, str, int]] = [
    (
        {"created_at": "2019-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"},
        "2019-01-01T00:00:00Z",
        "2020-01-01T00:00:00Z",
        1577836800,
    ),
    ({"created_at": "2020-01-01T00:00:00Z"}, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", 1577836800),
    ({"updated_at": "2020-01-01T00:00:00Z"}, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", 1577836800),
    ({"updated_at": "2020-01-01T02:00:00.9+02:00"}, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", 1577836800),
]


@pytest.mark.parametrize("kind", RESOURCES)
@pytest.mark.parametrize(("values", "created_at", "updated_at", "timestamp"), TIMES)
def test_times(kind: str, values: dict[str, Any], created_at: str, updated_at: str, timestamp: int) -> None:
    """A record keeps its own times, in the wire's form; one that is missing is taken from the other."""
    draft = parse(kind, **values)
    record = json.loads(draft.body)
    assert record.get("created_at", created_at) == created_at
    assert record.get("updated_at", updated_at) == updated_at
    assert draft.generated_timestamp == (NOW if kind == "ticket_metric_events" else timestamp)


@pytest.mark.parametrize(
    ("email", "searched"), [(None, None), ("", None), ("a@b.c", "a@b.c"), (" Ann@Example.COM ", "ann@example.com")]
)
def test_email_is_searched_in_lower_case(email: str | None, searched: str | None) -> None:
    """A user is found by email in any case, and shown as it was written; other kinds have none."""
    draft = parse("users", email=email)
    assert draft.email == searched
    assert json.loads(draft.body)["email"] == email
    assert parse("groups", email=email).email is None


VIOLATIONS = [
    ("id", b"0"),
    ("id", b'"7"'),
    ("id", b"9223372036854775808"),
    ("created_at", b"null"),
    ("created_at", b'"yesterday"'),
    ("updated_at", b"5"),
    ("name", b"null"),
    ("name", b"5"),
]
USER_VIOLATIONS = [
    ("email", b"5"),
    ("role", b"5"),
    ("role", b"null"),
    ("active", b"1"),
    ("suspended", b'"no"'),
    ("organization_id", b'"5"'),
]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [(kind, *violation) for kind in RESOURCES if kind not in NEEDED for violation in VIOLATIONS]
    + [("users", *violation) for violation in USER_VIOLATIONS],
)
def test_violations_name_the_key(kind: str, key: str, value: bytes) -> None:
    """A value of the wrong type or range is refused, and the message says where."""
    with pytest.raises(BadRecord, match=rf"\$\.{key}\b"):
        parse_record(kind, b'{"id":7,"%s":%s}' % (key.encode(), value), account="acme", now=NOW)


@pytest.mark.parametrize("data", [*BROKEN_JSON, b"{}", b'{"id":1,"updated_at":"0001-01-01T00:00:00+02:00"}'], ids=short)
def test_broken_json(data: bytes) -> None:
    """Bytes that are not one JSON object of valid text are refused, wherever the fault stands."""
    with pytest.raises(BadRecord):
        parse_record("users", data, account="acme", now=NOW)


@given(kinds, st.binary() | st.dictionaries(st.sampled_from(sorted(CHECKED)), json_values).map(msgspec.json.encode))
def test_any_bytes_are_a_record_or_a_bad_record(kind: str, data: bytes) -> None:
    """Whatever comes in, either BadRecord goes out or a body of valid JSON with every key."""
    try:
        draft = parse_record(kind, data, account="acme", now=NOW)
    except BadRecord:
        return
    assert list(json.loads(draft.body))[: len(ORDER[kind])] == ORDER[kind]


@pytest.mark.parametrize("kind", [kind for kind in NEEDED if "ticket_id" in NEEDED[kind]])
@pytest.mark.parametrize("value", [b"0", b'"5"', b"null"])
def test_what_belongs_to_a_ticket_says_which(kind: str, value: bytes) -> None:
    """An audit, metric set or metric event without the id of its ticket is refused."""
    with pytest.raises(BadRecord, match="ticket_id"):
        parse_record(kind, b'{"id":7,"ticket_id":%s}' % value, account="acme", now=NOW)


def test_columns_of_what_belongs_to_a_ticket() -> None:
    """Audits and metric events are found by their ticket, audits say how many comments they carry, and an event
    happened at its time."""
    audit = parse("audits", events=[{"type": "Comment"}, {"type": "Change"}, {"type": "Comment"}])
    assert (audit.id, audit.ticket_id, audit.comment_count) == (7, 5, 2)
    event = parse("ticket_metric_events", time="2020-01-01T01:00:00+01:00")
    assert (event.id, event.ticket_id, event.comment_count, event.generated_timestamp) == (7, 5, None, 1577836800)
    assert json.loads(event.body)["time"] == "2020-01-01T00:00:00Z"
    metrics = parse("ticket_metrics")
    assert (metrics.id, metrics.ticket_id) == (5, None)


@pytest.mark.parametrize("kind", RESOURCES)
def test_no_record_is_of_the_future(kind: str) -> None:
    """A time beyond what two clocks may differ by is refused: it would stand before all that comes later."""
    key = "time" if kind == "ticket_metric_events" else "updated_at"
    with pytest.raises(BadRecord, match="lies in the future"):
        parse(kind, **{key: "2023-11-14T22:19:00Z"})


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("groups", '{"id":1,"deleted" : true }', True),
        ("groups", '{"id":1,"deleted":false}', False),
        ("groups", '{"id":1,"name":"\\"deleted\\":true","deleted":null}', False),
        ("groups", '{"id":1,"settings":{"deleted":true}}', False),
        ("brands", '{"id":1,"is_deleted":true}', True),
        ("organizations", '{"id":1,"deleted_at":"2026-01-31T00:00:00Z"}', True),
        ("organizations", '{"id":1,"deleted_at":null}', False),
        ("users", '{"id":1,"active":false}', True),
    ],
)
def test_deleted_records(kind: str, data: str, expected: bool) -> None:
    """A record is deleted if the key of its kind says so, and nothing that only looks like it."""
    draft = parse_record(kind, data.encode(), account="acme", now=NOW)
    assert (is_deleted(kind, draft.body), bool(draft.is_deleted)) == (expected, expected)
