"""Pagination of lists: query -> ListRequest; rows -> one page and the keys that follow it in the envelope.

Cursor pagination: `page[size]`, `page[after]` and `page[before]`; the answer has `meta` and `links`. Offset
pagination: `page` and `per_page`; the answer has `next_page`, `previous_page` and `count`, and ends at the 10,000th
record. A request without any of them is offset pagination.
"""

import binascii
import operator
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.errors import InvalidPaginationDepth, InvalidPaginationParameter, InvalidValue, TooManyValues
from ticketfeed.protocol.model import INT64_MAX, TEXT_ORDERS, ListOrder, Slice, TicketList
from ticketfeed.protocol.query import parse_integer, parse_scope
from ticketfeed.protocol.rows import ListRow

__all__ = [
    "LIST_LIMIT_MAX",
    "OFFSET_MAX",
    "ListRequest",
    "paginate",
    "parse_external_ids",
    "parse_ids",
    "parse_list_request",
    "parse_ticket_list",
    "slice_rows",
]

# Both are limits of the wire: the largest page of a list, and the last record that offset pagination reaches.
LIST_LIMIT_MAX = 100
OFFSET_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One page of a list. `number`: of the page, from 1, with offset pagination; None with a cursor.

    `part`: what to read. With a cursor that is one row more than `limit`, which shows whether more follow.
    `backwards`: the page ends before the cursor, and its rows are read in the opposite order. `repeated`: the
    parameters that links repeat.
    """

    part: Slice
    limit: int
    number: int | None
    backwards: bool
    repeated: tuple[tuple[str, str], ...]


class _Cursor(msgspec.Struct):
    """As on the wire. `o`: the order of the list. `v`: the key and id of a row, as JSON in Base64."""

    o: str
    v: str


_CURSOR = msgspec.json.Decoder(_Cursor)
_KEY = msgspec.json.Decoder(tuple[int | str, int])
_PLACE = operator.attrgetter("key", "id")
_PAGE_PARAMETERS = ("page", "per_page", "page[size]", "page[after]", "page[before]")


def parse_list_request(
    parameters: Mapping[str, str], *, orders: Sequence[ListOrder] = ("id",), limit_max: int = LIST_LIMIT_MAX
) -> ListRequest:
    """Check the parameters that `parse_query` returned. Raises InvalidPaginationParameter, InvalidPaginationDepth.

    `orders`: the orders that this list has, its own first.
    """
    order, descending = _parse_order(parameters, orders)
    repeated = tuple((name, text) for name, text in parameters.items() if name not in _PAGE_PARAMETERS)
    has_cursor = any(name in parameters for name in ("page[size]", "page[after]", "page[before]"))
    if has_cursor and "page" in parameters:
        raise InvalidPaginationParameter("page cannot be used together with page[size], page[after] or page[before]")
    if has_cursor:
        limit = _parse_count(parameters, "page[size]", min(LIST_LIMIT_MAX, limit_max), limit_max)
        if "page[after]" in parameters and "page[before]" in parameters:
            raise InvalidPaginationParameter("page[after] and page[before] cannot be used together")
        backwards = "page[before]" in parameters
        text = parameters.get("page[before]" if backwards else "page[after]")
        after = None if text is None else _decode(text, order)
        return ListRequest(Slice(limit + 1, order, descending != backwards, after), limit, None, backwards, repeated)
    number = _parse_count(parameters, "page", 1, INT64_MAX)
    limit = min(_parse_count(parameters, "per_page", LIST_LIMIT_MAX, INT64_MAX), limit_max)
    if number > 1 and number * limit > OFFSET_MAX:
        raise InvalidPaginationDepth(OFFSET_MAX)
    return ListRequest(Slice(limit, order, descending, None, (number - 1) * limit), limit, number, False, repeated)


def paginate(
    request: ListRequest, rows: Sequence[ListRow], count: int | None, address: str, *, more: bool = False
) -> tuple[Sequence[ListRow], dict[str, Any]]:
    """The rows of the page, and the keys that follow them in the envelope.

    `count`: of the whole list; with offset pagination only. `more`: whether rows follow these that are not among them,
    as behind a page that ends early by its bytes; with a cursor only.
    """
    if request.number is not None:
        total, number = count or 0, request.number
        keys: dict[str, Any] = {
            "next_page": _offset_url(request, number + 1, address) if number * request.limit < total else None,
            "previous_page": _offset_url(request, number - 1, address) if number > 1 else None,
            "count": total,
        }
        return rows, keys
    page = rows[: request.limit]
    more = more or len(rows) > request.limit
    if request.backwards:
        page = page[::-1]
    first, last = (_encode(request, page[0]), _encode(request, page[-1])) if page else (None, None)
    return page, {
        "meta": {"has_more": more, "after_cursor": last, "before_cursor": first},
        "links": {  # recorded: addresses even at the ends of the list, null only where there is no record to go on from
            "prev": _cursor_url(request, "page[before]", first, address) if first else None,
            "next": _cursor_url(request, "page[after]", last, address) if last else None,
        },
    }


def _parse_order(parameters: Mapping[str, str], orders: Sequence[ListOrder]) -> tuple[ListOrder, bool]:
    text = parameters.get("sort")
    if text is None:  # the older form; an order that the list does not have is ignored
        name = parameters.get("sort_by", orders[0])
        order = name if name in orders else orders[0]
        return cast(ListOrder, order), parameters.get("sort_order") == "desc"
    name = text.removeprefix("-")
    if name not in orders or name not in get_args(ListOrder):
        raise InvalidPaginationParameter(f"sort must be one of {', '.join(orders)}, with - before it for descending")
    return cast(ListOrder, name), text.startswith("-")


def _parse_count(parameters: Mapping[str, str], name: str, default: int, count_max: int) -> int:
    if name not in parameters:
        return default
    count = parse_integer(parameters[name])
    if count is None or not 1 <= count <= count_max:
        raise InvalidPaginationParameter(
            f"{name} must be a whole number from 1" + (f" to {count_max}" if count_max < INT64_MAX else "")
        )
    return count


def _encode(request: ListRequest, row: ListRow) -> str:
    inner = b64encode(msgspec.json.encode((row.key, row.id))).decode()
    return b64encode(msgspec.json.encode(_Cursor(request.part.order, inner))).decode()


def _decode(text: str, order: ListOrder) -> tuple[int | str, int]:
    try:
        cursor = _CURSOR.decode(b64decode(text, validate=True))
        key, id = _KEY.decode(b64decode(cursor.v, validate=True))
        if cursor.o != order or isinstance(key, str) != (order in TEXT_ORDERS) or "\0" in str(key):
            raise ValueError(cursor.o)
        if abs(id) > INT64_MAX or (isinstance(key, int) and abs(key) > INT64_MAX):
            raise ValueError(id)
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        raise InvalidPaginationParameter("the cursor cannot be read, or belongs to another list") from None
    return key, id


def _offset_url(request: ListRequest, number: int, address: str) -> str | None:
    return f"{address}?{urlencode([*request.repeated, ('page', str(number)), ('per_page', str(request.limit))])}"


def _cursor_url(request: ListRequest, name: str, cursor: str, address: str) -> str:
    return f"{address}?{urlencode([*request.repeated, (name, cursor), ('page[size]', str(request.limit))])}"


def slice_rows(rows: list[ListRow], part: Slice) -> list[ListRow]:
    """The part of a list whose rows are all in memory."""
    rows = sorted(rows, key=_PLACE, reverse=part.descending)
    if part.after is not None:
        follows = operator.lt if part.descending else operator.gt
        rows = [row for row in rows if follows(_PLACE(row), part.after)]
    return rows[part.offset : part.offset + part.limit]


def parse_ids(parameters: Mapping[str, str]) -> list[int]:
    """The `ids` of a request for several records. Raises InvalidValue, TooManyValues."""
    texts = _split(parameters.get("ids", ""))
    ids = [parse_integer(text) for text in texts]
    if not ids or None in ids:
        raise InvalidValue("ids must be whole numbers, separated by commas")
    return [id for id in ids if id is not None]


def _split(text: str) -> list[str]:
    texts = [part.strip() for part in text.split(",") if part.strip()]
    if len(texts) > LIST_LIMIT_MAX:
        raise TooManyValues(LIST_LIMIT_MAX)
    return texts


def parse_external_ids(parameters: Mapping[str, str]) -> list[str]:
    """The `external_ids` of a request for several records. Raises InvalidValue, TooManyValues."""
    texts = _split(parameters.get("external_ids", "").replace("\0", ""))
    if not texts:
        raise InvalidValue("external_ids must be texts, separated by commas")
    return texts


def parse_ticket_list(parameters: Mapping[str, str]) -> TicketList:
    """Which tickets a list holds: all of them by default, unlike an export. Raises InvalidValue."""
    start_time = parse_integer(parameters["start_time"]) if "start_time" in parameters else None
    if "start_time" in parameters and start_time in (None, INT64_MAX):  # or beyond, where no store can look
        raise InvalidValue("start_time must be a time in Unix seconds")
    external_id = parameters.get("external_id")
    return TicketList(
        support_type_scope=parse_scope(parameters.get("support_type_scope", "all")),
        external_id=external_id.replace("\0", "") if external_id else None,  # no stored one has a NUL
        start_time=start_time,
    )
