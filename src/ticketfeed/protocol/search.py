"""A query of the search language as a tree, which no longer depends on how it was written (`search_parser.py`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ticketfeed.protocol.resources import SEARCH_TYPES
from ticketfeed.protocol.search_index import encode_term, split_words

__all__ = [
    "Clause",
    "Compare",
    "Condition",
    "Named",
    "SearchField",
    "SearchHit",
    "SearchOrder",
    "SearchPart",
    "SearchQuery",
    "Term",
    "Words",
    "lookup_query",
    "searched_kinds",
]

SearchField = Literal["title", "text", "notes", "other"]
SearchOrder = Literal["created_at", "updated_at", "priority", "status", "ticket_type"]
# Whether a ticket is found by its comments: not, by them too, or by them alone.
Comments = Literal["no", "also", "only"]


@dataclass(frozen=True, slots=True)
class Words:
    """Words that follow each other in one of `fields`; the last may be the beginning of a word."""

    words: tuple[str, ...]
    is_prefix: bool = False
    fields: tuple[SearchField, ...] = ("title", "text", "notes", "other")
    comments: Comments = "no"


@dataclass(frozen=True, slots=True)
class Term:
    """A value of a key, as `search_index.encode_term` writes it; with `is_prefix` the beginning of one."""

    text: str
    is_prefix: bool = False
    comments: Comments = "no"


@dataclass(frozen=True, slots=True)
class Compare:
    """A number that lies within `least` and `most`; None: no bound. A value that is not set lies nowhere."""

    column: str
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """A user, group or other record of `kind` by its email or name, to be replaced by the Terms of its ids."""

    key: str
    kind: str
    text: str
    comments: Comments = "no"


Condition = Words | Term | Compare | Named


@dataclass(frozen=True, slots=True)
class Clause:
    """Holds if one of `conditions` does; with `is_negated`, if none does."""

    conditions: tuple[Condition, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`types`: names in SEARCH_TYPES, in the order of the results. All of `clauses` must hold.

    `order`: None for the order of the types, then of the ids. `has_type`: whether the query names a type.
    """

    types: tuple[str, ...]
    clauses: tuple[Clause, ...] = ()
    order: SearchOrder | None = None
    descending: bool = True
    has_type: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the types."""
        return tuple(SEARCH_TYPES.get(name, name) for name in self.types)

    def named(self) -> list[Named]:
        """What must be looked up before the query can be run."""
        found = [each for clause in self.clauses for each in clause.conditions if isinstance(each, Named)]
        return list(dict.fromkeys(found))

    def resolve(self, ids: Mapping[Named, Sequence[int]]) -> "SearchQuery":
        """The query with the ids of those that were looked up."""
        return replace(
            self,
            clauses=tuple(Clause(tuple(_resolved(each.conditions, ids)), each.is_negated) for each in self.clauses),
        )


class SearchPart(NamedTuple):
    """Which results are read. `after`: (created_at, id) of a result, of queries in ascending order of created_at."""

    limit: int
    offset: int = 0
    after: tuple[int, int] | None = None


class SearchHit(NamedTuple):
    """A result. `key`: what the query orders by; the id where it has no order."""

    kind: str
    key: int
    id: int


def searched_kinds(condition: Condition, kind: str) -> tuple[str, ...]:
    """The kinds of index entries by which a condition finds records of `kind`."""
    if isinstance(condition, Compare):
        return ("ticket_metrics",) if condition.column == "solved_at" else (kind,)
    if kind != "tickets" or condition.comments == "no":
        return (kind,)
    return ("audits",) if condition.comments == "only" else (kind, "audits")


def lookup_query(named: Named) -> SearchQuery:
    """The query that finds the records which `named` means."""
    if named.kind == "users" and "@" in named.text:
        condition: Condition = Term(encode_term("email", named.text))
    else:
        condition = Words(split_words(named.text), fields=("title",))
    return SearchQuery((named.kind,), (Clause((condition,)),))


def _resolved(conditions: tuple[Condition, ...], ids: Mapping[Named, Sequence[int]]) -> Iterator[Condition]:
    for condition in conditions:
        if isinstance(condition, Named):
            for id in ids.get(condition, ()):
                yield Term(encode_term(condition.key, str(id)), comments=condition.comments)
        else:
            yield condition
