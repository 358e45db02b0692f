"""Pagination of lists: what a query asks for, and what one page says of the next."""

import json
from base64 import b64decode, b64encode
from urllib.parse import parse_qs, urlsplit

import pytest

from ticketfeed.protocol.errors import (
    InvalidPaginationDepth,
    InvalidPaginationParameter,
    InvalidValue,
    TooManyValues,
)
from ticketfeed.protocol.list_request import (
    ListRequest,
    paginate,
    parse_ids,
    parse_list_request,
    parse_ticket_list,
    slice_rows,
)
from ticketfeed.protocol.model import INT64_MAX, ListOrder, Slice, TicketList
from ticketfeed.protocol.rows import ListRow

ORDERS: tuple[ListOrder, ...] = ("id", "updated_at", "status")
ADDRESS = "https://acme.zendesk.com/api/v2/tickets.json"


def cursor(order: str, key: object, id: object = 7) -> str:
    """Written from the facts of the wire: Base64 of JSON with the order and, in Base64 again, the key and id."""
    inner = b64encode(json.dumps([key, id]).encode()).decode()
    return b64encode(json.dumps({"o": order, "v": inner}).encode()).decode()


def parse(**parameters: str) -> ListRequest:
    return parse_list_request(parameters, orders=ORDERS)


@pytest.mark.parametrize(
    ("parameters", "part", "limit", "number"),
    [
        ({}, Slice(100), 100, 1),
        ({"per_page": "30"}, Slice(30), 30, 1),
        ({"per_page": "5000"}, Slice(100), 100, 1),
        ({"page": "3", "per_page": "30"}, Slice(30, offset=60), 30, 3),
        ({"page": "100"}, Slice(100, offset=9_900), 100, 100),
        ({"page": " 2 "}, Slice(100, offset=100), 100, 2),
        ({"sort_by": "updated_at", "sort_order": "desc"}, Slice(100, "updated_at", True), 100, 1),
        ({"sort_by": "updated_at", "sort_order": "DESC"}, Slice(100, "updated_at"), 100, 1),
        ({"sort_by": "subject", "sort_order": "desc"}, Slice(100, "id", True), 100, 1),
        ({"sort": "-status", "sort_by": "id"}, Slice(100, "status", True), 100, 1),
        ({"page[size]": "25"}, Slice(26), 25, None),
        ({"page[size]": "1", "per_page": "7"}, Slice(2), 1, None),
        ({"page[after]": cursor("id", 7)}, Slice(101, after=(7, 7)), 100, None),
        ({"page[after]": cursor("id", 7), "sort": "-id"}, Slice(101, "id", True, (7, 7)), 100, None),
        ({"page[before]": cursor("id", 7)}, Slice(101, "id", True, (7, 7)), 100, None),
        ({"page[before]": cursor("id", 7), "sort": "-id"}, Slice(101, after=(7, 7)), 100, None),
        ({"page[after]": cursor("status", "new"), "sort": "status"}, Slice(101, "status", after=("new", 7)), 100, None),
        ({"page[after]": cursor("id", -1, -1)}, Slice(101, after=(-1, -1)), 100, None),
        ({"page[after]": cursor("id", INT64_MAX, INT64_MAX)}, Slice(101, after=(INT64_MAX, INT64_MAX)), 100, None),
    ],
)  # fmt: skip
def test_what_is_read(parameters: dict[str, str], part: Slice, limit: int, number: int | None) -> None:
    """A query is one part of the list, in one order; with a cursor one row more than the page holds."""
    request = parse(**parameters)
    assert (request.part, request.limit, request.number) == (part, limit, number)
    assert request.backwards == ("page[before]" in parameters)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"page": "0"}, InvalidPaginationParameter),
        ({"page": "-1"}, InvalidPaginationParameter),
        ({"page": "1.0"}, InvalidPaginationParameter),
        ({"page": "text"}, InvalidPaginationParameter),
        ({"per_page": "0"}, InvalidPaginationParameter),
        ({"page[size]": "0"}, InvalidPaginationParameter),
        ({"page[size]": "101"}, InvalidPaginationParameter),
        ({"page": "1", "page[size]": "5"}, InvalidPaginationParameter),
        ({"page": "1", "page[after]": cursor("id", 7)}, InvalidPaginationParameter),
        ({"page[after]": cursor("id", 7), "page[before]": cursor("id", 7)}, InvalidPaginationParameter),
        ({"sort": "subject"}, InvalidPaginationParameter),
        ({"sort": "--id"}, InvalidPaginationParameter),
        ({"page": "101"}, InvalidPaginationDepth),
        ({"page": "2", "per_page": "5001"}, None),
        ({"page": "1001", "per_page": "10"}, InvalidPaginationDepth),
        ({"page": "1000", "per_page": "10"}, None),
        ({"page": "9" * 40}, InvalidPaginationDepth),
    ],
)
def test_refused(parameters: dict[str, str], error: type[Exception] | None) -> None:
    """Two styles at once, sizes out of range, orders that the list lacks and too deep pages are refused."""
    if error is None:
        parse(**parameters)
    else:
        with pytest.raises(error):
            parse(**parameters)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "eA==",
        b64encode(b"{}").decode(),
        b64encode(b'{"o":"id","v":"eA=="}').decode(),
        cursor("updated_at", 7),
        cursor("id", "open"),
        cursor("id", 2**63),
        cursor("id", 7, 2**63),
        cursor("id", 7, -(2**63)),
        cursor("id", 1.5),
        cursor("id", None),
        cursor("id", 7, "7"),
        cursor("id", 7) + "*",
        b64encode(b"[" * 100_000).decode(),
    ],
)
def test_cursors_refused(text: str) -> None:
    """A cursor that cannot be read, of another order, or of ids beyond 64 bits is refused."""
    for name in ("page[after]", "page[before]"):
        with pytest.raises(InvalidPaginationParameter):
            parse(**{name: text})


