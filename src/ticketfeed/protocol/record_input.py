"""The body of a write of a user, group or other record -> the keys to store, with their values.

A declared key (record_types.py) is checked. Any other key of the record's shape is stored as it is sent, and a key
outside the shape is ignored.
"""

import re

import msgspec
from msgspec import UNSET, Raw

from ticketfeed.protocol.errors import BadRecord, MalformedRequest, RecordInvalid
from ticketfeed.protocol.records import encode, split_record
from ticketfeed.protocol.request_body import decode_input
from ticketfeed.protocol.resources import RESOURCES, Writes
from ticketfeed.protocol.ticket_rules import split_tags

__all__ = ["WRITES", "check_input"]

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


def check_input(kind: str, data: bytes, *, is_new: bool) -> dict[str, Raw]:
    """The keys that may be written, with their values. Raises RecordInvalid, MalformedRequest."""
    record = decode_input(_DECODERS[kind], data)
    try:
        sent = split_record(data)
    except BadRecord as error:  # the text of keys that are ignored must be valid, too
        raise MalformedRequest(f"The body is not valid JSON: {error}") from None
    _check_required(WRITES[kind].required, sent, is_new=is_new)
    _check_email(getattr(record, "email", None))
    writable = _WRITABLE_KEYS[kind]
    values = {key: value for key, value in sent.items() if key in writable}
    for key, value in sent.items():
        if f"raw_{key}" in writable:
            values.setdefault(f"raw_{key}", value)
    if "tags" in values:
        values["tags"] = Raw(encode(split_tags(getattr(record, "tags", ()))))
    if isinstance(number := getattr(record, "external_id", None), int):
        values["external_id"] = Raw(encode(str(number)))
    return values


def _check_required(required: tuple[str, ...], sent: dict[str, Raw], *, is_new: bool) -> None:
    """A new record has each required key, and a change blanks none."""
    for key in required:
        value = msgspec.json.decode(sent[key]) if key in sent else "" if is_new else UNSET
        if value is None or (isinstance(value, str) and not value.strip()):
            raise RecordInvalid(**{key: ("cannot be blank", "BlankValue")})


def _check_email(email: str | None) -> None:
    if email and (len(email) > EMAIL_CHARACTERS_MAX or not _EMAIL.fullmatch(email.strip())):
        raise RecordInvalid(email=(f"{email[:80]} is not properly formatted", "InvalidFormat"))
