"""Columns of a record: what goes in comes out, value for value."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client.traps import TRAPS, plain_ticket
from ticketfeed.client.sinks.columns import Kind, _values_of, table_of
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.resources import RESOURCES

TICKETS = table_of("tickets")

numbers = st.one_of(
    st.integers(),
    st.integers(-(2**63) - 2, 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 2.0**53, 1e300]),
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=[])),
    st.sampled_from(["", "null", "2026-11-28T09:30:00Z", "2026-02-30T09:30:00Z", "2026-W01-1T00:00:00Z", '"', "\x00"]),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from(TICKETS.names), st.sampled_from(["_absent", "_record", "_extra"]), texts)


def alike(one: Any, other: Any) -> bool:
    """Equality of JSON values that tells 1 from 1.0 and from true, and 0.0 from -0.0."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(alike, one, other))
    same = type(one) is type(other) and one == other
    return same and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))


@given(st.dictionaries(keys, values), st.booleans())
def test_any_object_comes_back(value: dict[str, Any], spaced: bool) -> None:
    """Whatever the record, the columns give back each of its keys and values."""
    record = json.dumps(value, indent=1 if spaced else None, ensure_ascii=True).encode()
    again = TICKETS.record(TICKETS.row(record))
    assert alike(json.loads(again), value), again


@given(st.sampled_from(["ticket_fields", "ticket_metric_events", "comments", "tags"]), st.data())
def test_any_object_of_other_streams_comes_back(stream: str, data: st.DataObject) -> None:
    """The same where some keys are optional: null, absent and set are told apart."""
    table = table_of(stream)
    value = data.draw(st.dictionaries(st.sampled_from(table.names), values))
    again = table.record(table.row(json.dumps(value).encode()))
    assert alike(json.loads(again), value), again


usual = {
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.TEXT: texts,
    Kind.BOOLEAN: st.booleans(),
    Kind.TIME: st.one_of(texts, st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0"))),
    Kind.INTEGERS: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    Kind.TEXTS: st.lists(texts, max_size=3),
    Kind.JSON: values,
}


@given(st.sampled_from(["tags", "groups", "ticket_metric_events", "comments"]), st.data())
def test_usual_records_are_read_alike(stream: str, data: st.DataObject) -> None:
    """The quick way for records with the documented keys and types gives the same row as the thorough one."""
    table = table_of(stream)
    value = {
        column.name: data.draw(st.one_of(st.none(), usual[column.kind]) if not column.optional else usual[column.kind])
        for column in table.columns[:-1]
    }
    record = json.dumps(value, separators=(",", ":")).encode()
    quick = table._read_usual(record)
    assert quick is None or quick == table._read(_values_of(record, stream), record)


def test_optional_keys_make_no_extra() -> None:
    """A record without the keys that only some have is in its columns alone."""
    table = table_of("ticket_metric_events")
    record = b'{"id":1,"ticket_id":2,"metric":"m","instance_id":1,"type":"activate","time":"2026-05-28T20:26:40Z"}'
    assert table.row(record)[-1] is None
    assert table.record(table.row(record)) == record


@given(st.dictionaries(st.sampled_from(TICKETS.names[:-1]), values))
def test_a_value_has_the_type_of_its_column(value: dict[str, Any]) -> None:
    """A column holds values of its type alone, or null."""
    types: dict[Kind, Any] = {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.INTEGERS: list, Kind.TEXTS: list}
    for column, cell in zip(TICKETS.columns, TICKETS.row(json.dumps(value).encode()), strict=True):
        assert cell is None or type(cell) is types.get(column.kind, str), column
        if isinstance(cell, str):
            cell.encode()


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_come_back(trap: str) -> None:
    """Each trap comes back from the columns, value for value."""
    for record in TRAPS[trap]:
        again = TICKETS.record(TICKETS.row(record))
        assert alike(json.loads(again), json.loads(record))


def test_a_documented_ticket_has_no_extra() -> None:
    """A ticket with the documented keys and types is in its columns alone, and comes back byte for byte."""
    row = TICKETS.row(plain_ticket(1))
    assert row[-1] is None
    assert TICKETS.record(row) == plain_ticket(1)


def test_numbers_beyond_the_type_come_back_as_written() -> None:
    """A number that no float holds comes back digit for digit."""
    record = b'{"id":1E400,"group_id":123456789012345678901234567890.10,"subject":1.10}'
    again = TICKETS.record(TICKETS.row(record))
    assert b"1E400" in again
    assert b"123456789012345678901234567890.10" in again
    assert b"1.10" in again


def test_every_kind_of_record_has_columns() -> None:
    """Each kind of record that the server has, and the streams beside them, has columns and a key."""
    for stream in (*RESOURCES, "ticket_events", "comments", "organization_memberships", "tags"):
        table = table_of(stream)
        assert table.columns[table.key].name in ("id", "name")


@pytest.mark.parametrize("record", [b"", b"[]", b"1", b"null", b"{", b'{"a":}', b'{"a":"\xff"}', b"[" * 100_000])
def test_no_object_is_refused(record: bytes) -> None:
    """What is no JSON object is refused with one line."""
    with pytest.raises(BadInput, match="a record of tickets is not a JSON object"):
        TICKETS.row(record)