def test_a_status_is_text() -> None:
    """In the order of a status the key is text, which PostgreSQL cannot have a NUL in."""
    for key in (7, "op\0en"):
        with pytest.raises(InvalidPaginationParameter):
            parse(sort="status", **{"page[after]": cursor("status", key)})


def rows(*ids: int) -> list[ListRow]:
    return [ListRow(id, id, b"%d" % id) for id in ids]


def repeated(url: str | None) -> dict[str, list[str]]:
    """The parameters of a link."""
    assert url is not None
    assert url.startswith(f"{ADDRESS}?")
    return parse_qs(urlsplit(url).query)


def test_links_of_offset_pagination() -> None:
    """next_page and previous_page repeat what was asked for; the last page has no next, the first no previous."""
    request = parse(page="2", per_page="2", include="users")
    page, keys = paginate(request, rows(3, 4), 5, ADDRESS)
    assert [row.id for row in page] == [3, 4]
    assert keys["count"] == 5
    assert repeated(keys["next_page"]) == {"include": ["users"], "page": ["3"], "per_page": ["2"]}
    assert repeated(keys["previous_page"]) == {"include": ["users"], "page": ["1"], "per_page": ["2"]}
    for number, count, has_next, has_previous in (("1", 5, True, False), ("3", 5, False, True), ("2", 4, False, True)):
        _, keys = paginate(parse(page=number, per_page="2"), rows(1), count, ADDRESS)
        assert (keys["next_page"] is not None, keys["previous_page"] is not None) == (has_next, has_previous)


def test_links_of_cursor_pagination() -> None:
    """A page holds one row less than was read; its cursors are those of its first and last row, and links repeat
    what was asked for."""
    request = parse(**{"page[size]": "2", "sort": "-id", "page[after]": cursor("id", 10)})
    page, keys = paginate(request, rows(9, 8, 7), None, ADDRESS)
    assert [row.id for row in page] == [9, 8]
    assert keys["meta"]["has_more"] is True
    for name, id in (("before_cursor", 9), ("after_cursor", 8)):
        text = json.loads(b64decode(keys["meta"][name]))
        assert (text["o"], json.loads(b64decode(text["v"]))) == ("id", [id, id])
    expected = {"sort": ["-id"], "page[size]": ["2"]}
    assert repeated(keys["links"]["next"]) == {**expected, "page[after]": [keys["meta"]["after_cursor"]]}
    assert repeated(keys["links"]["prev"]) == {**expected, "page[before]": [keys["meta"]["before_cursor"]]}


