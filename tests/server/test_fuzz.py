"""Whatever a request says, the answer is the wire's and never a 5xx."""

import json
import re
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, tickets
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.rate_limits import RATE_LIMITS
from ticketfeed.server.api.call import starlette_routes
from ticketfeed.server.api.routes import API_ROUTES
from ticketfeed.settings import Settings

NAMES = ("start_time", "cursor", "per_page", "include", "exclude_deleted", "support_type_scope", "page[size]", "x")
# Header values as a server hands them on: latin-1 text, with or without control characters.
HEADER = st.text(st.characters(max_codepoint=255), max_size=60)
NUMBERS = st.integers(-(10**25), 10**25).map(str) | st.floats().map(str) | st.sampled_from([str(2**63), "9" * 400])
VALUES = st.text(max_size=30) | NUMBERS | st.sampled_from(["", "undefined", "users,groups", "all", "ai_agent", "true"])
CURSORS = (
    st.builds("{}||{}|".format, NUMBERS, NUMBERS).map(str.encode) | st.binary(max_size=60) | st.just(b"0e9999||1|")
).map(lambda data: b64encode(data).decode())


@pytest.fixture(scope="module", params=["open", "zendesk"])
def desk(request: pytest.FixtureRequest) -> Desk:
    # Without limits, which a fuzz would meet at once.
    desk = Desk(Settings.of_profile(request.param, **dict.fromkeys(RATE_LIMITS, 0)))
    desk.put("tickets", *tickets(1, 2, 3, requester_id=1), *tickets(4, second=NOON - 10))
    return desk


def check(answer: Answer) -> None:
    assert answer.status in (200, 400, 401, 403, 404), answer.body
    body = json.loads(answer.body)
    assert "tickets" in body if answer.status == 200 else "error" in body
    assert "retry-after" not in answer.headers


@settings(deadline=None, max_examples=150)
@given(pairs=st.lists(st.tuples(st.sampled_from(NAMES), VALUES | CURSORS), max_size=6))
def test_parameters(desk: Desk, pairs: list[tuple[str, str]]) -> None:
    """Any values of any parameters, percent-encoded or not."""
    check(desk.ask(f"{PATH}?" + "&".join(f"{name}={value}" for name, value in pairs)))
    check(desk.ask(f"{PATH}?" + "&".join(f"{name}={''.join(f'%{b:02x}' for b in v.encode())}" for name, v in pairs)))


@settings(deadline=None, max_examples=100)
@given(query=st.text(max_size=80))
def test_query(desk: Desk, query: str) -> None:
    """Any text as the query."""
    check(desk.ask(f"{PATH}?{query}"))
    check(desk.ask(f"{ALL}&{query}"))


@settings(deadline=None, max_examples=150)
@given(cursor=CURSORS | st.text(max_size=40))
def test_cursor(desk: Desk, cursor: str) -> None:
    """Any cursor; one that can be read leads to a page that can be walked on from."""
    answer = desk.ask(f"{PATH}?cursor={cursor}".replace("+", "%2B"))
    check(answer)
    if answer.status == 200 and (after := json.loads(answer.body)["after_cursor"]):
        check(desk.ask(f"{PATH}?cursor={after}"))


@settings(deadline=None, max_examples=150)
@given(
    text=HEADER
    | st.builds("Basic {}".format, HEADER | st.binary(max_size=40).map(lambda data: b64encode(data).decode()))
    | st.builds("Bearer {}".format, HEADER)
)
def test_authorization(desk: Desk, text: str) -> None:
    """Any Authorization header."""
    answer = desk.ask(authorization=text)
    check(answer)
    assert answer.status == 401


@settings(deadline=None, max_examples=150)
@given(host=HEADER | st.text("[]:.0123456789abcdef-_", max_size=20))
def test_host(desk: Desk, host: str) -> None:
    """Any Host; an answer with a page repeats it as it was."""
    answer = desk.ask(host=host)
    check(answer)
    assert answer.status == 400 or f'"http://{host}/api/v2/'.encode() in answer.body


@settings(deadline=None, max_examples=100)
@given(
    headers=st.lists(
        st.tuples(st.sampled_from(["accept", "accept-encoding", "cookie", "x-forwarded-host", "range"]), HEADER),
        max_size=4,
    )
)
def test_headers(desk: Desk, headers: list[tuple[str, str]]) -> None:
    """Any other header changes nothing but the packing."""
    assert desk.ask(headers=headers, authorization=ADMIN).status == 200


@settings(deadline=None, max_examples=100)
@given(path=st.text(max_size=40), method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "get"]))
def test_path(desk: Desk, path: str, method: str) -> None:
    """Any other path is not found."""
    assert desk.ask("/" + path.replace("?", ""), method=method).status == 404


PARAMETER = re.compile(r"\{[^}]*\}")
PATHS = sorted({route.path for route in starlette_routes(API_ROUTES)})
MORE_NAMES = [
    *NAMES,
    "page",
    "page[size]",
    "page[after]",
    "page[before]",
    "sort",
    "sort_by",
    "sort_order",
    "ids",
    "query",
]


@settings(deadline=None, max_examples=300)
@given(
    path=st.sampled_from(PATHS),
    number=st.sampled_from(["1", "2", "0", str(2**63), "9" * 30, "-1", "x", "%00"]),
    pairs=st.lists(st.tuples(st.sampled_from(MORE_NAMES), VALUES | CURSORS), max_size=5),
)
def test_every_route(desk: Desk, path: str, number: str, pairs: list[tuple[str, str]]) -> None:
    """Any parameters of any route, and any number in its path."""
    query = "&".join(f"{name}={''.join(f'%{b:02x}' for b in value.encode())}" for name, value in pairs)
    answer = desk.ask(f"{PARAMETER.sub(number, path)}?{query}")
    assert answer.status in (200, 400, 403, 404), (path, answer.body)
    json.loads(answer.body)


ODD = (None, "\0", [], [None], [[]], [{}], {"id": None}, [{"id": 10**30}])
BODIES = (b"", b"[]", b"\xff", b'{"a":' * 20_000)


def test_every_body() -> None:
    """Any value under each key that a write takes, and any other body."""
    desk = Desk()
    for route in API_ROUTES:
        target = f"/api/v2{PARAMETER.sub('1', route.path)}?ids=1"
        for body in [*BODIES, *(json.dumps({key: odd}).encode() for key in route.body for odd in ODD)]:
            if route.body:
                answer = desk.ask(target, method=route.method, body=body)
                assert answer.status < 500, (target, body, answer.body)
                json.loads(answer.body)
