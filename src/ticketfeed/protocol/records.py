"""Records that are loaded or written -> their exact wire bytes, and the columns that a store searches by.

Bytes in, bytes out: a value of the input stays byte for byte as it is; a missing key is completed; keys come in the
order of the wire, unknown ones behind them. What clients rely on is checked against a declared type first. Only a time
in another form than the wire's (a fraction, an offset) is rewritten, as the wire has one form alone.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.record_types import (
    COMMENT_TYPES,
    SEARCH_CHARS_MAX,
    AuditRecord,
    OrganizationRecord,
    Record,
    TicketMetricEventRecord,
    TicketRelatedRecord,
    UserRecord,
)
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.stored_records import StoredDecoder

__all__ = [
    "FUTURE_SECONDS_MAX",
    "RecordDraft",
    "check_nesting",
    "decode_as",
    "defaults_of",
    "is_deleted",
    "make_export_user",
    "make_lookup_key",
    "make_record",
    "parse_record",
    "parse_stored",
    "serialize",
    "split_checked",
    "split_record",
    "stored_lookup_key",
    "stored_values",
    "use_wire_times",
    "wire_second",
    "wire_time",
]

T = TypeVar("T")

# A time further ahead of the clock is an error of the input, and no difference between two clocks. Stored, it would
# push all later changes of the account behind it.
FUTURE_SECONDS_MAX = 300


# A record ready to be stored: its row as in an account where records keep their own times.
RecordDraft = RecordRow


_DECODERS: dict[str, msgspec.json.Decoder[Record]] = {
    kind: msgspec.json.Decoder(resource.record) for kind, resource in RESOURCES.items()
}
_STORED = {kind: StoredDecoder(resource.record) for kind, resource in RESOURCES.items()}
_SPLIT = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
# A pair of surrogates counts as one escape; what is left of the others is half of a pair.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|u....|.)")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]..")
_BRACKETS = re.compile(rb"[\[\]{}]")
# Far more than any record has, and far less than decoding can take.
NESTING_MAX = 100
_WIRE_TIME = re.compile(rb'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"')


def defaults_of(shape: Mapping[str, bytes | None]) -> dict[str, Raw | None]:
    """A shape in the form that `serialize` takes."""
    return {key: None if default is None else Raw(default) for key, default in shape.items()}


_DEFAULTS = {kind: defaults_of(resource.shape) for kind, resource in RESOURCES.items()}


def parse_record(
    kind: str, data: bytes, *, account: str, now: int, future_seconds_max: int = FUTURE_SECONDS_MAX
) -> RecordDraft:
    """Complete one record of any kind but tickets. Missing times become `now`. Raises BadRecord.

    `future_seconds_max`: how far its times may lie ahead of `now`.
    """
    values = split_checked(data)
    record = decode_as(_DECODERS[kind], data)
    time = record.time if isinstance(record, TicketMetricEventRecord) else UNSET
    use_wire_times(values, created_at=record.created_at, updated_at=record.updated_at, time=time)
    updated = record.updated_at or record.created_at or time or datetime.fromtimestamp(now, UTC)
    created = record.created_at or updated
    generated = int((time or updated).timestamp())
    if generated > now + future_seconds_max:
        raise BadRecord(f"its time {wire_time(time or updated)} lies in the future")
    derived = {
        "url": lambda: _url(account, kind, record.id, getattr(record, "user_id", None)),
        "created_at": lambda: wire_time(created),
        "updated_at": lambda: wire_time(updated),
    }
    return _draft(kind, record, max(0, generated), serialize(values, _DEFAULTS[kind], derived))


def parse_stored(
    kind: str, data: bytes, *, account: str, now: int, future_seconds_max: int = FUTURE_SECONDS_MAX
) -> RecordDraft:
    """As `parse_record`, for a stored record: what an older release let in and is refused now is left out."""
    options: dict[str, Any] = {"account": account, "now": now, "future_seconds_max": future_seconds_max}
    try:
        return parse_record(kind, data, **options)
    except BadRecord:
        return parse_record(kind, encode(stored_values(_STORED[kind], data)), **options)


def stored_values(decoder: StoredDecoder[Any], data: bytes) -> dict[str, Any]:
    """The keys of a stored record, without what is refused now."""
    values = decoder.mend(data)
    return {key: value for key, value in values.items() if not _is_deeper(encode(value), NESTING_MAX - 1)}


def make_record(kind: str, values: Mapping[str, Any], *, account: str, now: int) -> RecordDraft:
    """Complete a record that a write makes or changes; `values` of keys that stay may be Raw.

    It carries `now` as the time of its update. Raises BadRecord for what could not be loaded either.
    """
    values = {**values, "updated_at": wire_second(now)}
    derived = {
        "url": lambda: _url(account, kind, _decoded(values["id"]), _decoded(values.get("user_id"))),
        "created_at": lambda: wire_second(now),
    }
    body = serialize(values, _DEFAULTS[kind], derived)
    return _draft(kind, decode_as(_DECODERS[kind], body), now, body)


def _decoded(value: Any) -> Any:
    return _ANY.decode(value) if isinstance(value, Raw) else value


def _url(account: str, kind: str, id: int, user_id: object) -> str:
    path = RESOURCES[kind].path.replace("{user_id}", str(user_id))
    return f"https://{account}.zendesk.com/api/v2{path}/{id}.json"


def _draft(kind: str, record: Record, generated_timestamp: int, body: bytes) -> RecordDraft:
    ticket_id = record.ticket_id if isinstance(record, TicketRelatedRecord) else record.id
    return RecordDraft(
        kind,
        ticket_id if kind == "ticket_metrics" else record.id,
        generated_timestamp,
        ticket_id if isinstance(record, TicketRelatedRecord) and kind != "ticket_metrics" else None,
        sum(event.type in COMMENT_TYPES for event in record.events or ()) if isinstance(record, AuditRecord) else None,
        record.email.strip().lower() if isinstance(record, UserRecord) and record.email else None,
        _searchable(record.external_id) if isinstance(record, UserRecord | OrganizationRecord) else None,
        int(_is_deleted(record)),
        body,
        user_id=None if isinstance(record, UserRecord) else getattr(record, "user_id", None),
        organization_id=getattr(record, "organization_id", None),
        lookup_key=_lookup_key(kind, record),
    )


def _lookup_key(kind: str, record: Record) -> str | None:
    if kind == "ticket_metrics":
        return str(record.id)
    if isinstance(record, UserRecord):
        return record.role if record.role in ("agent", "admin") else None
    text = getattr(record, {"organizations": "name", "identities": "value"}.get(kind, ""), None)
    return _searchable(make_lookup_key(text)) if isinstance(text, str) else None


def make_lookup_key(text: str) -> str:
    """What a name or an address is found by: the same in any case, and without NUL, which PostgreSQL's text lacks."""
    return text.replace("\0", "").strip().lower()


