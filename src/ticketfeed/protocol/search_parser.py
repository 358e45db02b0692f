"""Parser of the search language: the text of a query -> SearchQuery.

A query is terms separated by spaces: words, phrases in quotes, and `key:value` with a value that may be quoted. `-`
before a term excludes what it finds, `*` at the end of a value finds what begins with it. Terms of one key with `:` are
alternatives, all others must hold together. A key that is not known is refused by name: results that ignored a
condition would be wrong without a sign of it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, cast, get_args

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.resources import SEARCH_TYPES
from ticketfeed.protocol.search import (
    Clause,
    Comments,
    Compare,
    Condition,
    Named,
    SearchField,
    SearchOrder,
    SearchQuery,
    Term,
    Words,
)
from ticketfeed.protocol.search_index import PRIORITIES, STATUSES, TICKET_TYPES, encode_term, split_words
from ticketfeed.protocol.search_times import parse_search_time

__all__ = ["QUERY_CHARACTERS_MAX", "TERMS_MAX", "parse_search"]

# Both bound the work of one search. A query of an integration that lists a hundred ids has two thousand characters.
QUERY_CHARACTERS_MAX = 8192
TERMS_MAX = 256


class _Written(NamedTuple):
    """A term as it is written. `value` is without its quotes; `operator` is empty for words alone.

    `now`: what relative times count from. `me`: the id of the user that `me` means.
    """

    text: str
    is_negated: bool
    key: str
    operator: str
    value: str
    is_quoted: bool
    now: int
    me: int


@dataclass(frozen=True, slots=True)
class _Key:
    """A key: the types that have it, and what makes a condition of a term.

    `has_order`: whether its values can be compared. `absent`: the value that finds what `*` does not.
    """

    types: tuple[str, ...]
    make: Callable[["_Written"], Condition]
    has_order: bool = False
    absent: str = "none"


_TERM = re.compile(
    r'(?P<negated>-?)(?:(?P<key>[A-Za-z_][\w.]*)(?P<operator>:|>=|<=|>|<))?(?:"(?P<quoted>[^"]*)"?(?P<star>[*]?)|(?P<bare>\S*))'
)
_ID = re.compile(r"[0-9]{1,19}")
_CUSTOM_FIELD = re.compile(r"custom_field_([0-9]{1,19})")
_TICKET, _ALL = ("ticket",), tuple(SEARCH_TYPES)
_WITH_TAGS = ("ticket", "user", "organization")
_ORDERS = {name.removesuffix("_at"): name for name in get_args(SearchOrder)}


def parse_search(
    text: str,
    *,
    now: int,
    me: int,
    sort_by: str | None = None,
    sort_order: str | None = None,
) -> SearchQuery:
    """Parse a query. `now`: what relative times count from. `me`: the id of the user that `me` means.

    `sort_by` and `sort_order` are the parameters of the request, before which the query's own order goes.
    Raises InvalidValue.
    """
    if len(text) > QUERY_CHARACTERS_MAX:
        raise InvalidValue(f"a query has at most {QUERY_CHARACTERS_MAX} characters")
    tree = _Tree()
    if sort_by:
        tree.order = _order("sort_by", sort_by)
    if sort_order:
        tree.descending = _descending("sort_order", sort_order)
    for number, written in enumerate(_split(text, now, me)):
        if number >= TERMS_MAX:
            raise InvalidValue(f"a query has at most {TERMS_MAX} terms")
        tree.add(written)
    return tree.query()


def _split(text: str, now: int, me: int) -> Iterator[_Written]:
    place = 0
    text = text.replace("\0", " ")
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = cast(re.Match[str], _TERM.match(text, place))
        place = max(match.end(), place + 1)
        quoted = match["quoted"]
        value = match["bare"] if quoted is None else quoted + match["star"]
        key, operator = (match["key"] or "").lower(), match["operator"] or ""
        yield _Written(match[0], bool(match["negated"]), key, operator, value, quoted is not None, now, me)


@dataclass(slots=True)
class _Tree:
    """A query while its terms are read."""

    types: tuple[str, ...] | None = None
    having: set[str] = field(default_factory=lambda: set(_ALL))
    clauses: list[Clause] = field(default_factory=list)
    alternatives: dict[str, list[Condition]] = field(default_factory=dict)
    order: SearchOrder | None = None
    descending: bool | None = None

    def add(self, written: _Written) -> None:
        if not written.operator:
            return self._add_words(written)
        if written.key == "type":
            return self._add_type(written)
        if written.key in ("order_by", "sort"):
            return self._add_order(written)
        key = _find_key(written)
        if written.operator != ":" and not key.has_order:
            raise InvalidValue(f"{written.key} cannot be compared with {written.operator}")
        self.having &= set(key.types)
        return self._add_condition(written, key)

    def query(self) -> SearchQuery:
        alternatives = [Clause(tuple(conditions)) for conditions in self.alternatives.values()]
        types = tuple(name for name in self.types or _ALL if name in self.having)
        descending = self.descending if self.descending is not None else True
        return SearchQuery(
            types, (*alternatives, *self.clauses), self.order, descending, has_type=self.types is not None
        )

    def _add_words(self, written: _Written) -> None:
        words = split_words(written.value)
        if words:  # punctuation alone finds and excludes nothing
            condition = Words(words, written.value.endswith("*"), comments="also")
            self.clauses.append(Clause((condition,), written.is_negated))

    def _add_condition(self, written: _Written, key: _Key) -> None:
        is_absent = written.value.lower() == key.absent and not written.is_quoted
        condition = key.make(written._replace(value="*") if is_absent else written)
        if is_absent or written.is_negated or written.operator != ":":
            self.clauses.append(Clause((condition,), written.is_negated != is_absent))
        else:
            self.alternatives.setdefault(written.key, []).append(condition)

    def _add_type(self, written: _Written) -> None:
        if written.operator != ":" or written.value not in SEARCH_TYPES or written.is_negated:
            raise InvalidValue(f"type must be one of {', '.join(SEARCH_TYPES)}")
        named = {*(self.types or ()), written.value}
        self.types = tuple(name for name in _ALL if name in named)

    def _add_order(self, written: _Written) -> None:
        if written.is_negated or written.operator != ":":
            raise InvalidValue(f"{written.key} must be written {written.key}:value, not {written.text}")
        if written.key == "order_by":
            self.order = _order("order_by", written.value)
        else:
            self.descending = _descending("sort", written.value)


def _order(name: str, value: str) -> SearchOrder | None:
    if value == "relevance":
        return None
    order = _ORDERS.get(value.removesuffix("_at"))
    if order is None:
        raise InvalidValue(f"{name} must be one of {', '.join(get_args(SearchOrder))}, not {value}")
    return cast(SearchOrder, order)


def _descending(name: str, value: str) -> bool:
    if value.lower() not in ("asc", "desc"):
        raise InvalidValue(f"{name} must be asc or desc, not {value}")
    return value.lower() == "desc"


def _find_key(written: _Written) -> _Key:
    if _CUSTOM_FIELD.fullmatch(written.key):
        return _Key(_TICKET, _value)
    key = _KEYS.get(written.key)
    if key is None:
        raise InvalidValue(f"this search does not support {written.key}, in {written.text}")
    return key


def _value(written: _Written) -> Condition:
    """A value that is compared as a whole, in any case."""
    text = written.value
    if not text:
        raise InvalidValue(f"{written.key} has no value")
    return Term(encode_term(_NAMES.get(written.key, written.key), text.removesuffix("*")), text.endswith("*"))


def _number(written: _Written) -> Condition:
    if not written.value.endswith("*") and not _ID.fullmatch(written.value):
        raise InvalidValue(f"{written.key} must be a number, not {written.value}")
    return _value(written)


def _flag(written: _Written) -> Condition:
    if written.value not in ("true", "false"):
        raise InvalidValue(f"{written.key} must be true or false, not {written.value}")
    return Term(encode_term(_NAMES.get(written.key, written.key), written.value))


def _has_attachment(written: _Written) -> Condition:
    if written.value not in ("true", "*"):
        raise InvalidValue(f"{written.key} must be true or false, not {written.value}")
    return Term(encode_term("has", "attachment"), comments="only")


def _words(*fields: SearchField, comments: Comments = "no") -> Callable[[_Written], Condition]:
    def make(written: _Written) -> Condition:
        words = split_words(written.value)
        if words:
            return Words(words, written.value.endswith("*"), fields, comments)
        if written.value == "*":
            return Term(encode_term("has", "comment" if comments == "only" else fields[0]), comments=comments)
        raise InvalidValue(f"{written.key} has no value")

    return make


def _named(kind: str, comments: Comments = "no") -> Callable[[_Written], Condition]:
    def make(written: _Written) -> Condition:
        text, key = written.value, _NAMES.get(written.key, written.key)
        if text == "*":
            return Term(encode_term(key, ""), is_prefix=True, comments=comments)
        if text == "me" and kind == "users" and not written.is_quoted:
            return Term(encode_term(key, str(written.me)), comments=comments)
        if _ID.fullmatch(text):
            return Term(encode_term(key, text), comments=comments)
        if not split_words(text):
            raise InvalidValue(f"{written.key} has no value")
        if text.endswith("*"):
            raise InvalidValue(f"{written.key} must be an id, a name or an email, not {text}")
        return Named(key, kind, text, comments)

    return make


def _ranked(column: str, names: tuple[str, ...]) -> Callable[[_Written], Condition]:
    """One of a few values in an order."""

    def make(written: _Written) -> Condition:
        if written.value == "*" and written.operator == ":":
            return Compare(column)
        if written.value.lower() not in names:
            raise InvalidValue(f"{written.key} must be one of {', '.join(names)}, not {written.value}")
        place = names.index(written.value.lower())
        return _compare(column, written.operator, place, place)

    return make


def _time(column: str) -> Callable[[_Written], Condition]:
    def make(written: _Written) -> Condition:
        if written.value == "*" and written.operator == ":":
            return Compare(column)
        first, last = parse_search_time(written.value, written.now)
        if written.operator != ":":  # compared with a day, what counts is its beginning
            last = first
        return _compare(column, written.operator, first, last)

    return make


def _compare(column: str, operator: str, first: int, last: int) -> Compare:
    bounds: dict[str, tuple[int | None, int | None]] = {
        ":": (first, last),
        ">": (last + 1, None),
        ">=": (first, None),
        "<": (None, first - 1),
        "<=": (None, last),
    }
    return Compare(column, *bounds[operator])


def _times(types: tuple[str, ...], column: str) -> _Key:
    return _Key(types, _time(column), has_order=True)


# Keys that the index has under another name.
_NAMES = {"tag": "tags", "ticket_form": "form", "form_id": "form", "brand_id": "brand", "cc": "cc"}
_KEYS: dict[str, _Key] = {
    "created": _times(_ALL, "created_at"),
    "created_at": _times(_ALL, "created_at"),
    "updated": _times(_ALL, "updated_at"),
    "updated_at": _times(_ALL, "updated_at"),
    "solved": _times(_TICKET, "solved_at"),
    "solved_at": _times(_TICKET, "solved_at"),
    "due_date": _times(_TICKET, "due_at"),
    "due_at": _times(_TICKET, "due_at"),
    "status": _Key(_TICKET, _ranked("status", STATUSES), has_order=True),
    "priority": _Key(_TICKET, _ranked("priority", PRIORITIES), has_order=True),
    "ticket_type": _Key(_TICKET, _ranked("ticket_type", TICKET_TYPES)),
    "assignee": _Key(_TICKET, _named("users")),
    "requester": _Key(_TICKET, _named("users")),
    "submitter": _Key(_TICKET, _named("users")),
    "cc": _Key(_TICKET, _named("users")),
    "commenter": _Key(_TICKET, _named("users", comments="only")),
    "group": _Key(_TICKET, _named("groups")),
    "organization": _Key(("ticket", "user"), _named("organizations")),
    "brand": _Key(_TICKET, _named("brands")),
    "brand_id": _Key(_TICKET, _number),
    "form": _Key(_TICKET, _named("ticket_forms")),
    "ticket_form": _Key(_TICKET, _named("ticket_forms")),
    "form_id": _Key(_TICKET, _number),
    "custom_status_id": _Key(_TICKET, _number),
    "via": _Key(_TICKET, _value),
    "has_attachment": _Key(_TICKET, _has_attachment, absent="false"),
    "subject": _Key(_TICKET, _words("title")),
    "description": _Key(_TICKET, _words("text")),
    "comment": _Key(_TICKET, _words("text", comments="only")),
    "tags": _Key(_WITH_TAGS, _value),
    "tag": _Key(_WITH_TAGS, _value),
    "external_id": _Key(_WITH_TAGS, _value),
    "name": _Key(("user", "organization", "group"), _words("title")),
    "notes": _Key(("user", "organization"), _words("notes")),
    "details": _Key(("user", "organization"), _words("text")),
    "email": _Key(("user",), _value),
    "role": _Key(("user",), _value),
    "phone": _Key(("user",), _value),
    "is_verified": _Key(("user",), _flag),
    "is_suspended": _Key(("user",), _flag),
}
