"""The envelope around stored tickets, the next address, and the tag."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import json_values, keys, texts
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.envelope import after_url, encode_etag, encode_page
from ticketfeed.protocol.model import Page, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import REPEATED_PARAMETERS, parse_export_request, parse_query
from ticketfeed.protocol.rows import ChangeRow

ADDRESS = "https://acme.zendesk.com/api/v2/incremental/tickets/cursor.json"
CURSOR = "MTY5NTA2MjcyNC4wfHwxNTcxfA=="
ENVELOPE = ["after_url", "before_url", "after_cursor", "before_cursor", "end_of_stream"]

bodies = st.dictionaries(keys, json_values, max_size=5).map(msgspec.json.encode)
pages = st.builds(
    lambda bodies, end, sideloads: Page(
        [ChangeRow(100, number, body) for number, body in enumerate(bodies, 1)],
        after=Position(100, len(bodies)),
        end_of_stream=end or not bodies,
        sideloads=sideloads,
    ),
    st.lists(bodies, max_size=5),
    st.booleans(),
    st.dictionaries(st.sampled_from(["users", "groups", "organizations"]), st.lists(bodies, max_size=3)),
)
kept_parameters = st.lists(st.sampled_from(REPEATED_PARAMETERS), unique=True).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), texts.filter(bool)) for name in sorted(names)))
)


def page_of(*bodies: bytes, end: bool = True, **sideloads: list[bytes]) -> Page:
    rows = [ChangeRow(1695062724, 1570 + number, body) for number, body in enumerate(bodies, 1)]
    after = position_of(rows[-1]) if rows else Position(5, -1)
    return Page(rows, after, end, sideloads)


def answer(page: Page, kept: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode_page(page, ADDRESS, kept))
    return decoded


def test_whole_answer() -> None:
    """A page is its tickets' bytes as stored, in an envelope with Zendesk's keys in Zendesk's order."""
    expected = (
        '{"tickets":[{"id":1571,"x": 1.50 }],'
        f'"after_url":"{ADDRESS}?cursor=MTY5NTA2MjcyNC4wfHwxNTcxfA%3D%3D","before_url":null,'
        f'"after_cursor":"{CURSOR}","before_cursor":null,"end_of_stream":true}}'
    )
    assert encode_page(page_of(b'{"id":1571,"x": 1.50 }'), ADDRESS, ()).decode() == expected


@pytest.mark.parametrize("end", [True, False])
def test_end_of_stream_is_a_boolean(end: bool) -> None:
    """`end_of_stream` is a real boolean, as the page has it."""
    assert answer(page_of(b"{}", b"{}", end=end))["end_of_stream"] is end


def test_empty_page() -> None:
    """An empty page has null for all four addresses, so that readers who run until null stop."""
    nulls = '"after_url":null,"before_url":null,"after_cursor":null,"before_cursor":null'
    expected = f'{{"tickets":[],{nulls},"end_of_stream":true}}'
    assert encode_page(page_of(), ADDRESS, (("per_page", "5"),)).decode() == expected


def test_sideload_arrays() -> None:
    """An array that was asked for stands behind the tickets even when empty, in the order asked; no other does."""
    decoded = answer(page_of(b"{}", users=[b'{"id":1}', b'{"id":2}'], groups=[]))
    assert list(decoded) == ["tickets", "users", "groups", *ENVELOPE]
    assert decoded["users"] == [{"id": 1}, {"id": 2}]
    assert decoded["groups"] == []
    assert list(answer(page_of(users=[]))) == ["tickets", "users", *ENVELOPE]


@given(pages, kept_parameters)
def test_every_page_is_valid_json(page: Page, kept: tuple[tuple[str, str], ...]) -> None:
    """Whatever the bodies hold, the answer is JSON that holds them unchanged, and its cursor is the page's."""
    decoded = answer(page, kept)
    assert list(decoded) == ["tickets", *page.sideloads, *ENVELOPE]
    assert decoded["tickets"] == [json.loads(row.body) for row in page.rows]
    for kind, records in page.sideloads.items():
        assert decoded[kind] == [json.loads(body) for body in records]
    if page.rows:
        assert decoded["after_cursor"] == encode_cursor(page.after)
        query = urlsplit(decoded["after_url"]).query
        assert parse_qsl(query, keep_blank_values=True) == [("cursor", decoded["after_cursor"]), *kept]


