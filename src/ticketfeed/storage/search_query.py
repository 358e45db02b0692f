"""The SQL of a search. Each query has a form of its own, so it is written here and not kept.

A condition on words or terms becomes a subquery of the ids that the text index finds; one on numbers is compared in the
columns of search_entry. Positive clauses that the text index can answer alone are asked of it as one expression.
"""

from collections.abc import Generator, Iterable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from ticketfeed.protocol.model import Account
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
from ticketfeed.storage.queries import SQLITE, Dialect

__all__ = ["SearchSteps", "count_steps", "search_steps"]

T = TypeVar("T")
# Yields statements with their bindings, is sent their rows, and returns the result.
SearchSteps = Generator[tuple[str, dict[str, Any]], list[Any], T]

# The weights that PostgreSQL gives to the words of each field.
_WEIGHTS = {"title": "A", "text": "B", "notes": "C", "other": "D"}


def count_steps(dialect: Dialect, account: Account, query: SearchQuery) -> SearchSteps[int]:
    """How many results a query has."""
    total = 0
    for kind in query.kinds:
        sql = _KindSearch(dialect, account.account_id, query, kind)
        ((count,),) = yield sql.count(), sql.bindings
        total += int(count)
    return total


def search_steps(
    dialect: Dialect, account: Account, query: SearchQuery, part: SearchPart
) -> SearchSteps[list[SearchHit]]:
    """A part of the results of a query. Of each kind all is read up to its end, which is never far from the first."""
    hits: list[SearchHit] = []
    end = part.offset + part.limit
    for kind in query.kinds:
        sql = _KindSearch(dialect, account.account_id, query, kind)
        page = sql.page(end, part.after)
        hits += [SearchHit(kind, key, id) for key, id in (yield page, sql.bindings)]
        if query.order is None and len(hits) >= end:
            break
    if query.order is not None:  # ties keep the order of the types and ids
        hits.sort(key=attrgetter("key"), reverse=query.descending)
    return hits[part.offset : end]


