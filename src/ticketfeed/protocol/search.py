"""The query of GET /search: text -> SearchQuery, of the small part of the language with which connectors find changes.

`type:` is understood, and `created` and `updated` compared with a time. Any other term is refused by name: results
that ignored a condition would be wrong without a sign of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, le, lt

import msgspec

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.resources import SEARCH_TYPES

__all__ = ["SearchQuery", "parse_search"]

_TERM = re.compile(r"(type|created|updated|created_at|updated_at)(:|>=|<=|>|<)(\S+)")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+]00:00))?")
_COMPARE: dict[str, Callable[[str, str], bool]] = {">": gt, "<": lt, ">=": ge, "<=": le}


class _Times(msgspec.Struct):
    created_at: str
    updated_at: str


_TIMES = msgspec.json.Decoder(_Times)
Condition = Callable[[_Times], bool]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """`types`: names in SEARCH_TYPES, in the order in which they are searched. All of `conditions` must hold."""

    types: tuple[str, ...]
    conditions: tuple[Condition, ...]

    def matches(self, body: bytes) -> bool:
        """Whether a stored ticket or record meets every condition."""
        times = _TIMES.decode(body)
        return all(holds(times) for holds in self.conditions)


def parse_search(text: str) -> SearchQuery:
    """Raises InvalidValue."""
    types, conditions = tuple(SEARCH_TYPES), list[Condition]()
    for term in text.split():
        match = _TERM.fullmatch(term)
        if match is None:
            raise InvalidValue(f"this search supports type:, created and updated, but not {term}")
        key, operator, value = match.groups()
        if key == "type":
            if value not in SEARCH_TYPES or operator != ":":
                raise InvalidValue(f"type must be one of {', '.join(SEARCH_TYPES)}")
            types = (value,)
        elif not _TIME.fullmatch(value):
            raise InvalidValue(f"{value} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z")
        else:
            conditions.append(_time_condition(key.removesuffix("_at") + "_at", operator, value))
    return SearchQuery(types, tuple(conditions))


def _time_condition(key: str, operator: str, value: str) -> Condition:
    """Times on the wire have one form, so that comparing their texts compares them.

    `:` and a date means any time of that day; with another operator a date is the beginning of that day.
    """
    value = value.replace("+00:00", "Z")
    if operator == ":":
        return lambda times: bool(getattr(times, key).startswith(value))
    compare, moment = _COMPARE[operator], value if "T" in value else f"{value}T00:00:00Z"
    return lambda times: compare(getattr(times, key), moment)