def stored_lookup_key(kind: str, body: bytes) -> str | None:
    """The lookup key of a stored record; None for one that cannot be read."""
    try:
        return _lookup_key(kind, _STORED[kind].decode(body))
    except msgspec.MsgspecError:
        return None


# What the body of a deleted record contains, as every body is encoded by `encode`; one of a user may contain none.
_DELETION_MARKS = (b'"deleted":true', b'"is_deleted":true', b'"deleted_at":"')


def is_deleted(kind: str, body: bytes) -> bool:
    """Whether a stored record is marked as deleted, so that it is no longer listed."""
    if kind != "users" and not any(mark in body for mark in _DELETION_MARKS):
        return False  # most of them, without decoding
    return _is_deleted(_STORED[kind].decode(body))


def make_export_user(body: bytes) -> bytes:
    """A user as the exports have it: a deleted one says whether that is for good."""
    if b'"active":false' not in body or not is_deleted("users", body):
        return body
    values = split_record(body)
    values.setdefault("permanently_deleted", Raw(b"false"))
    return encode(values)


def _searchable(text: object) -> str | None:
    """The text, unless no store can search for it: PostgreSQL has no NUL in text."""
    return text if isinstance(text, str) and "\0" not in text and len(text) <= SEARCH_CHARS_MAX else None