class _KindSearch:
    """The statements of a search for one kind of record. `bindings`: the values of their parameters."""

    def __init__(self, dialect: Dialect, account_id: int, query: SearchQuery, kind: str) -> None:
        self._dialect, self._query, self._kind = dialect, query, kind
        self.bindings: dict[str, Any] = {}
        self._account = self._bind(account_id)
        schema = "" if dialect is SQLITE else "ticketfeed."
        self._entry, self._text = f"{schema}search_entry", f"{schema}search_text"
        conditions = [f"e.account_id = {self._account}", f"e.kind = '{kind}'", *self._clauses(query.clauses)]
        # Numbers alone are compared in the covering index: by the index of ids SQLite would read row after row.
        has_text = any(not isinstance(each, Compare) for clause in query.clauses for each in clause.conditions)
        self._unordered = "+" if dialect is SQLITE and query.clauses and not has_text else ""
        self._found = f"FROM {self._entry} AS e WHERE {' AND '.join(conditions)}"

    def count(self) -> str:
        """The number of results."""
        return f"SELECT count(*) {self._found}"

    def page(self, limit: int, after: tuple[int, int] | None) -> str:
        """(key, id) of the first results of this kind."""
        order, direction = self._query.order, "DESC" if self._query.descending else "ASC"
        key = {None: "e.id", "created_at": "e.created_at"}.get(order, f"coalesce(e.{order}, -1)")
        follows = ""
        if after is not None:
            follows = f" AND (e.created_at, e.id) > ({', '.join(map(self._bind, after))})"
        by = f"{self._unordered}e.id" if order is None else f"{key} {direction}, e.id"
        return f"SELECT {key}, e.id {self._found}{follows} ORDER BY {by} LIMIT {self._bind(limit)}"

    def _clauses(self, clauses: Iterable[Clause]) -> list[str]:
        conditions: list[str] = []
        own: list[str] = []
        for clause in clauses:
            if not clause.is_negated and clause.conditions and all(map(self._is_own_text, clause.conditions)):
                own.append(self._any_of(clause.conditions))
            else:
                held = " OR ".join(self._alternatives(clause.conditions)) or "1 = 0"
                conditions.append(f"({held}) IS NOT TRUE" if clause.is_negated else f"({held})")
        if own:
            both = " AND " if self._dialect is SQLITE else " & "
            conditions.append(self._text_condition(both.join(own), (self._kind,)))
        return conditions

    def _is_own_text(self, condition: Condition) -> bool:
        return not isinstance(condition, Compare) and searched_kinds(condition, self._kind) == (self._kind,)

    def _alternatives(self, conditions: Sequence[Condition]) -> list[str]:
        """Conditions of one clause; those on texts of the same kinds are one."""
        alternatives: list[str] = []
        texts: dict[tuple[str, ...], list[Condition]] = {}
        for condition in conditions:
            kinds = searched_kinds(condition, self._kind)
            if not isinstance(condition, Compare):
                texts.setdefault(kinds, []).append(condition)
            elif kinds == (self._kind,):
                alternatives.append(self._range("e", condition))
            else:
                source = self._source(kinds)
                alternatives.append(f"e.id IN (SELECT c.target_id {source} AND {self._range('c', condition)})")
        alternatives += [self._text_condition(self._any_of(each), kinds) for kinds, each in texts.items()]
        return alternatives

    def _source(self, kinds: tuple[str, ...]) -> str:
        names = ", ".join(f"'{kind}'" for kind in kinds)
        return f"FROM {self._entry} AS c WHERE c.account_id = {self._account} AND c.kind IN ({names})"

    def _text_condition(self, expression: str, kinds: tuple[str, ...]) -> str:
        value = self._bind(expression)
        if self._dialect is SQLITE:  # in the order of the text index, whose rowids are those of the entries
            names = ", ".join(f"'{kind}'" for kind in kinds)
            source = f"{self._text} AS t CROSS JOIN {self._entry} AS c ON c.entry_id = t.rowid"
            own = f"c.account_id = {self._account} AND c.kind IN ({names})"
            return f"e.id IN (SELECT c.target_id FROM {source} WHERE t.search_text MATCH {value} AND {own})"
        return f"e.id IN (SELECT c.target_id {self._source(kinds)} AND c.words @@ {value}::tsquery)"

    def _range(self, alias: str, condition: Compare) -> str:
        column = f"{alias}.{condition.column}"
        bounds = []
        if condition.least is not None:
            bounds.append(f"{column} >= {self._bind(condition.least)}")
        if condition.most is not None:
            bounds.append(f"{column} <= {self._bind(condition.most)}")
        return f"({' AND '.join(bounds)})" if bounds else f"{column} IS NOT NULL"

    def _any_of(self, conditions: Sequence[Condition]) -> str:
        either = " OR " if self._dialect is SQLITE else " | "
        expressions = [self._expression(condition) for condition in conditions]
        return f"({either.join(dict.fromkeys(expressions))})"

    def _expression(self, condition: Condition) -> str:
        if isinstance(condition, Named | Compare):
            raise TypeError("a query must be resolved before it is run")
        words = (condition.text,) if isinstance(condition, Term) else condition.words
        fields = condition.fields if isinstance(condition, Words) else ()
        if self._dialect is SQLITE:
            phrase = f'"{" ".join(words)}"' + (" *" if condition.is_prefix else "")
            return f"({{{' '.join(fields)}}} : {phrase})" if fields else phrase
        weights = "".join(_WEIGHTS[name] for name in fields)
        marks = [weights] * (len(words) - 1) + [("*" if condition.is_prefix else "") + weights]
        lexemes = [f"'{word}'" + (f":{mark}" if mark else "") for word, mark in zip(words, marks, strict=True)]
        return f"({' <-> '.join(lexemes)})"

    def _bind(self, value: Any) -> str:
        name = f"b{len(self.bindings)}"
        self.bindings[name] = value
        return f":{name}" if self._dialect is SQLITE else f"%({name})s"
