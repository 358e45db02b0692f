"""The columns of tickets and of records, each set once, in order: what stores write and what they return.

A new column needs three places: here, a migration, and where its value is computed (`tickets.py`, `records.py`). Column
lists of SQL are made from these classes; code reads a column by its name, never by its place.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, Protocol, TypeVar, overload

__all__ = [
    "BodyRow",
    "ChangeRow",
    "FeedRow",
    "LazyRows",
    "LinkedTicketRow",
    "ListRow",
    "RecordRow",
    "TicketRecordRow",
    "TicketRow",
    "column",
    "columns_of",
    "make_rows",
]


class TicketRow(NamedTuple):
    """A stored ticket. `*_ids` are packed 64-bit integers (`sideloads.pack_ids`).

    `user_ids`: everyone that the ticket points to. `agreement_ids`: its sharing agreements, None for none. `body`: its
    wire bytes, which carry its generated_timestamp; the other columns repeat what is searched or followed.
    """

    generated_timestamp: int
    id: int
    status: str
    support_type: str | None
    external_id: str | None
    user_ids: bytes
    group_id: int | None
    organization_id: int | None
    problem_id: int | None
    ticket_form_id: int | None
    brand_id: int | None
    custom_status_id: int | None
    agreement_ids: bytes | None
    body: bytes


class RecordRow(NamedTuple):
    """A stored user, group, audit and so on.

    `id`: its own, except that ticket_metrics have that of their ticket, which has one set. `generated_timestamp`: when
    it was last updated, or happened, in Unix seconds; in a used account when it was stored. `ticket_id`: the ticket
    that an audit, metric event or satisfaction rating belongs to. `comment_count`: how many comments an audit has.
    `email`: lower case, of users only. `external_id`: of users and organizations. `is_deleted`: 1 if it is no longer
    listed, else 0. `metric_state`: of ticket_metrics, what they are computed from (`ticket_metrics.MetricState`);
    None if not known. `user_id`: whose membership or identity it is. `organization_id`: of users and of organization
    memberships. `lookup_key`: the name of an organization, the value of an identity (`records.make_lookup_key`), the
    role of an agent or admin, the own id of ticket_metrics.
    """

    kind: str
    id: int
    generated_timestamp: int
    ticket_id: int | None
    comment_count: int | None
    email: str | None
    external_id: str | None
    is_deleted: int
    body: bytes
    metric_state: bytes | None = None
    user_id: int | None = None
    organization_id: int | None = None
    lookup_key: str | None = None


class FeedRow(Protocol):
    """What a page is made of: a `ChangeRow` or a `LinkedTicketRow`."""

    @property
    def generated_timestamp(self) -> int: ...
    @property
    def id(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class ChangeRow(NamedTuple):
    """A ticket or a record in its feed."""

    generated_timestamp: int
    id: int
    body: bytes


class LinkedTicketRow(NamedTuple):
    """A ticket in its feed, with the columns that sideloads follow."""

    generated_timestamp: int
    id: int
    body: bytes
    user_ids: bytes
    group_id: int | None
    organization_id: int | None
    agreement_ids: bytes | None
    ticket_form_id: int | None
    brand_id: int | None
    custom_status_id: int | None
    status: str


class ListRow(NamedTuple):
    """An item of a list. `key`: what the list is ordered by, before the id."""

    key: int | str
    id: int
    body: bytes


class BodyRow(NamedTuple):
    """A record that was read by its id."""

    id: int
    body: bytes


class TicketRecordRow(NamedTuple):
    """An audit or metric event that was read by its ticket."""

    ticket_id: int
    id: int
    body: bytes


RowT = TypeVar("RowT", bound=tuple[Any, ...])


class LazyRows(Sequence[RowT]):
    """The rows of a page, whose objects are built only when they are accessed one by one.

    A page of 1000 rows is joined, counted and sliced without them: to build all of them takes 0.1 to 0.2 ms, where
    reading the page takes 0.7. `tuples` may have more columns after those of the class.
    """

    __slots__ = ("_row_type", "_tuples")

    def __init__(self, row_type: type[RowT], tuples: Sequence[tuple[Any, ...]]) -> None:
        self._row_type, self._tuples = row_type, tuples

    def __len__(self) -> int:
        return len(self._tuples)

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyRows[RowT]": ...
    def __getitem__(self, index: int | slice) -> "RowT | LazyRows[RowT]":
        if isinstance(index, slice):
            return LazyRows(self._row_type, self._tuples[index])
        return self._make(self._tuples[index])

    def __iter__(self) -> Iterator[RowT]:
        return map(self._make, self._tuples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of any list

    def column(self, name: str) -> list[Any]:
        """The values of one column."""
        return list(map(itemgetter(columns_of(self._row_type).index(name)), self._tuples))

    def _make(self, values: tuple[Any, ...]) -> RowT:
        row: RowT = tuple.__new__(self._row_type, values[: len(columns_of(self._row_type))])
        return row


def column(rows: Sequence[Any], name: str) -> list[Any]:
    """One column of all rows."""
    return rows.column(name) if isinstance(rows, LazyRows) else list(map(attrgetter(name), rows))


def make_rows(row_type: type[RowT], tuples: Iterable[tuple[Any, ...]]) -> list[RowT]:
    """Tuples of an engine as rows of a NamedTuple, without the Python frame for each that `_make` takes."""
    return list(map(partial(tuple.__new__, row_type), tuples))


def columns_of(row_type: type[Any]) -> tuple[str, ...]:
    """The columns that a NamedTuple or a dataclass names."""
    if is_dataclass(row_type):
        return tuple(field.name for field in fields(row_type))
    return tuple(row_type._fields)
