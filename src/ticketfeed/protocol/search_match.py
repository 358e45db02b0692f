"""A search over index entries in memory: the reference for what the engines find."""

from collections.abc import Iterable, Sequence
from operator import attrgetter

from ticketfeed.protocol.search import (
    Clause,
    Compare,
    Condition,
    Named,
    SearchHit,
    SearchPart,
    SearchQuery,
    Term,
    Words,
    searched_kinds,
)
from ticketfeed.protocol.search_index import SearchEntry

__all__ = ["search_entries"]


def search_entries(entries: Iterable[SearchEntry], query: SearchQuery, part: SearchPart) -> tuple[int, list[SearchHit]]:
    """How many results there are, and a part of them."""
    by_kind: dict[str, list[SearchEntry]] = {}
    for entry in entries:
        by_kind.setdefault(entry.kind, []).append(entry)
    hits: list[SearchHit] = []
    for kind in query.kinds:
        ids = {entry.id for entry in by_kind.get(kind, ())}
        for clause in query.clauses:
            found = _find(by_kind, clause, kind)
            ids = ids - found if clause.is_negated else ids & found
        own = [entry for entry in by_kind.get(kind, ()) if entry.id in ids]
        hits += [SearchHit(kind, _key(entry, query), entry.id) for entry in sorted(own, key=attrgetter("id"))]
    if query.order is not None:  # ties keep the order of the types and ids
        hits.sort(key=attrgetter("key"), reverse=query.descending)
    count = len(hits)
    if part.after is not None:
        hits = [hit for hit in hits if (hit.key, hit.id) > part.after]
    return count, hits[part.offset : part.offset + part.limit]


def _key(entry: SearchEntry, query: SearchQuery) -> int:
    if query.order is None:
        return entry.id
    value: int | None = getattr(entry, query.order)
    return -1 if value is None else value


def _find(by_kind: dict[str, list[SearchEntry]], clause: Clause, kind: str) -> set[int]:
    """The ids of what meets one of the clause's conditions."""
    return {
        entry.target_id
        for condition in clause.conditions
        for searched in searched_kinds(condition, kind)
        for entry in by_kind.get(searched, ())
        if _meets(entry, condition)
    }


def _meets(entry: SearchEntry, condition: Condition) -> bool:
    match condition:
        case Words(words, is_prefix, fields):
            return any(_has_phrase(getattr(entry, name), words, is_prefix=is_prefix) for name in fields)
        case Term(text, is_prefix):
            return _has_phrase(entry.terms, (text,), is_prefix=is_prefix)
        case Compare(column, least, most):
            value = getattr(entry, column)
            return value is not None and (least is None or value >= least) and (most is None or value <= most)
        case Named():
            raise TypeError("a query must be resolved before it is run")


def _has_phrase(text: str, words: Sequence[str], *, is_prefix: bool) -> bool:
    return f" {' '.join(words)}{'' if is_prefix else ' '}" in f" {' '.join(text.split())} "
