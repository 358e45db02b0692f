"""The body of a write of a user, group or other record -> the keys to store, with their values.

A declared key (record_types.py) is checked. Any other key of the record's shape is stored as it is sent, and a key
outside the shape is ignored.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw

from ticketfeed.protocol.errors import BadRecord, MalformedRequest, RecordInvalid
from ticketfeed.protocol.record_types import SearchText
from ticketfeed.protocol.records import encode, split_record
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.protocol.resources import RESOURCES, Writes
from ticketfeed.protocol.ticket_rules import split_tags

__all__ = ["WRITES", "RecordChange", "RecordKeys", "parse_create_or_update", "parse_new_record", "parse_record_change"]

# Kind -> how clients write it, for the kinds that they may write.
WRITES: dict[str, Writes] = {kind: row.writes for kind, row in RESOURCES.items() if row.writes is not None}
_DECODERS = {kind: msgspec.json.Decoder(writes.input) for kind, writes in WRITES.items()}
_SERVER_KEYS = {"id", "url", "created_at", "updated_at", "deleted", "deleted_at", "is_deleted"}
# A raw_* key has the text in which placeholders are not replaced yet. There are no placeholders here, so it follows
# the key that it belongs to.
_WRITABLE_KEYS = {
    kind: (RESOURCES[kind].shape.keys() | writes.extra_keys) - _SERVER_KEYS - {writes.deletion.key}
    for kind, writes in WRITES.items()
}
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
# RFC 3696, section 3: 64 characters before the @, 255 behind it.
EMAIL_CHARACTERS_MAX = 320


@dataclass(frozen=True, slots=True)
class RecordChange:
    """What a client sent of a record. `declared`: the keys that have a type. `values`: those to store, as JSON."""

    kind: str
    declared: Any
    sent: dict[str, Raw]
    values: dict[str, Raw]

    def check(self, *, is_new: bool) -> None:
        """Refuse a new record that lacks a required key, and one that is blank. Raises RecordInvalid."""
        for key in WRITES[self.kind].required:
            value = self._value(key)
            if value is None or (value is UNSET and is_new) or (isinstance(value, str) and not value.strip()):
                raise RecordInvalid(**{key: ("cannot be blank", "BlankValue")})
        if getattr(self.declared, "identities", None):
            raise RecordInvalid(identities=("cannot be written with a user here", "InvalidValue"))
        email = getattr(self.declared, "email", None)
        if email and (len(email) > EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(email.strip())):
            raise RecordInvalid(email=(f"{email[:80]} is not properly formatted", "InvalidFormat"))

    def _value(self, key: str) -> Any:
        if hasattr(self.declared, key):
            return getattr(self.declared, key)
        return msgspec.json.decode(self.sent[key]) if key in self.sent else UNSET


class RecordKeys(msgspec.Struct):
    """What names the record that create_or_update may change."""

    id: int | None = None
    email: SearchText | None = None
    external_id: SearchText | int | None = None


_KEYS = msgspec.json.Decoder(RecordKeys)


def parse_new_record(kind: str, data: bytes) -> RecordChange:
    """Raises RecordInvalid, MalformedRequest."""
    change = _parse(kind, data)
    change.check(is_new=True)
    return change


def parse_record_change(kind: str, data: bytes) -> RecordChange:
    """Raises RecordInvalid, MalformedRequest."""
    change = _parse(kind, data)
    change.check(is_new=False)
    return change


def parse_create_or_update(kind: str, data: bytes) -> tuple[RecordKeys, RecordChange]:
    """A record that is new or not; whoever knows checks it. Raises RecordInvalid, MalformedRequest."""
    return decode_input(_KEYS, data), _parse(kind, data)


def _parse(kind: str, data: bytes) -> RecordChange:
    declared: Any = decode_input(_DECODERS[kind], data)
    try:
        sent = split_record(data)
    except BadRecord as error:  # the text of keys that are ignored must be valid, too
        raise MalformedRequest(f"The body is not valid JSON: {error}") from None
    writable = _WRITABLE_KEYS[kind]
    values = {key: value for key, value in sent.items() if key in writable}
    for key, value in sent.items():
        if f"raw_{key}" in writable:
            values.setdefault(f"raw_{key}", value)
    if "tags" in values:
        values["tags"] = Raw(encode(split_tags(getattr(declared, "tags", ()))))
    if isinstance(number := getattr(declared, "external_id", None), int):
        values["external_id"] = Raw(encode(str(number)))
    return RecordChange(kind, declared, sent, values)