AFTER_URLS = [
    ("start_time=0", ""),
    ("start_time=0&per_page=100", "&per_page=100"),
    ("start_time=0&page=3&x=y", ""),
    ("include=users%2Cgroups&start_time=0", "&include=users%2Cgroups"),
    ("start_time=0&include=users,%20groups", "&include=users%2C+groups"),
    ("start_time=0&include=&per_page=&exclude_deleted=undefined", ""),
    (
        "support_type_scope=all&per_page=5&include=users&exclude_deleted=true&start_time=0&cursor=",
        "&exclude_deleted=true&include=users&per_page=5&support_type_scope=all",
    ),
    ("start_time=0&include=a%26cursor%3Db", "&include=a%26cursor%3Db"),
]


@pytest.mark.parametrize(("query", "behind"), AFTER_URLS)
@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.removesuffix(".json"), "http://127.0.0.1:8080/x"])
def test_after_url(query: str, behind: str, address: str) -> None:
    """The next address is the asked one with the cursor first, `=` as %3D, and the filters kept, by alphabet."""
    asked = parse_export_request(parse_query(query), now=2**40, start_time_margin_seconds=60)
    assert after_url(address, CURSOR, asked.repeated) == f"{address}?cursor=MTY5NTA2MjcyNC4wfHwxNTcxfA%3D%3D{behind}"


@given(kept_parameters)
def test_after_url_asks_for_the_same(kept: tuple[tuple[str, str], ...]) -> None:
    """Following the next address asks with the same filters from the cursor on, for ever the same address."""
    url = after_url(ADDRESS, CURSOR, kept)
    parameters = parse_query(urlsplit(url).query)
    assert parameters.pop("cursor") == CURSOR
    again = tuple((name, text) for name, text in kept if text != "undefined")
    assert parameters == dict(again)
    assert after_url(ADDRESS, CURSOR, again) == after_url(ADDRESS, CURSOR, tuple(sorted(parameters.items())))


SAME = page_of(b"{}", b"{}")
# Each differs from SAME, asked with ("store", "acme", ADDRESS), in one thing that the body shows.
OTHERS: list[tuple[str, Page, tuple[str, ...]]] = [
    ("fewer tickets", page_of(b"{}"), ("store", "acme", ADDRESS)),
    ("no tickets", page_of(), ("store", "acme", ADDRESS)),
    (
        "another second",
        Page([ChangeRow(1, 1571, b"{}"), ChangeRow(2, 1572, b"{}")], Position(2, 1572), True),
        ("store", "acme", ADDRESS),
    ),
    ("not the end", page_of(b"{}", b"{}", end=False), ("store", "acme", ADDRESS)),
    ("with users", page_of(b"{}", b"{}", users=[b'{"id":1}']), ("store", "acme", ADDRESS)),
    ("with another user", page_of(b"{}", b"{}", users=[b'{"id":2}']), ("store", "acme", ADDRESS)),
    ("another host", SAME, ("store", "acme", ADDRESS.replace("acme", "other"))),
    ("without suffix", SAME, ("store", "acme", ADDRESS.removesuffix(".json"))),
    ("another account", SAME, ("store", "other", ADDRESS)),
    ("another store", SAME, ("another", "acme", ADDRESS)),
    ("other filters", SAME, ("store", "acme", ADDRESS, "per_page")),
]


def test_etags_differ() -> None:
    """Pages that differ in their tickets, end, sideloads, host, account, store or filters have different tags."""
    tags = [encode_etag(SAME, "store", "acme", ADDRESS), *(encode_etag(page, *names) for _, page, names in OTHERS)]
    assert len(set(tags)) == len(tags)


@given(pages, st.lists(texts, max_size=3))
def test_etag_form(page: Page, identity: list[str]) -> None:
    """A tag is weak, of 32 hex digits, and the same for the same page."""
    tag = encode_etag(page, *identity)
    assert tag == encode_etag(page, *identity)
    assert tag.startswith('W/"')
    assert tag.endswith('"')
    assert len(bytes.fromhex(tag[3:-1])) == 16
