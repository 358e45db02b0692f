"""Which records a list holds, and in which order: the filters and orders of each kind -> RecordList.

A filter is a row of FILTERS: a query parameter of the kind's list, and what it asks of a record. Only the keys of a
record that some row names are decoded.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ticketfeed.protocol.errors import InvalidValue
from ticketfeed.protocol.model import INT64_MAX, ListOrder
from ticketfeed.protocol.query import parse_integer
from ticketfeed.protocol.resources import RESOURCES

__all__ = [
    "FILTERS",
    "ORDERS",
    "RecordList",
    "is_default_form",
    "is_shown_form",
    "make_list_key",
    "need_brand",
    "parse_boolean",
    "parse_record_list",
]

Check = Callable[[Any], bool]


class _Filter(NamedTuple):
    """`keys`: those of a record that it looks at. `parse`: a parameter's name and text -> what it asks of a record."""

    keys: tuple[str, ...]
    parse: Callable[[str, str], Check]


@dataclass(frozen=True, slots=True)
class RecordList:
    """Which records of a kind a list holds.

    `deleted`: False without deleted ones, None with them. `checks`: what each record must pass. `external_id` and
    `keys`: the external_id and the lookup keys of all those that may be in the list, None for any.
    """

    kind: str
    deleted: bool | None = False
    checks: tuple[Check, ...] = ()
    external_id: str | None = None
    keys: tuple[str, ...] | None = None

    def holds(self, body: bytes) -> bool:
        """Whether the list has the record with this body."""
        if not self.checks:
            return True
        record = _DECODERS[self.kind].decode(body)
        return all(check(record) for check in self.checks)


def parse_boolean(name: str, text: str) -> bool:
    """A parameter that is true or false. Raises InvalidValue."""
    if text.strip().lower() not in ("true", "1", "false", "0"):
        raise InvalidValue(f"{name} must be true or false")
    return text.strip().lower() in ("true", "1")


def _flag(key: str) -> _Filter:
    def parse(name: str, text: str) -> Check:
        wanted = parse_boolean(name, text)
        return lambda record: bool(getattr(record, key)) is wanted

    return _Filter((key,), parse)


def _one_of(key: str, allowed: tuple[str, ...]) -> _Filter:
    """One value or several, separated by commas."""

    def parse(name: str, text: str) -> Check:
        wanted = _split(text)
        if not wanted.issubset(allowed):
            raise InvalidValue(f"{name} must be one of {', '.join(allowed)}")
        return lambda record: str(getattr(record, key)) in wanted

    return _Filter((key,), parse)


def _split(text: str) -> set[str]:
    return {value.strip() for value in text.split(",") if value.strip()}


def _text(key: str) -> _Filter:
    return _Filter((key,), lambda _name, text: lambda record: getattr(record, key) == text)


def _id(key: str) -> _Filter:
    def parse(name: str, text: str) -> Check:
        wanted = _integer(name, text)
        return lambda record: getattr(record, key) == wanted

    return _Filter((key,), parse)


def _since(key: str) -> _Filter:
    def parse(name: str, text: str) -> Check:
        begin = _integer(name, text)
        return lambda record: _second(getattr(record, key)) >= begin

    return _Filter((key,), parse)


def _until(key: str) -> _Filter:
    def parse(name: str, text: str) -> Check:
        end = _integer(name, text)
        return lambda record: _second(getattr(record, key)) <= end

    return _Filter((key,), parse)


def _integer(name: str, text: str) -> int:
    number = parse_integer(text)
    if number is None:
        raise InvalidValue(f"{name} must be a whole number")
    if number == INT64_MAX:  # or beyond
        raise InvalidValue(f"{name} is out of range")
    return number


def _second(text: object) -> int:
    """A time of the wire in Unix seconds; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(str(text)).timestamp())
    except (ValueError, OverflowError):
        return 0


# score of a list -> the scores of its ratings, and whether they have a comment; None for both.
_SCORES: dict[str, tuple[frozenset[str], bool | None]] = {
    f"{name}{suffix}": (scores, has_comment)
    for name, scores in {
        "received": frozenset({"good", "bad"}),
        "good": frozenset({"good"}),
        "bad": frozenset({"bad"}),
    }.items()
    for suffix, has_comment in {"": None, "_with_comment": True, "_without_comment": False}.items()
} | {"offered": (frozenset({"offered"}), None), "unoffered": (frozenset({"unoffered"}), None)}


def _parse_score(name: str, text: str) -> Check:
    if text not in _SCORES:
        raise InvalidValue(f"{name} must be one of {', '.join(_SCORES)}")
    scores, has_comment = _SCORES[text]
    return lambda record: str(record.score) in scores and has_comment in (None, bool(record.comment))


def _parse_access(name: str, text: str) -> Check:
    """personal: of one agent; shared: of everybody or of groups; agent, group, account: as the record says."""
    kinds = {"personal": ("User",), "agent": ("User",), "shared": ("", "Group"), "group": ("Group",), "account": ("",)}
    if text not in kinds:
        raise InvalidValue(f"{name} must be one of {', '.join(kinds)}")
    return lambda record: str(_object(record.restriction).get("type", "")) in kinds[text]


def _parse_restricted_to(name: str, text: str) -> Check:
    group_id = _integer(name, text)

    def check(record: Any) -> bool:
        restriction = _object(record.restriction)
        ids = restriction.get("ids")
        return restriction.get("type") == "Group" and group_id in (
            ids if isinstance(ids, list) else [restriction.get("id")]
        )

    return check


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parse_category(_name: str, text: str) -> Check:
    """A macro's category is what stands before `::` in its title."""
    return lambda record: "::" in str(record.title) and str(record.title).partition("::")[0] == text


