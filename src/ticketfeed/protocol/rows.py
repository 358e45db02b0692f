"""The columns of tickets and of records, each set once, in order: what stores write and what they return.

A new column needs three places: here, a migration, and where its value is computed (`tickets.py`, `records.py`). Column
lists of SQL are made from these classes; code reads a column by its name, never by its place.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

__all__ = [
    "BodyRow",
    "ChangeRow",
    "FeedRow",
    "LinkedTicketRow",
    "ListRow",
    "RecordRow",
    "TicketRecordRow",
    "TicketRow",
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
    that an audit or metric event belongs to. `comment_count`: how many comments an audit has. `email`: lower case, of
    users only. `external_id`: of users and organizations. `is_deleted`: 1 if it is no longer listed, else 0.
    `metric_state`: of ticket_metrics, what they are computed from (`ticket_metrics.MetricState`); None if not known.
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


def make_rows(row_type: type[RowT], rows: Iterable[tuple[Any, ...]]) -> list[RowT]:
    """Tuples of an engine as rows of a NamedTuple, for queries whose column lists are made from it.

    Without a Python frame for each row, in two thirds of the time that `_make` takes: 0.08 ms for a page of 1000.
    """
    return list(map(partial(tuple.__new__, row_type), rows))