def _is_deleted(record: Record) -> bool:
    if isinstance(record, UserRecord):
        return not record.active
    return record.deleted is True or record.is_deleted is True or isinstance(record.deleted_at, str)


def split_record(data: bytes) -> dict[str, Raw]:
    """The keys of a JSON object with their values byte for byte. Raises BadRecord.

    The decoder checks the syntax of values that it does not decode, but not their encoding; hence the first line.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord(f"not UTF-8: {error.reason} at byte {error.start}") from None
    return decode_as(_SPLIT, data)


def split_checked(data: bytes) -> dict[str, Raw]:
    """As `split_record`, for a record that is to be stored: every value in it can be decoded later. Raises BadRecord.

    A key that is not checked against a type may be decoded all the same, when its record is changed or shown.
    """
    values = split_record(data)
    check_nesting(data)
    try:
        _ANY.decode(data)
    except msgspec.ValidationError:
        for key, value in values.items():
            try:
                msgspec.json.decode(value)
            except msgspec.ValidationError as error:
                raise BadRecord(f"{error} - at `$.{key}`") from None
    return values


def check_nesting(data: bytes) -> None:
    """Refuse JSON that is nested too deeply. Raises BadRecord.

    Decoding is recursive and has less room where it is called from more functions.
    """
    if _is_deeper(data, NESTING_MAX):
        deep = [key for key, value in decode_as(_SPLIT, data).items() if _is_deeper(bytes(value), NESTING_MAX - 1)]
        raise BadRecord(f"nested too deeply - at `$.{deep[0]}`")


def _is_deeper(data: bytes, depth_max: int) -> bool:
    if data.count(b"[") + data.count(b"{") <= depth_max:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", data)):
        depth += 1 if bracket in (b"[", b"{") else -1
        if depth > depth_max:
            return True
    return False


def decode_as(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode. Raises BadRecord for JSON that is bad in any way."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadRecord(str(error)) from None
    except msgspec.DecodeError as error:
        problem = "half of a surrogate pair" if _has_half_pair(data) else error
        raise BadRecord(f"not valid JSON: {problem}") from None
    except RecursionError:
        raise BadRecord("nested too deeply") from None


def _has_half_pair(data: bytes) -> bool:
    """Whether a text was cut inside a character, as programs do that count in UTF-16; the decoder's words mislead."""
    escapes = _ESCAPE.findall(data)
    return any(_SURROGATE.fullmatch(escape) for escape in escapes)


def serialize(
    values: Mapping[str, Any], defaults: Mapping[str, Raw | None], derived: Mapping[str, Callable[[], Any]]
) -> bytes:
    """A record as JSON: the keys of its shape in order, then the others.

    A key that `values` lacks has its default; one without a default is derived. A value that is Raw stays as it is.
    """
    complete = {**defaults, **values}
    for key, derive in derived.items():
        if key not in values and key in defaults:
            complete[key] = derive()
    return encode(complete)


def use_wire_times(values: dict[str, Raw], **moments: datetime | UnsetType | None) -> None:
    """Rewrite the times in `values` that are in another form than the wire's."""
    for key, moment in moments.items():
        if moment and not _WIRE_TIME.fullmatch(values[key]):
            values[key] = Raw(encode(wire_time(moment)))


def wire_time(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`, the only form of a time on the wire. Raises BadRecord."""
    try:
        utc = moment.astimezone(UTC)
    except OverflowError:
        raise BadRecord(f"the time {moment.isoformat()} lies outside the years 1 to 9999") from None
    return utc.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


@lru_cache(4096)  # everything that belongs to one change carries the same second
def wire_second(second: int) -> str:
    """A time in Unix seconds, as on the wire."""
    return wire_time(datetime.fromtimestamp(second, UTC))


encode = msgspec.json.encode