_ROLE = _one_of("role", ("end-user", "agent", "admin"))
_USER_FILTERS = {"role": _ROLE, "role[]": _ROLE, "permission_set": _id("custom_role_id")}
# kind -> parameter -> filter
FILTERS: dict[str, dict[str, _Filter]] = {
    "users": {**_USER_FILTERS, "external_id": _text("external_id")},
    "ticket_forms": {"active": _flag("active"), "end_user_visible": _flag("end_user_visible")},
    "custom_statuses": {
        "active": _flag("active"),
        "default": _flag("default"),
        "status_categories": _one_of("status_category", ("new", "open", "pending", "hold", "solved")),
    },
    "macros": {
        "active": _flag("active"),
        "access": _Filter(("restriction",), _parse_access),
        "category": _Filter(("title",), _parse_category),
        "group_id": _Filter(("restriction",), _parse_restricted_to),
    },
    "satisfaction_ratings": {
        "score": _Filter(("score", "comment"), _parse_score),
        "start_time": _since("created_at"),
        "end_time": _until("created_at"),
    },
}
# What further rules of lists look at.
_MORE_KEYS = {
    "ticket_forms": ("id", "default", "in_all_brands", "restricted_brand_ids"),
    "brands": ("id", "default", "subdomain"),
}
# kind -> the parameter that says whether deleted records are in the list, and its value for that
_DELETED = {"groups": ("exclude_deleted", False), "brands": ("include_deleted", True)}

# order -> the keys of a record that it may be: the first one that the record has
_ORDER_KEYS: dict[ListOrder, tuple[str, ...]] = {
    "id": ("id",),
    "created_at": ("created_at",),
    "updated_at": ("updated_at",),
    "position": ("position",),
    "name": ("name",),
    "alphabetical": ("title",),
}
# kind -> its orders, its own first
ORDERS: dict[str, tuple[ListOrder, ...]] = {
    kind: tuple(order for order, keys in _ORDER_KEYS.items() if all(key in resource.shape for key in keys))
    for kind, resource in RESOURCES.items()
}


def _keys_of(kind: str) -> list[str]:
    of_filters = [key for row in FILTERS.get(kind, {}).values() for key in row.keys]
    of_orders = [key for order in ORDERS[kind] for key in _ORDER_KEYS[order]]
    return list(dict.fromkeys([*of_filters, *of_orders, *_MORE_KEYS.get(kind, ())]))


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(msgspec.defstruct("Record", [(key, Any, None) for key in _keys_of(kind)]))
    for kind in RESOURCES
}


def parse_record_list(kind: str, parameters: Mapping[str, str]) -> RecordList:
    """Which records of `kind` the query asks for. Raises InvalidValue."""
    filters = FILTERS.get(kind, {})
    checks = tuple(filters[name].parse(name, text) for name, text in parameters.items() if name in filters)
    name, value = _DELETED.get(kind, ("", None))
    with_deleted = name in parameters and parse_boolean(name, parameters[name]) is value
    external_id = parameters.get("external_id") if "external_id" in filters else None
    roles = _split(parameters.get("role", "")) | _split(parameters.get("role[]", "")) if "role" in filters else set()
    keys = tuple(sorted(roles)) if roles and "end-user" not in roles else None
    return RecordList(kind, None if with_deleted else False, checks, external_id, keys)


def make_list_key(kind: str, order: ListOrder, body: bytes) -> int | str:
    """What a record's place in a list goes by: text in lower case, or a number, which is a second for times."""
    value = getattr(_DECODERS[kind].decode(body), _ORDER_KEYS[order][0])
    if order in ("created_at", "updated_at"):
        return _second(value)
    if order in ("id", "position"):
        return value if isinstance(value, int) and abs(value) <= INT64_MAX else 0
    return str(value or "").casefold().replace("\0", "")


def need_brand(brands: Iterable[bytes], subdomain: str) -> Check:
    """What a form of the brand with this subdomain, by default of the default brand, must be."""
    decoded = [_DECODERS["brands"].decode(body) for body in brands]
    named = [brand.id for brand in decoded if brand.subdomain == subdomain]
    ids = named or [brand.id for brand in decoded if brand.default is True]

    def check(form: Any) -> bool:
        restricted = form.restricted_brand_ids if isinstance(form.restricted_brand_ids, list) else []
        return form.in_all_brands is True or any(id in restricted for id in ids)

    return check


def is_shown_form(body: bytes) -> bool:
    """Whether a ticket form is active and end users see it."""
    form = _DECODERS["ticket_forms"].decode(body)
    return form.active is True and form.end_user_visible is True


def is_default_form(body: bytes) -> bool:
    """Whether a ticket form is the default one."""
    return _DECODERS["ticket_forms"].decode(body).default is True
