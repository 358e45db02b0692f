"""Lists and their two paginations: query -> ListRequest, rows -> envelope.

By cursor: `page[size]`, `page[after]`, `page[before]`, and `meta` and `links` in the answer. By offset: `page` and
`per_page`, and `next_page`, `previous_page`, `count`; not beyond the 10,000th record. Without parameters: by offset.
"""

import binascii
import operator
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.errors import InvalidPaginationDepth, InvalidPaginationParameter
from ticketfeed.protocol.model import INT64_MAX, ListOrder, Slice
from ticketfeed.protocol.query import parse_integer
from ticketfeed.protocol.rows import ListRow

__all__ = ["LIST_LIMIT_MAX", "OFFSET_MAX", "ListRequest", "list_ends", "parse_list_request", "slice_rows"]

LIST_LIMIT_MAX = 100
OFFSET_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A part of a list asked for. `number`: the page by offset, from 1; None by cursor.

    `part.limit` is one more than the page holds where it goes by cursor, which tells whether more follows.
    `backwards`: the page ends before the cursor; its rows come in the opposite order. `kept`: what links repeat.
    """

    part: Slice
    limit: int
    number: int | None
    backwards: bool
    kept: tuple[tuple[str, str], ...]


class _Cursor(msgspec.Struct):
    o: str
    v: str


_CURSOR = msgspec.json.Decoder(_Cursor)
_KEY = msgspec.json.Decoder(tuple[int | str, int])
_PLACE = operator.attrgetter("key", "id")
_LIST_NAMES = ("page", "per_page", "page[size]", "page[after]", "page[before]")


def parse_list_request(
    parameters: Mapping[str, str], *, orders: Sequence[ListOrder] = ("id",), limit_max: int = LIST_LIMIT_MAX
) -> ListRequest:
    """Check what `parse_query` gave. Raises InvalidPaginationParameter, InvalidPaginationDepth."""
    order, descending = _parse_order(parameters, orders)
    kept = tuple((name, text) for name, text in parameters.items() if name not in _LIST_NAMES)
    by_cursor = [name for name in _LIST_NAMES[2:] if name in parameters]
    if by_cursor and "page" in parameters:
        raise InvalidPaginationParameter("page cannot be used together with page[size], page[after] or page[before]")
    if by_cursor:
        limit = _parse_count(parameters, "page[size]", min(100, limit_max), limit_max)
        if "page[after]" in parameters and "page[before]" in parameters:
            raise InvalidPaginationParameter("page[after] and page[before] cannot be used together")
        backwards = "page[before]" in parameters
        text = parameters.get("page[before]" if backwards else "page[after]")
        after = None if text is None else _decode(text, order)
        return ListRequest(Slice(limit + 1, order, descending != backwards, after), limit, None, backwards, kept)
    number = _parse_count(parameters, "page", 1, INT64_MAX)
    limit = min(_parse_count(parameters, "per_page", LIST_LIMIT_MAX, INT64_MAX), limit_max)
    if number > 1 and number * limit > OFFSET_MAX:
        raise InvalidPaginationDepth(OFFSET_MAX)
    return ListRequest(Slice(limit, order, descending, None, (number - 1) * limit), limit, number, False, kept)


def list_ends(
    request: ListRequest, rows: Sequence[ListRow], count: int | None, address: str
) -> tuple[Sequence[ListRow], dict[str, Any]]:
    """The rows that stand on the page, and what stands behind them in the envelope. `count`: by offset only."""
    if request.number is not None:
        total, number = count or 0, request.number
        ends: dict[str, Any] = {
            "next_page": _offset_url(request, number + 1, address) if number * request.limit < total else None,
            "previous_page": _offset_url(request, number - 1, address) if number > 1 else None,
            "count": total,
        }
        return rows, ends
    taken = rows[: request.limit]
    more = len(rows) > request.limit
    if request.backwards:
        taken = taken[::-1]
    first, last = (_encode(request, taken[0]), _encode(request, taken[-1])) if taken else (None, None)
    has_before = more if request.backwards else request.part.after is not None
    has_after = True if request.backwards else more
    return taken, {
        "meta": {"has_more": more, "after_cursor": last, "before_cursor": first},
        "links": {
            "prev": _cursor_url(request, "page[before]", first, address) if first and has_before else None,
            "next": _cursor_url(request, "page[after]", last, address) if last and has_after else None,
        },
    }


def _parse_order(parameters: Mapping[str, str], orders: Sequence[ListOrder]) -> tuple[ListOrder, bool]:
    text = parameters.get("sort")
    if text is None:  # the older spelling, by offset
        name = parameters.get("sort_by", orders[0])
        known = name if name in orders else orders[0]
        return cast(ListOrder, known), parameters.get("sort_order") == "desc"
    name = text.removeprefix("-")
    if name not in orders or name not in get_args(ListOrder):
        raise InvalidPaginationParameter(f"sort must be one of {', '.join(orders)}, with - before it for descending")
    return cast(ListOrder, name), text.startswith("-")


def _parse_count(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    if name not in parameters:
        return default
    count = parse_integer(parameters[name])
    if count is None or not 1 <= count <= most:
        raise InvalidPaginationParameter(
            f"{name} must be a whole number from 1" + (f" to {most}" if most < INT64_MAX else "")
        )
    return count


def _encode(request: ListRequest, row: ListRow) -> str:
    inner = b64encode(msgspec.json.encode((row.key, row.id))).decode()
    return b64encode(msgspec.json.encode(_Cursor(request.part.order, inner))).decode()


def _decode(text: str, order: ListOrder) -> tuple[int | str, int]:
    try:
        cursor = _CURSOR.decode(b64decode(text, validate=True))
        key, id = _KEY.decode(b64decode(cursor.v, validate=True))
        if cursor.o != order or isinstance(key, str) != (order == "status") or "\0" in str(key):
            raise ValueError(cursor.o)
        if abs(id) > INT64_MAX or (isinstance(key, int) and abs(key) > INT64_MAX):
            raise ValueError(id)
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidPaginationParameter("the cursor cannot be read, or belongs to another list") from None
    return key, id


def _offset_url(request: ListRequest, number: int, address: str) -> str | None:
    return f"{address}?{urlencode([*request.kept, ('page', str(number)), ('per_page', str(request.limit))])}"


def _cursor_url(request: ListRequest, name: str, cursor: str, address: str) -> str:
    return f"{address}?{urlencode([*request.kept, (name, cursor), ('page[size]', str(request.limit))])}"


def slice_rows(rows: list[ListRow], part: Slice) -> list[ListRow]:
    """A part of a list that is all at hand."""
    rows = sorted(rows, key=_PLACE, reverse=part.descending)
    if part.after is not None:
        is_behind = operator.lt if part.descending else operator.gt
        rows = [row for row in rows if is_behind(_PLACE(row), part.after)]
    return rows[part.offset : part.offset + part.limit]
