"""The page over HTTP: what is shown, and that nothing of it can be turned against its reader."""

import asyncio
import re
import sys
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.browser import BASE, PAGES, Browser, desk_of
from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, tickets
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import INT64_MAX, Position
from ticketfeed.protocol.oauth import EXPIRY_BEGINS
from ticketfeed.server import recent_reads
from ticketfeed.server.dashboard import charts as page_charts
from ticketfeed.server.dashboard import session as page_session
from ticketfeed.server.dashboard.filters import parse_place
from ticketfeed.settings import Settings


def text(answer: Answer) -> str:
    assert answer.status == 200, answer
    return answer.body.decode()


@pytest.mark.parametrize("path", PAGES)
def test_credentials_of_the_api_open_too(path: str) -> None:
    """Who asks as an API client does needs no session; only admins are shown anything."""
    desk = desk_of()
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    assert desk.ask(BASE + path).status == 200
    assert desk.ask(BASE + path, authorization=basic("agent@example.com/token:agent-token")).status == 403
    assert desk.ask(BASE + path, authorization=basic("admin@example.com/token:wrong")).status == 401


@pytest.mark.parametrize("path", [*PAGES, "login", "tickets/99999", "static/page.js", "static/../page.py"])
def test_nothing_from_elsewhere(path: str) -> None:
    """Every answer forbids the browser to load, to send and to be framed elsewhere; no page names another host."""
    desk = desk_of()
    answer = desk.ask(BASE + path)
    if answer.status != 404 or "html" in answer.headers["content-type"]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
    if "html" in answer.headers["content-type"]:
        assert not re.search(rb'(?:src|href|action)="(?:https?:)?//', answer.body)
        assert b"<script>" not in answer.body
        assert b" style=" not in answer.body


def test_what_others_wrote_is_text() -> None:
    """Neither a ticket's subject nor a client's name nor what was asked for becomes part of the page."""
    evil = "<script>alert(1)</script>'\"&"
    desk = Desk()
    desk.put("tickets", *tickets(1, subject=evil, description=evil))
    desk.ask(ALL, headers=[("User-Agent", evil)])
    desk.ask(f"{PATH}?cursor=%3Cscript%3Ealert(1)")
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    asked = [
        *PAGES,
        "feed?at=%3Cscript%3Ealert(1)%3C/script%3E",
        "feed?at=0",
        "?span=%3Cscript%3E",
        "tickets?after=%3Cscript%3E",
    ]
    for path in asked:
        assert "<script>alert" not in text(desk.ask(BASE + path))
    assert "&lt;script&gt;alert" in text(desk.ask(f"{BASE}consumers"))


def test_no_page_holds_a_secret() -> None:
    """Neither tokens nor their hashes are on any page."""
    desk = desk_of()
    desk.ask(ALL)
    desk.ask(ALL, authorization=basic("admin@example.com/token:wrong-token"))
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    secrets = ["admin-token", "wrong-token", ADMIN.split()[1], page_session.URLSafeSerializer.__name__]
    secrets += [hash_token("admin-token"), hash_token("wrong-token")]
    for path in PAGES:
        found = text(desk.ask(BASE + path))
        assert not [secret for secret in secrets if secret in found]


def test_oauth() -> None:
    """The page lists clients and tokens without the tokens; a consumer's line follows its token through its life."""
    desk = desk_of()
    desk.now = EXPIRY_BEGINS + 86400
    client = desk.make_client(allowed_scopes=["read"], redirect_uri=["https://example.com/"])
    desk.add_code(scopes="read")
    code = {"grant_type": "authorization_code", "code": "code", "redirect_uri": "https://example.com/"}
    tokens = [desk.token(**code)]

    def consumer() -> str:
        asyncio.run(desk.app.state.service.usage_tracker.flush())
        desk.app.state.service.recent_reads._reads.clear()
        return plain(desk.ask(f"{BASE}consumers"))

    assert desk.ask(authorization=f"Bearer {tokens[0]['access_token']}").status == 200
    assert "token expires in 30 minutes, never renewed" in consumer()
    asyncio.run(desk.app.state.service.usage_tracker.flush_token_uses())
    desk.now += 1860
    assert "token expired 60 s ago, never renewed" in consumer()
    assert "31 minutes 31 minutes ago expired 60 s ago expires in 30 days" in plain(desk.ask(f"{BASE}oauth"))
    tokens += [desk.token(grant_type="refresh_token", refresh_token=tokens[0]["refresh_token"])]
    desk.now += 600
    assert "token expires in 20 minutes, renewed 10 minutes ago" in consumer()
    page = plain(desk.ask(f"{BASE}oauth"))
    assert "connector connector confidential admin@example.com read https://example.com/ 41 minutes 1" in page
    assert "connector admin@example.com read 10 minutes renewed never expires in 20 minutes expires in 30 days" in page
    desk.token()  # of the client itself
    desk.now += 3600
    alone = desk.token()
    assert desk.ask(authorization=f"Bearer {alone['access_token']}").status == 200
    assert "token expires in 30 minutes, renewed just now" in consumer()
    assert plain(desk.ask(f"{BASE}oauth")).count(" none ") == 1
    shown = [desk.ask(BASE + path).body.decode() for path in PAGES]
    secrets = [secret for token in tokens for secret in (token["access_token"], token["refresh_token"])]
    starts = {start for secret in ("secret", *secrets) for start in (secret[:10], hash_token(secret)[:10])} - {"secret"}
    assert not [start for start in starts for page in shown if start in page]
    desk.send("DELETE", f"/oauth/clients/{client['id']}", expect=204)
    assert "no token: revoked" in consumer()
    assert "No clients yet." in plain(desk.ask(f"{BASE}oauth"))


