"""Rows of a stream for targets with columns: its documented keys, and on demand a column for each custom field.

A custom field becomes `cf_<id>`, of the type of the first value that is not null; a value of another type is in
`cf_<id>__text` as JSON text. The columns are found in the records, so their number grows. They repeat what the column
`custom_fields` holds, which remains authoritative.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ticketfeed.client.sinks.columns import Column, Kind, Row, table_of
from ticketfeed.client.sinks.contract import SinkOptions
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.request_body import UNREADABLE

__all__ = ["LISTS", "Key", "StreamRows", "is_deleted", "lists_as_text"]

Key = int | str
_TICKETS = "tickets"


class _Ticket(msgspec.Struct):
    status: str | None = None


class _Id(msgspec.Struct):
    id: int


class _FieldValue(msgspec.Struct):
    id: int
    value: Any = None


class _FieldRaw(msgspec.Struct):
    id: int
    value: msgspec.Raw


class _Unreadable(str):
    """The JSON text of a value that no type of Python holds, as a number beyond a double."""


_STATUS = msgspec.json.Decoder(_Ticket)
_ID = msgspec.json.Decoder(_Id)
_FIELD_VALUES = msgspec.json.Decoder(list[_FieldValue])
_ENTRIES = msgspec.json.Decoder(list[msgspec.Raw])
_FIELD_RAW = msgspec.json.Decoder(_FieldRaw)
_INT64 = 2**63
LISTS = (Kind.INTEGERS, Kind.TEXTS)


def is_deleted(stream: str, record: bytes) -> bool:
    """Whether a record is a deleted ticket."""
    # A text can be escaped; one that is not has these letters.
    if stream != _TICKETS or not (b"deleted" in record or b"\\u" in record):
        return False
    try:
        return _STATUS.decode(record).status == "deleted"
    except UNREADABLE:
        table = table_of(stream)
        return bool(table.row(record)[table.place("status")] == "deleted")


class StreamRows:
    """`columns` are those of the table and, behind them, those of custom fields found so far."""

    def __init__(self, stream: str, options: SinkOptions, fields: Mapping[str, str] | None = None) -> None:
        self.stream = stream
        self.table = table_of(stream)
        self.columns = list(self.table.columns)
        self._exclude_deleted = options.exclude_deleted and stream == _TICKETS
        self._status = self.table.place("status") if stream == _TICKETS else -1
        self._source: int | None = None
        self._places: dict[str, int] = {}
        if options.custom_fields == "columns" and stream == _TICKETS:
            self._source = self.table.place("custom_fields")
            for name, kind in (fields or {}).items():
                self._add(name, Kind(kind))

    @property
    def fields(self) -> dict[str, str]:
        """The columns of custom fields and their kinds, stored for the next run."""
        return {column.name: column.kind.value for column in self.columns[len(self.table.columns) :]}

    @property
    def is_tickets(self) -> bool:
        return self.stream == _TICKETS

    @property
    def key(self) -> Column:
        return self.table.columns[self.table.key]

    def key_of(self, record: bytes) -> Key:
        """What identifies a record. Raises BadInput where it has no such value."""
        if self.key.name == "id":
            try:
                id = _ID.decode(record).id
                if -_INT64 <= id < _INT64:
                    return id
            except UNREADABLE:
                pass
        return self._key_in(self.table.row(record))

    def _key_in(self, row: Row) -> Key:
        key: Key | None = row[self.table.key]
        if key is None:
            raise BadInput(f"a record of {self.stream} has no usable {self.key.name}")
        return key

    def rows(self, records: Iterable[bytes]) -> list[Row]:
        """A row for each record, all of the same length."""
        rows = [self._row(record) for record in records]
        if self._places:
            for row in rows:
                row.extend([None] * (len(self.columns) - len(row)))
        return rows

    def latest(self, records: Iterable[bytes]) -> dict[Key, Row | None]:
        """The last row of each key, in the order of the records; None for one that must not be in the target."""
        latest: dict[Key, Row | None] = {}
        for row in self.rows(records):
            key = self._key_in(row)
            latest.pop(key, None)
            latest[key] = None if self._exclude_deleted and row[self._status] == "deleted" else row
        return latest

    def _row(self, record: bytes) -> Row:
        row = self.table.row(record)
        if self._source is not None and row[self._source]:
            found = self._field_values(row[self._source])
            row.extend(found.get(column.name) for column in self.columns[len(row) :])
        return row

    def _field_values(self, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in _entries_of(text):
            if field.value is None:
                continue
            name, kind = f"cf_{field.id}", _kind_of(field.value)
            if name not in self._places:
                self._add(name, kind)
            if self.columns[self._places[name]].kind is kind:
                found[name] = field.value if kind is not Kind.JSON else _text(field.value)
            else:
                other = f"{name}__text"
                if other not in self._places:
                    self._add(other, Kind.TEXT)
                found[other] = _text(field.value)
        return found

    def _add(self, name: str, kind: Kind) -> None:
        self._places[name] = len(self.columns)
        self.columns.append(Column(name, kind))


def lists_as_text(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[Row]:
    """Rows for what has no lists: they become JSON text, in place."""
    lists = [place for place, column in enumerate(columns) if column.kind in LISTS]
    for row in rows:
        for place in lists:
            if row[place] is not None:
                row[place] = _text(row[place])
        yield row


def _entries_of(text: str) -> list[_FieldValue]:
    """The entries of `custom_fields`; what is no entry is left out."""
    try:
        return _FIELD_VALUES.decode(text)
    except UNREADABLE:
        found = []
    with contextlib.suppress(*UNREADABLE):
        for entry in _ENTRIES.decode(text):
            with contextlib.suppress(*UNREADABLE):
                raw = _FIELD_RAW.decode(entry)
                found.append(_FieldValue(raw.id, _value_of(bytes(raw.value))))
    return found


def _value_of(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return _Unreadable(raw.decode())


def _kind_of(value: Any) -> Kind:
    match value:
        case _Unreadable():
            return Kind.JSON
        case bool():
            return Kind.BOOLEAN
        case int() if -_INT64 <= value < _INT64:
            return Kind.INTEGER
        case float():
            return Kind.NUMBER
        case str():
            return Kind.TEXT
        case list() if all(isinstance(item, str) for item in value):
            return Kind.TEXTS
        case _:
            return Kind.JSON


def _text(value: Any) -> str:
    return value if isinstance(value, _Unreadable) else msgspec.json.encode(value).decode()
