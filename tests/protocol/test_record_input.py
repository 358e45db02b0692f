"""What clients send of users, groups and the other records: which keys are stored, and what is refused."""

from typing import Any

import msgspec
import pytest

from ticketfeed.protocol.errors import MalformedRequest, RecordInvalid
from ticketfeed.protocol.record_input import WRITES, parse_create_or_update, parse_new_record, parse_record_change

STORED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("users", {"name": "Ann"}, {"name": "Ann"}),
    ("users", {"name": "Ann", "id": 7, "url": "x", "active": False, "unknown": 1}, {"name": "Ann"}),
    ("users", {"name": "Ann", "alias": "A", "moderator": None}, {"name": "Ann", "alias": "A", "moderator": None}),
    ("users", {"name": "Ann", "tags": "B, a"}, {"name": "Ann", "tags": ["a", "b"]}),
    ("users", {"name": "Ann", "external_id": 7}, {"name": "Ann", "external_id": "7"}),
    ("organizations", {"name": "ACME", "created_at": 1, "deleted_at": 1}, {"name": "ACME"}),
    ("ticket_fields", {"type": "text", "title": "T"}, {"type": "text", "title": "T", "raw_title": "T"}),
    (
        "ticket_fields",
        {"type": "text", "title": "T", "raw_title": "R"},
        {"type": "text", "title": "T", "raw_title": "R"},
    ),
]


@pytest.mark.parametrize(("kind", "sent", "stored"), STORED)
def test_stored_keys(kind: str, sent: dict[str, Any], stored: dict[str, Any]) -> None:
    """Those of the record that clients may write; `raw_` keys follow theirs."""
    values = parse_new_record(kind, msgspec.json.encode(sent)).values
    assert {key: msgspec.json.decode(value) for key, value in values.items()} == stored


# kind, what is sent, the key at fault in a new record, and in a change
REFUSED: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("users", {}, "name", None),
    ("users", {"name": " "}, "name", "name"),
    ("users", {"name": 7}, "name", "name"),
    ("users", {"name": "Ann", "remote_photo_url": "x"}, "remote_photo_url", "remote_photo_url"),
    ("users", {"name": "Ann", "organization_ids": []}, "organization_ids", "organization_ids"),
    ("brands", {"name": "B"}, "subdomain", None),
    ("brands", {"name": "B", "subdomain": None}, "subdomain", "subdomain"),
    ("brands", {"name": "B", "subdomain": ""}, "subdomain", "subdomain"),
    ("group_memberships", {"user_id": 1}, "group_id", None),
    ("ticket_fields", {"title": " "}, "type", "title"),
    ("users", {"name": "X", "alias": {"any": 1}}, "alias", "alias"),
    ("users", {"name": "X", "last_login_at": "yesterday"}, "last_login_at", "last_login_at"),
    ("groups", {"name": "G", "is_public": "yes"}, "is_public", "is_public"),
    ("ticket_fields", {"type": "text", "title": "T", "position": 1.5}, "position", "position"),
    ("ticket_forms", {"name": "F", "ticket_field_ids": ["x"]}, "ticket_field_ids", "ticket_field_ids"),
    ("ticket_forms", {"name": "F", "agent_conditions": [1]}, "agent_conditions", "agent_conditions"),
    ("users", {"name": "X", "email": "nobody"}, "email", "email"),
    ("users", {"name": "X", "email": "a b@example.com"}, "email", "email"),
    ("users", {"name": "X", "email": "a" * 309 + "@example.com"}, "email", "email"),
]


@pytest.mark.parametrize(("kind", "sent", "new", "changed"), REFUSED)
def test_refused(kind: str, sent: dict[str, Any], new: str, changed: str | None) -> None:
    """A new record needs its required keys; a change needs none, and may blank none."""
    data = msgspec.json.encode(sent)
    with pytest.raises(RecordInvalid) as raised:
        parse_new_record(kind, data)
    assert list(raised.value.details) == [new]
    if changed is None:
        parse_record_change(kind, data)
        return
    with pytest.raises(RecordInvalid) as raised:
        parse_record_change(kind, data)
    assert list(raised.value.details) == [changed]


def test_email_at_the_limit() -> None:
    """320 characters are an email."""
    email = "a" * 308 + "@example.com"
    assert len(email) == 320
    assert parse_new_record("users", msgspec.json.encode({"name": "X", "email": email})).declared.email == email