@pytest.mark.parametrize(
    ("parameters", "read", "ids", "has_more", "has_prev", "has_next"),
    [
        ({}, [1, 2, 3], [1, 2], True, True, True),
        ({}, [1, 2], [1, 2], False, True, True),
        ({"page[after]": cursor("id", 0)}, [1, 2], [1, 2], False, True, True),
        ({"page[before]": cursor("id", 9)}, [8, 7, 6], [7, 8], True, True, True),
        ({"page[before]": cursor("id", 9)}, [8, 7], [7, 8], False, True, True),
        ({"page[after]": cursor("id", 9)}, [], [], False, False, False),
        ({"page[before]": cursor("id", 1)}, [], [], False, False, False),
    ],
)
def test_pages_behind_a_cursor(
    parameters: dict[str, str], read: list[int], ids: list[int], has_more: bool, has_prev: bool, has_next: bool
) -> None:
    """A page has links both ways, even at the ends of the list; an empty one has none. A page before a cursor is
    turned round."""
    page, keys = paginate(parse(**{"page[size]": "2"}, **parameters), rows(*read), None, ADDRESS)
    assert [row.id for row in page] == ids
    assert keys["meta"]["has_more"] == has_more
    assert (keys["links"]["prev"] is not None, keys["links"]["next"] is not None) == (has_prev, has_next)
    assert (keys["meta"]["after_cursor"] is None) == (not ids)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Slice(2), [1, 2]),
        (Slice(2, descending=True), [4, 3]),
        (Slice(9, after=(2, 2)), [3, 4]),
        (Slice(9, descending=True, after=(2, 2)), [1]),
        (Slice(9, after=(2, 1)), [2, 3, 4]),
        (Slice(2, offset=1), [2, 3]),
        (Slice(2, offset=9), []),
    ],
)
def test_slices(part: Slice, expected: list[int]) -> None:
    """A part of a list in memory is ordered, begins behind its place and ends at its limit."""
    assert [row.id for row in slice_rows(rows(3, 1, 4, 2), part)] == expected


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("7", [7]),
        ("2,1,2", [2, 1, 2]),
        (" 1 , 2,", [1, 2]),
        (",".join(["1"] * 100), [1] * 100),
        ("9" * 40, [INT64_MAX]),
        (",".join(["1"] * 101), TooManyValues),
        ("", InvalidValue),
        (",", InvalidValue),
        ("1,x", InvalidValue),
        ("-1", InvalidValue),
        ("1;2", InvalidValue),
    ],
)
def test_ids(text: str, ids: list[int] | type[Exception]) -> None:
    """Up to a hundred whole numbers with commas between them; empty ones do not count."""
    if isinstance(ids, list):
        assert parse_ids({"ids": text}) == ids
    else:
        with pytest.raises(ids):
            parse_ids({"ids": text})


@pytest.mark.parametrize(
    ("parameters", "tickets"),
    [
        ({}, TicketList()),
        ({"page": "2", "unknown": "x"}, TicketList()),
        ({"support_type_scope": "ai_agent"}, TicketList(support_type_scope="ai_agent")),
        ({"support_type_scope": "agent"}, TicketList(support_type_scope="agent")),
        ({"external_id": "a b"}, TicketList(external_id="a b")),
        ({"external_id": "a\0b"}, TicketList(external_id="ab")),
        ({"start_time": "0"}, TicketList(start_time=0)),
        ({"start_time": "9" * 40}, None),
        ({"start_time": "-1"}, None),
        ({"start_time": "1.5"}, None),
        ({"start_time": "2026-01-31"}, None),
        ({"support_type_scope": "human"}, None),
    ],
)
def test_which_tickets(parameters: dict[str, str], tickets: TicketList | None) -> None:
    """A list is of all tickets, or of one scope, one external id, or since a time; what cannot be read is refused."""
    if tickets is not None:
        assert parse_ticket_list(parameters) == tickets
    else:
        with pytest.raises(InvalidValue):
            parse_ticket_list(parameters)
