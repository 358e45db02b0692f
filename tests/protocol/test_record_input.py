"""What clients send of users, groups and the other records: which keys are stored, and what is refused."""

from typing import Any

import msgspec
import pytest

from ticketfeed.protocol.errors import MalformedRequest, RecordInvalid
from ticketfeed.protocol.record_input import parse_create_or_update, parse_new_record, parse_record_change

STORED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("users", {"name": "Ann"}, {"name": "Ann"}),
    ("users", {"name": "Ann", "id": 7, "url": "x", "active": False, "unknown": 1}, {"name": "Ann"}),
    ("users", {"name": "Ann", "alias": {"any": 1}}, {"name": "Ann", "alias": {"any": 1}}),
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
    ("brands", {"name": "B"}, "subdomain", None),
    ("brands", {"name": "B", "subdomain": None}, "subdomain", "subdomain"),
    ("brands", {"name": "B", "subdomain": ""}, "subdomain", "subdomain"),
    ("group_memberships", {"user_id": 1}, "group_id", None),
    ("ticket_fields", {"title": " "}, "type", "title"),
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