@pytest.mark.parametrize("data", [b"{", b'{"unknown":"\xff"}', b""])
def test_bad_json(data: bytes) -> None:
    """Also in a key that is ignored."""
    with pytest.raises(MalformedRequest):
        parse_new_record("users", data)


def test_create_or_update() -> None:
    """By what a record can be found, beside its values; whether it lacks a key depends on whether it is new."""
    keys, record = parse_create_or_update("users", b'{"id":7,"email":"a@example.com","external_id":9}')
    assert (keys.id, keys.email, keys.external_id) == (7, "a@example.com", 9)
    record.check(is_new=False)
    with pytest.raises(RecordInvalid):
        record.check(is_new=True)
    with pytest.raises(RecordInvalid):
        parse_create_or_update("users", b'{"id":"x"}')


# What a new record of each kind needs, written from the facts of the wire.
NEEDED: dict[str, dict[str, Any]] = {
    "users": {"name": "Ann"},
    "organizations": {"name": "ACME"},
    "groups": {"name": "Support"},
    "group_memberships": {"user_id": 1, "group_id": 2},
    "organization_memberships": {"user_id": 1, "organization_id": 2},
    "identities": {"type": "email", "value": "x@example.com"},
    "ticket_fields": {"type": "text", "title": "Colour"},
    "ticket_forms": {"name": "Returns"},
    "brands": {"name": "Acme", "subdomain": "acme"},
    "custom_statuses": {"status_category": "open", "agent_label": "Waiting"},
}

ENUMERATIONS = {("custom_statuses", "status_category"), ("identities", "type")}


def written(kind: str, values: Any, *, is_new: bool = True) -> dict[str, Any]:
    parse = parse_new_record if is_new else parse_record_change
    return {key: msgspec.json.decode(value) for key, value in parse(kind, msgspec.json.encode(values)).values.items()}


def test_every_written_kind_is_here() -> None:
    """The table below has each kind that clients may write."""
    assert set(NEEDED) == set(WRITES)


@pytest.mark.parametrize("kind", NEEDED)
def test_what_a_new_record_needs(kind: str) -> None:
    """A new record lacks none of its keys, and no write blanks one; a change may leave all of them out."""
    assert written(kind, NEEDED[kind]).items() >= NEEDED[kind].items()
    assert written(kind, {}, is_new=False) == {}
    for key in NEEDED[kind]:
        with pytest.raises(RecordInvalid) as missing:
            written(kind, {other: value for other, value in NEEDED[kind].items() if other != key})
        assert list(missing.value.details) == [key]
        blank = {**NEEDED[kind], key: "  "}
        if isinstance(NEEDED[kind][key], str) and (kind, key) not in ENUMERATIONS:
            for is_new in (True, False):
                with pytest.raises(RecordInvalid):
                    written(kind, blank, is_new=is_new)


@pytest.mark.parametrize("kind", NEEDED)
def test_what_only_the_server_writes(kind: str) -> None:
    """Ids, addresses, times and the mark of deletion are never taken from a client, nor keys that no record has."""
    own = {
        "id": 9,
        "url": "https://example.com",
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-01T00:00:00Z",
        "deleted": True,
        "deleted_at": "2020-01-01T00:00:00Z",
        "is_deleted": True,
        "unheard_of": 1,
    }
    stored = written(kind, {**NEEDED[kind], **own})
    assert not own.keys() & stored.keys()
    assert {key.removeprefix("raw_") for key in stored} <= NEEDED[kind].keys()


@pytest.mark.parametrize(
    ("kind", "sent", "field"),
    [
        ("users", {"email": "no address"}, "email"),
        ("users", {"email": "a@" + "b" * 319}, "email"),
        ("users", {"role": "owner"}, "role"),
        ("users", {"name": "n" * 256}, "name"),
        ("users", {"external_id": "a\0b"}, "external_id"),
        ("users", {"organization_id": 0}, "organization_id"),
        ("users", {"tags": 1}, "tags"),
        ("organizations", {"domain_names": "acme.com"}, "domain_names"),
        ("group_memberships", {"user_id": "1"}, "user_id"),
        ("custom_statuses", {"status_category": "closed"}, "status_category"),
        ("brands", {"active": "yes"}, "active"),
        ("groups", [], "base"),
    ],
)
def test_wrong_types(kind: str, sent: Any, field: str) -> None:
    """A value of the wrong type or form is refused under its key."""
    with pytest.raises(RecordInvalid) as refused:
        written(kind, sent, is_new=False)
    assert list(refused.value.details) == [field]
