"""The body of a write of a user, group or other record -> the keys to store, with their values.

A declared key (record_types.py) is checked. Any other key of the record's shape must be null or of the type of its
default, and is stored as it is sent. Any other key is ignored, but for those that are documented and not supported.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ticketfeed.protocol.errors import BadRecord, MalformedRequest, RecordInvalid
from ticketfeed.protocol.record_types import DateTime, Id, SearchText
from ticketfeed.protocol.records import encode, split_record
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.protocol.resources import RESOURCES, Writes
from ticketfeed.protocol.ticket_rules import split_tags

__all__ = ["WRITES", "RecordChange", "RecordKeys", "parse_create_or_update", "parse_new_record", "parse_record_change"]

# Kind -> how clients write it, for the kinds that they may write.
WRITES: dict[str, Writes] = {kind: row.writes for kind, row in RESOURCES.items() if row.writes is not None}
_SERVER_KEYS = {"id", "url", "created_at", "updated_at", "deleted", "deleted_at", "is_deleted"}
# A raw_* key has the text in which placeholders are not replaced yet. There are no placeholders here, so it follows
# the key that it belongs to.
_WRITABLE_KEYS = {
    kind: (RESOURCES[kind].shape.keys() | writes.extra_keys) - _SERVER_KEYS - {writes.deletion.key}
    for kind, writes in WRITES.items()
}
# The types of keys whose default does not tell it; a default of null without a row here is that of a text.
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("ticket_field_ids", "restricted_brand_ids", "ticket_form_ids"), list[Id]),
    **dict.fromkeys(("agent_conditions", "end_user_conditions", "system_field_options"), list[dict[str, Any]]),
    **dict.fromkeys(("photo", "logo", "suspension_details"), dict[str, Any]),
    **dict.fromkeys(("shared_phone_number", "two_factor_auth_enabled"), bool),
    **dict.fromkeys(("custom_role_id", "role_type", "sub_type_id"), int),
    "last_login_at": DateTime,
}


def _input_type(kind: str, writes: Writes) -> Any:
    """What clients send, with a type for each key that they may write."""
    shape = RESOURCES[kind].shape
    keys = sorted(_WRITABLE_KEYS[kind] - set(writes.input.__struct_fields__))
    types = {key: _TYPES.get(key) or _type_of(shape.get(key)) for key in keys}
    fields = [(key, type_ | None | UnsetType, UNSET) for key, type_ in types.items()]
    return msgspec.defstruct(writes.input.__name__, fields, bases=(writes.input,))


def _type_of(default: bytes | None) -> Any:
    value = msgspec.json.decode(default or b"null")
    return str if value is None else type(value)


_DECODERS = {kind: msgspec.json.Decoder(_input_type(kind, writes)) for kind, writes in WRITES.items()}
# Documented keys that this server has nothing for.
_NOT_SUPPORTED = {"users": ("organization_ids", "remote_photo_url")}
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
# RFC 3696, section 3: 64 characters before the @, 255 behind it.
EMAIL_CHARACTERS_MAX = 320


@dataclass(frozen=True, slots=True)
class RecordChange:
    """What a client sent of a record.

    `declared`: the keys that have a type. `values`: those to store, as JSON. `identities`: those sent with a user.
    """

    kind: str
    declared: Any
    sent: dict[str, Raw]
    values: dict[str, Raw]
    identities: "tuple[RecordChange, ...]" = ()

    def check(self, *, is_new: bool) -> None:
        """Refuse a new record that lacks a required key, and one that is blank. Raises RecordInvalid."""
        for key in WRITES[self.kind].required:
            value = self._value(key)
            if value is None or (value is UNSET and is_new) or (isinstance(value, str) and not value.strip()):
                raise RecordInvalid(**{key: ("cannot be blank", "BlankValue")})
        for identity in self.identities:
            try:
                identity.check(is_new=True)
            except RecordInvalid as error:
                raise RecordInvalid(identities=(error.reason(), "InvalidValue")) from None
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
    for key in _NOT_SUPPORTED.get(kind, ()):
        if key in sent:
            raise RecordInvalid(**{key: ("is not supported here", "InvalidValue")})
    writable = _WRITABLE_KEYS[kind]
    values = {key: value for key, value in sent.items() if key in writable}
    for key, value in sent.items():
        if f"raw_{key}" in writable:
            values.setdefault(f"raw_{key}", value)
    if "tags" in values:
        values["tags"] = Raw(encode(split_tags(getattr(declared, "tags", ()))))
    if isinstance(number := getattr(declared, "external_id", None), int):
        values["external_id"] = Raw(encode(str(number)))
    identities = getattr(declared, "identities", None) or ()
    return RecordChange(
        kind, declared, sent, values, tuple(_parse("identities", encode(identity)) for identity in identities)
    )
