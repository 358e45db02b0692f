"""One input record -> its exact wire bytes, and the few values a store searches by.

Bytes in, bytes out: a value that the input has is kept byte for byte; a missing key is completed; keys come in
wire order, unknown ones behind them. What a client relies on is checked against a declared type first. Only a time
in another form than the wire's (a fraction, an offset) is rewritten, as the wire has one form alone.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from ticketfeed.protocol.errors import BadRecord
from ticketfeed.protocol.model import INT64_MAX
from ticketfeed.protocol.shapes import RECORD_SHAPES

__all__ = [
    "DateTime",
    "Id",
    "RecordDraft",
    "SearchText",
    "decode_as",
    "lay_out",
    "parse_record",
    "split_record",
    "use_wire_times",
    "wire_time",
]

# Text that a store searches by: PostgreSQL keeps no NUL in it.
SearchText = Annotated[str, Meta(pattern=r"^[^\x00]*$")]
Id = Annotated[int, Meta(ge=1, le=INT64_MAX)]
DateTime = Annotated[datetime, Meta(tz=True)]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordDraft:
    """A user, group, organization, ... ready to be stored.

    `updated_timestamp`: `updated_at` in Unix seconds. `email`: lower case, users only.
    """

    kind: str
    id: int
    updated_timestamp: int
    email: str | None
    body: bytes


class _Record(msgspec.Struct):
    id: Id
    created_at: DateTime | UnsetType = UNSET
    updated_at: DateTime | UnsetType = UNSET


class _User(_Record):
    name: str | UnsetType = UNSET
    email: SearchText | None = None
    role: Literal["end-user", "agent", "admin"] | UnsetType = UNSET
    active: bool = True
    suspended: bool = False
    organization_id: Id | None = None


class _Named(_Record):
    name: str | UnsetType = UNSET


_DECODERS: dict[str, msgspec.json.Decoder[_Record]] = {
    kind: msgspec.json.Decoder(_User if kind == "users" else _Named) for kind in RECORD_SHAPES
}
_SPLIT = msgspec.json.Decoder(dict[str, Raw])
_WIRE_TIME = re.compile(rb'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"')


def parse_record(kind: str, data: bytes, *, account: str, now: int) -> RecordDraft:
    """Complete one record of any kind but tickets. Missing times become `now`. Raises BadRecord."""
    values = split_record(data)
    record = decode_as(_DECODERS[kind], data)
    use_wire_times(values, created_at=record.created_at, updated_at=record.updated_at)
    shape = RECORD_SHAPES[kind]
    updated = record.updated_at or record.created_at or datetime.fromtimestamp(now, UTC)
    created = record.created_at or updated
    derived = {
        "url": lambda: encode(f"https://{account}.zendesk.com/api/v2/{kind}/{record.id}.json"),
        "created_at": lambda: encode(wire_time(created)),
        "updated_at": lambda: encode(wire_time(updated)),
    }
    email = record.email.strip().lower() if isinstance(record, _User) and record.email else None
    return RecordDraft(kind, record.id, int(updated.timestamp()), email, lay_out(values, shape, derived))


def split_record(data: bytes) -> dict[str, Raw]:
    """The top-level keys of a JSON object with their values as they stand. Raises BadRecord.

    The decoder checks the syntax of values it leaves alone, but not their text; hence the first line.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord(f"not UTF-8: {error.reason} at byte {error.start}") from None
    return decode_as(_SPLIT, data)


def decode_as(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Decode, with every way in which JSON can be bad told as BadRecord."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise BadRecord(str(error)) from None
    except msgspec.DecodeError as error:
        raise BadRecord(f"not valid JSON: {error}") from None
    except RecursionError:
        raise BadRecord("nested too deeply") from None


def lay_out(
    values: dict[str, Raw], shape: Mapping[str, bytes | None], derived: Mapping[str, Callable[[], bytes]]
) -> bytes:
    """The record's bytes: the shape's keys in order, then the others."""
    parts = []
    for key, default in shape.items():
        value = values.pop(key, None)
        parts.append(b'"%s":%s' % (key.encode(), value if value is not None else default or derived[key]()))
    parts.extend(b"%s:%s" % (encode(key), value) for key, value in values.items())
    return b"{" + b",".join(parts) + b"}"


def use_wire_times(values: dict[str, Raw], **moments: datetime | UnsetType | None) -> None:
    """Rewrite those of the times in `values` that are in another form than the wire's."""
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


encode = msgspec.json.encode
