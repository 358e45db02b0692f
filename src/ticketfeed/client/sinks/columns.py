"""Columns of a stream: the bytes of one JSON record to typed values, and back to the record, value for value.

The documented keys of a stream are its columns, in wire order, and `_extra` is the last one. `_extra` is null, or the
text of a JSON object that holds what the columns cannot give back:

* keys that are not columns, with their values as they came;
* values that do not fit the type of their column (a float for an integer, a number beyond 64 bits, a time in another
  format). The column then has the nearest value of its type, or null; `_extra` has the value as it came;
* `_absent`: the list of documented keys that the record does not have, other than those in `_extra`.

Some keys are documented for some records of a stream only. In their columns null means that the key is absent, and one
that is null is in `_extra`.

A key of a record that is itself called `_absent`, `_extra` or `_record` would be ambiguous: such a record is in
`_extra` as a whole, under `_record`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any

import msgspec

from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.request_body import UNREADABLE
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.shapes import TICKET_SHAPE

__all__ = ["EXTRA", "Column", "Kind", "Row", "Table", "table_of"]

EXTRA = "_extra"
_ABSENT, _RECORD = "_absent", "_record"
_RESERVED = frozenset({EXTRA, _ABSENT, _RECORD})
_INT64 = 2**63
# Longer digits cannot be a 64-bit integer.
_INT_DIGITS_MAX = 20

Row = list[Any]


class Kind(Enum):
    """The type of a column; numbers are of custom fields only.

    A time is the text of an instant in UTC, `2026-11-28T09:30:00Z`, and JSON is its text.
    """

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"
    INTEGERS = "list of integers"
    TEXTS = "list of texts"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """`optional`: null means that the record does not have the key."""

    name: str
    kind: Kind
    optional: bool = False


class Table:
    """The columns of one stream. `key` is the place of the column that identifies a record."""

    def __init__(self, name: str, columns: Sequence[Column], key: str) -> None:
        self.name = name
        self.columns = (*columns, Column(EXTRA, Kind.JSON))
        self.key = next(place for place, column in enumerate(columns) if column.name == key)
        self._readers = [(column.name, _READERS[column.kind]) for column in columns]
        self._writers = [(column.name, _WRITERS[column.kind]) for column in columns]
        self._optional = frozenset(column.name for column in columns if column.optional)
        self._read_usual = _usual_reader(columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def place(self, name: str) -> int:
        """The place of a column in a row."""
        return self.names.index(name)

    def position(self, row: Sequence[Any]) -> tuple[int, int]:
        """(id, generated_timestamp) of a row; 0 for what its stream does not have."""
        id, second = (row[self.place(name)] if name in self.names else 0 for name in ("id", "generated_timestamp"))
        return int(id or 0), int(second or 0)

    def row(self, record: bytes) -> Row:
        """The values of a record, in the order of the columns. Raises BadInput for what is no JSON object."""
        try:
            return self._read_usual(record) or self._read(_values_of(record, self.name), record)
        except UnicodeDecodeError as error:
            raise BadInput(f"a record of {self.name} is not a JSON object: {error}") from None

    def _read(self, values: dict[str, Any], record: bytes) -> Row:
        row: Row = []
        extra: dict[str, str] = {}
        absent: list[str] = []
        for name, read in self._readers:
            found = values.pop(name, None)
            raw = b"" if found is None else bytes(found)
            if raw == b"null" or found is None:
                row.append(None)
                if (found is None) is not (name in self._optional):
                    if found is None:
                        absent.append(name)
                    else:
                        extra[name] = "null"
                continue
            value, exact = read(raw)
            row.append(value)
            if not exact:
                extra[name] = raw.decode()
        if values.keys() & _RESERVED:
            extra, absent = {_RECORD: record.decode()}, []
        else:
            extra |= {name: bytes(raw).decode() for name, raw in values.items()}
        if absent:
            extra[_ABSENT] = _encode(absent)
        row.append(_object_of(extra) if extra else None)
        return row

    def record(self, row: Sequence[Any]) -> bytes:
        """The record that a row was made of, value for value: its keys in the order of the columns, others behind."""
        extra = {name: bytes(raw).decode() for name, raw in _values_of((row[-1] or "{}").encode(), self.name).items()}
        if _RECORD in extra:
            return extra[_RECORD].encode()
        absent = frozenset(json.loads(extra.pop(_ABSENT, "[]")))
        values: dict[str, str] = {}
        for (name, write), value in zip(self._writers, row, strict=False):
            if name in extra:
                values[name] = extra.pop(name)
            elif name not in absent and not (value is None and name in self._optional):
                values[name] = "null" if value is None else write(value)
        return _object_of(values | extra).encode()


def _usual_reader(columns: Sequence[Column]) -> Callable[[bytes], Row | None]:
    """A function that reads the usual record, with exactly the documented keys and types, in one call; None for others.

    It takes a third of the time that finding out for each value takes.
    """
    fields: list[Any] = []
    for column in columns:
        kind = _USUAL[column.kind]
        fields.append((column.name, kind, None) if column.optional else (column.name, _or_null(kind)))
    struct = msgspec.defstruct("Usual", fields, kw_only=True, forbid_unknown_fields=True, gc=False)
    decode = msgspec.json.Decoder(struct).decode
    times = [place for place, column in enumerate(columns) if column.kind is Kind.TIME]
    nested = [(place, column.optional) for place, column in enumerate(columns) if column.kind is Kind.JSON]

    def read(record: bytes) -> Row | None:
        try:
            row = list(msgspec.structs.astuple(decode(record)))
        except UNREADABLE:
            return None
        for place in times:
            text = row[place]
            if text is not None and not _is_wire_time(text):
                return None
        for place, optional in nested:
            if row[place] is not None:
                text = bytes(row[place]).decode()
                row[place] = None if text == "null" else text
                if optional and text == "null":
                    return None
        row.append(None)
        return row

    return read


def _or_null(kind: Any) -> Any:
    return kind if kind is msgspec.Raw else kind | None


def _values_of(record: bytes, stream: str) -> dict[str, Any]:
    """The JSON text of each value, by key."""
    try:
        return _RAW_VALUES.decode(record)
    except UNREADABLE:
        return _lenient_values(record, stream)


def _lenient_values(record: bytes, stream: str) -> dict[str, Any]:
    """The same by the standard library, which takes unpaired surrogates; msgspec does not."""
    try:
        text = record.decode()
        if not isinstance(json.loads(text), dict):
            raise ValueError("not an object")
        return dict(_members(text))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"a record of {stream} is not a JSON object: {error}") from None


def _members(text: str) -> list[tuple[str, bytes]]:
    """Key and JSON text of each member of an object that is known to be well formed."""
    found: list[tuple[str, bytes]] = []
    scan, skip = json.JSONDecoder().raw_decode, json.decoder.WHITESPACE.match  # type: ignore[attr-defined] # not in the stubs
    at = skip(text, text.index("{") + 1).end()
    while text[at] != "}":
        key, at = scan(text, at)
        at = skip(text, text.index(":", at) + 1).end()
        _, end = scan(text, at)
        found.append((key, text[at:end].encode()))
        at = skip(text, end).end()
        if text[at] == ",":
            at = skip(text, at + 1).end()
    return found


def _object_of(values: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{_encode(name)}:{raw}" for name, raw in values.items()) + "}"


def _encode(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # an unpaired surrogate, in a key
        return json.dumps(value)


# Readers: JSON text, never null -> the value, and whether it represents the text completely.


def _read_integer(raw: bytes) -> tuple[int | None, bool]:
    if len(raw) > _INT_DIGITS_MAX:
        return None, False
    try:
        value = int(raw)
    except ValueError:
        return _nearest_integer(raw), False
    return (value, str(value).encode() == raw) if -_INT64 <= value < _INT64 else (None, False)


def _nearest_integer(raw: bytes) -> int | None:
    number = json.loads(raw) if raw[:1] not in b'"[{' else None
    if isinstance(number, float) and number.is_integer() and -_INT64 <= number < _INT64:
        return int(number)
    return None


def _read_text(raw: bytes) -> tuple[str | None, bool]:
    if raw[:1] != b'"':
        return None, False
    try:
        return _TEXT.decode(raw), True
    except UNREADABLE:
        return json.loads(raw).encode("utf-8", "replace").decode(), False


def _read_boolean(raw: bytes) -> tuple[bool | None, bool]:
    return (raw == b"true", True) if raw in (b"true", b"false") else (None, False)


def _read_time(raw: bytes) -> tuple[str | None, bool]:
    text, _ = _read_text(raw)
    if text is None:
        return None, False
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not UTC:
            instant = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, False
    if _WIRE_TIME.fullmatch(text):
        return text, True
    return instant.isoformat().replace("+00:00", "Z"), False


def _is_wire_time(text: str) -> bool:
    try:
        return _WIRE_TIME.fullmatch(text) is not None and datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def _read_integers(raw: bytes) -> tuple[list[int] | None, bool]:
    try:
        values = _INTEGERS.decode(raw)
    except UNREADABLE:
        return None, False
    return (values, True) if all(-_INT64 <= value < _INT64 for value in values) else (None, False)


def _read_texts(raw: bytes) -> tuple[list[str] | None, bool]:
    try:
        return _TEXTS.decode(raw), True
    except UNREADABLE:
        return None, False


def _read_json(raw: bytes) -> tuple[str, bool]:
    return raw.decode(), True


_WIRE_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z")
_RAW_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_INTEGERS = msgspec.json.Decoder(list[int])

# The types of the usual record, for msgspec.
_INTEGER = Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64 - 1)]
_USUAL: dict[Kind, Any] = {
    Kind.INTEGER: _INTEGER,
    Kind.TEXT: str,
    Kind.BOOLEAN: bool,
    Kind.TIME: str,
    Kind.INTEGERS: list[_INTEGER],
    Kind.TEXTS: list[str],
    Kind.JSON: msgspec.Raw,
}

_READERS: dict[Kind, Callable[[bytes], tuple[Any, bool]]] = {
    Kind.INTEGER: _read_integer,
    Kind.TEXT: _read_text,
    Kind.BOOLEAN: _read_boolean,
    Kind.TIME: _read_time,
    Kind.INTEGERS: _read_integers,
    Kind.TEXTS: _read_texts,
    Kind.JSON: _read_json,
}
_WRITERS: dict[Kind, Callable[[Any], str]] = dict.fromkeys(Kind, _encode) | {Kind.JSON: str}

# Streams whose records are in no table of shapes: their keys in wire order, and an example of each value.
_SHAPES: dict[str, Mapping[str, bytes | None]] = {
    **{kind: resource.shape for kind, resource in RESOURCES.items()},
    "tickets": TICKET_SHAPE,
    "ticket_fields": {**RESOURCES["ticket_fields"].shape, "custom_field_options": b"[]", "system_field_options": b"[]"},
    "ticket_metric_events": {
        **RESOURCES["ticket_metric_events"].shape,
        "deleted": b"false",
        "status": b"{}",
        "sla": b"{}",
        "group_sla": b"{}",
    },
    "ticket_events": dict.fromkeys(
        (
            *("child_events", "id", "ticket_id", "timestamp", "created_at"),
            *("updater_id", "via", "system", "metadata", "event_type"),
        )
    ),
    # A comment as it is in a ticket event, with the members of its event.
    "comments": dict.fromkeys(
        (
            *("id", "ticket_id", "audit_id", "created_at", "type", "author_id", "body", "html_body", "plain_body"),
            *("public", "attachments", "via", "via_reference_id", "event_type", "metadata"),
        )
    ),
    "organization_memberships": dict.fromkeys(
        (
            *("url", "id", "user_id", "organization_id", "default", "created_at"),
            *("organization_name", "updated_at", "view_tickets"),
        )
    ),
    "tags": dict.fromkeys(("name", "count")),
}
# Keys whose kind follows neither from their ending nor from their value when unset.
_KINDS = {
    **dict.fromkeys(("id", "generated_timestamp", "timestamp", "role_type", "reason_code", "count"), Kind.INTEGER),
    **dict.fromkeys(("external_id", "encoded_id"), Kind.TEXT),
    **dict.fromkeys(
        ("shared_phone_number", "two_factor_auth_enabled", "public", "default", "view_tickets"), Kind.BOOLEAN
    ),
    "time": Kind.TIME,
    **dict.fromkeys(("tags", "domain_names"), Kind.TEXTS),
    **dict.fromkeys(
        (
            *("custom_fields", "fields", "satisfaction_rating", "photo", "logo", "suspension_details", "restriction"),
            *("child_events", "via", "system", "metadata", "attachments", "custom_field_options"),
            *("system_field_options",),
        ),
        Kind.JSON,
    ),
}
_KINDS_OF_STREAM = {
    # A part of the metadata of an event, a flag of these.
    ("user_fields", "system"): Kind.BOOLEAN,
    ("organization_fields", "system"): Kind.BOOLEAN,
    # `via` of an event is the spelled name of the channel.
    **dict.fromkeys((("ticket_events", "via"), ("comments", "via")), Kind.TEXT),
}
_OPTIONAL = {
    "ticket_fields": ("custom_field_options", "system_field_options"),
    "ticket_metric_events": ("deleted", "status", "sla", "group_sla"),
    "comments": ("metadata",),
}
_ENDINGS = {"_at": Kind.TIME, "_ids": Kind.INTEGERS, "_id": Kind.INTEGER}


@cache
def table_of(stream: str) -> Table:
    """The columns of a stream. Raises BadInput for a stream that has none."""
    shape = _SHAPES.get(stream)
    if shape is None:
        raise BadInput(f"unknown stream {stream}; known are {', '.join(sorted(_SHAPES))}")
    optional = _OPTIONAL.get(stream, ())
    columns = [Column(name, _kind_of(stream, name, unset), name in optional) for name, unset in shape.items()]
    return Table(stream, columns, "name" if stream == "tags" else "id")


def _kind_of(stream: str, name: str, unset: bytes | None) -> Kind:
    kind = _KINDS_OF_STREAM.get((stream, name)) or _KINDS.get(name)
    if kind is None:
        kind = next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)
    if kind is not None:
        return kind
    if unset in (b"true", b"false"):
        return Kind.BOOLEAN
    if unset == b"0":
        return Kind.INTEGER
    return Kind.JSON if unset is not None and unset[:1] in b"[{" else Kind.TEXT