def plain(answer: Answer) -> str:
    """What a page says, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text(answer)))


def test_without_the_page() -> None:
    """With --no-dashboard its addresses are unknown, and everything else is as before."""
    desk = desk_of(settings=Settings(dashboard=False))
    for path in (*PAGES, "login", "static/page.css"):
        assert desk.ask(BASE + path).status == 404
    assert desk.ask(f"{BASE}health").status == desk.ask(ALL).status == 200


def test_without_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing the server serves, and the page's address says what to install."""
    for name in ("routes", "pages", "consent"):
        monkeypatch.delitem(sys.modules, f"ticketfeed.server.dashboard.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    desk = desk_of()
    for address in (BASE, "/oauth/authorizations/new"):
        answer = desk.ask(address)
        assert (answer.status, b"pip install 'ticketfeed[dashboard]'" in answer.body) == (501, True)
    assert desk.ask(ALL).status == 200


def test_overview() -> None:
    """It shows how many tickets there are, the newest change, the watermark, the consumers, and the chart's numbers."""
    desk = desk_of()
    desk.ask(f"{ALL}&per_page=4", headers=[("User-Agent", "tap/1")])
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    for span in ("hour", "day", "month", "year", "nonsense"):
        shown = text(desk.ask(f"{BASE}?span={span}"))
        assert "<dd>10</dd>" in shown
        assert "2023-11-14 21:56:40" in shown
        assert "tap/1" in shown
        assert "10 tickets last changed in this period" in shown


def test_inspector() -> None:
    """A cursor, a time in two forms and an address lead to the same place, with what is pending and comes next."""
    desk = desk_of()
    second, cursor = NOON - 1000, encode_cursor(Position(NOON - 1000, 4))
    for asked in (cursor, f"https://acme.zendesk.com{PATH}?cursor={cursor.replace('=', '%3D')}&per_page=5"):
        shown = text(desk.ask(f"{BASE}feed?{urlencode({'at': asked})}"))
        assert "All changes after ticket <strong>4</strong>" in shown
        assert "<strong>6</strong> changes are pending" in shown
        assert [int(found) for found in re.findall(r'tickets/(\d+)"', shown)] == [5, 6, 7, 8, 9, 10]
    for asked in (str(second), "2023-11-14T21:56:40Z", "2023-11-14 21:56:40", f"{PATH}?start_time={second}"):
        shown = text(desk.ask(f"{BASE}feed?{urlencode({'at': asked})}"))
        assert f"start_time={second}" in shown
        assert "<strong>10</strong> changes are pending" in shown
    assert "End of stream." in text(desk.ask(f"{BASE}feed?at={NOON}"))
    assert "not a cursor, a time" in text(desk.ask(f"{BASE}feed?at=nonsense"))


def test_the_inspector_closes_what_is_over() -> None:
    """A change whose second is over is pending and comes next; one that no reader would be given yet is neither."""
    desk = Desk()
    desk.put("tickets", *tickets(1))
    desk.put("tickets", {"id": 2})
    for now, expected in ((NOON, "<strong>1</strong> changes"), (NOON + 3600, "<strong>2</strong> changes")):
        desk.now = now
        shown = text(desk.ask(f"{BASE}feed?at=0"))
        assert expected in shown
        assert len(re.findall(r'/tickets/(\d+)"', shown)) == int(expected[8])


def test_the_cursor_shown_can_be_used() -> None:
    """The cursor of a time is one that the export takes, and gives what the time gives."""
    desk = desk_of()
    shown = text(desk.ask(f"{BASE}feed?at={NOON - 1000}"))
    (cursor,) = set(re.findall(r"cursor=([A-Za-z0-9+/%]+)&#39;", shown))
    assert [ticket["id"] for ticket in desk.page(f"{PATH}?cursor={cursor}")["tickets"]] == list(range(1, 11))


@given(st.text(max_size=80) | st.integers().map(str) | st.binary(max_size=30).map(lambda data: f"?cursor={data.hex()}"))
@settings(max_examples=200)
def test_places_from_any_text(asked: str) -> None:
    """Any text is a place, whose cursor leads to the same place, or is refused in words."""
    try:
        place = parse_place(asked)
    except (ValueError, OverflowError):
        return
    again = parse_place(place.cursor)
    assert again.position in (place.position, Position(place.position.generated_timestamp - 1, INT64_MAX))


@pytest.mark.parametrize(
    "asked",
    [
        "9" * 18,
        "-9",
        "99999-01-01",
        "0001-01-01",
        "MC4wfHwwfA==",
        "9" * 400,
        "?cursor=",
        "/",
        "\x00",
        "?cursor=" * 2000,
    ],
)
def test_strange_places(asked: str) -> None:
    """Whatever is asked for, the page answers."""
    assert desk_of().ask(f"{BASE}feed?{urlencode({'at': asked})}").status == 200


def test_tickets_are_listed_by_their_last_change() -> None:
    """The last changed first, fifty at a time, deleted ones apart, each with its own page; an unknown one is a 404."""
    desk = Desk()
    desk.put("tickets", *(ticket for n in range(1, 121) for ticket in tickets(n, second=NOON - 2000 + n)))
    desk.put("tickets", {"id": 500, "status": "deleted"})
    listed: list[int] = []
    path = "tickets"
    while path:
        shown = text(desk.ask(BASE + path))
        listed += map(int, re.findall(r'/tickets/(\d+)"', shown))
        older = re.search(r'href="/_ticketfeed/(tickets\?after=[^"]*)" rel="next"', shown)
        path = older[1].replace("&amp;", "&") if older else ""
    assert listed == list(range(120, 0, -1))
    assert re.findall(r'/tickets/(\d+)"', text(desk.ask(f"{BASE}tickets?deleted=1"))) == ["500"]
    assert "&#34;generated_timestamp&#34;: " in text(desk.ask(f"{BASE}tickets/7"))
    for unknown in ("tickets/9999999999999999999", "tickets/x", f"tickets/{'9' * 5000}"):
        assert desk.ask(f"{BASE}{unknown}").status == 404
    answer = desk.ask(f"{BASE}tickets/999")
    assert (answer.status, b"Ticket not found" in answer.body) == (404, True)


def test_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the page says so, and that it is not the reader's fault."""
    desk = desk_of()

    async def away(*_args: Any, **_options: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(desk.store, "inspect", away)
    answer = desk.ask(BASE)
    assert (answer.status, b"The store is unavailable" in answer.body) == (503, True)


def test_an_unknown_host() -> None:
    """A host that names no account is told so, with or without a session."""
    desk = Desk(accounts=("acme", "other"))
    assert desk.ask(BASE, host="nobody.localhost").status == 404
    assert Browser(desk, "nobody.localhost").go("login").status == 404


def test_a_large_form() -> None:
    """It is refused before it is read whole."""
    browser = Browser(desk_of())
    browser.go("login")
    assert browser.go("login", {"email": "x" * 100_000}).status == 413


@pytest.mark.parametrize(("counting_seconds", "cached_seconds"), [(0.0, 4.0), (0.1, 4.0), (0.5, 10.0), (60.0, 1200.0)])
def test_how_long_a_chart_is_cached(
    counting_seconds: float, cached_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For twenty times as long as it took to count, and four seconds at least; each period is cached by itself."""
    clock, counts = [1000.0], [0]
    monkeypatch.setattr(recent_reads, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    desk = desk_of()
    account = desk._account("acme")

    async def inspect(_work: Any, **_options: Any) -> dict[int, int]:
        clock[0] += counting_seconds
        counts[0] += 1
        return {NOON // 60 * 60: 3}

    monkeypatch.setattr(desk.store, "inspect", inspect)
    charts = page_charts.Charts(desk.store, recent_reads.RecentReads())

    def read(period: str = "hour") -> int:
        asyncio.run(charts.read(account, period, NOON))
        return counts[0]

    assert read() == 1
    clock[0] += cached_seconds - 0.01
    assert read() == 1
    clock[0] += 0.02
    assert read() == 2
    assert read("day") == 3
