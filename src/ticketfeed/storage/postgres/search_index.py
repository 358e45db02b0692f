"""Entries of the search index in PostgreSQL: a tsvector of each, made here, as words are split alike in every store.

The weights A to D tell the fields apart. Places of different fields are never neighbours, so no phrase spans two.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.storage.sql_session import SqlSession

__all__ = ["write_entries"]

# The weight of each field, and the places of its words, with the weight: further apart than a field has words.
_FIELDS = tuple(
    (name, [f"{place}{weight}" for place in range(first, end)])
    for name, weight, first, end in (
        ("title", "A", 1, 1000),
        ("text", "B", 1001, 4000),
        ("notes", "C", 4001, 6000),
        ("other", "D", 6001, 16384),
    )
)


class _EntryRow(NamedTuple):
    """A row of search_entry: of a SearchEntry what are no words, and a tsvector."""

    kind: str
    id: int
    target_id: int
    created_at: int
    updated_at: int | None
    due_at: int | None
    solved_at: int | None
    status: int | None
    priority: int | None
    ticket_type: int | None
    words: str


def write_entries(session: SqlSession, account_id: int, new: Mapping[tuple[str, int], SearchEntry | None]) -> None:
    """Replace the entries of an account by `new`, where None is no entry."""
    gone: dict[str, list[int]] = {}
    rows: list[_EntryRow] = []
    for (kind, id), entry in new.items():
        if entry is None:
            gone.setdefault(kind, []).append(id)
        else:
            rows.append(_EntryRow(*entry[:10], _tsvector(entry)))
    for kind, ids in gone.items():
        session.execute("delete_entries", {"account_id": account_id, "kind": kind, "ids": ids})
    session.put_rows("search_entry", _EntryRow, account_id, rows, ("kind", "id"))


def _tsvector(entry: SearchEntry) -> str:
    """PostgreSQL puts the places of a word together."""
    parts = [f"'{term}'" for term in entry.terms.split()]
    for name, places in _FIELDS:
        text: str = getattr(entry, name)
        parts += [f"'{word}':{place}" for word, place in zip(text.split(), places, strict=False)]
    return " ".join(parts)
