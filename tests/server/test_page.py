"""The page over HTTP: who may look, what is shown, and that nothing of it can be turned against its reader."""

import asyncio
import re
import sys
import time
import zlib
from base64 import urlsafe_b64encode
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.desk import ADMIN, ALL, NOON, PATH, Desk, basic, tickets
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import INT64_MAX, Position
from ticketfeed.server.page import session as page_session
from ticketfeed.server.page.views import VIEWS
from ticketfeed.server.page.words import parse_place
from ticketfeed.settings import Settings

BASE = "/_ticketfeed/"
PAGES = [path.replace("{id}", "1") for path in VIEWS]


def desk_of(count: int = 10, **options: Any) -> Desk:
    desk = Desk(**options)
    desk.put("tickets", *tickets(*range(1, count + 1), subject="Printer"))
    return desk


class Browser:
    """Keeps cookies, sends forms."""

    def __init__(self, desk: Desk, host: str = "acme.localhost") -> None:
        self.desk, self.host = desk, host
        self.cookies: dict[str, str] = {}

    def go(self, path: str = "", form: dict[str, str] | None = None, scheme: str = "http") -> Answer:
        headers = [("cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))]
        method, body = ("GET", b"") if form is None else ("POST", urlencode(form).encode())
        target = path if path.startswith("/") else BASE + path
        asked = call_app(
            self.desk.app, target, host=self.host, method=method, headers=headers, body=body, scheme=scheme
        )
        self.answer = asyncio.run(asked)
        for line in self.answer.headers.getlist("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return self.answer

    def field(self, name: str) -> str:
        found = re.search(rf'name="{name}" value="([^"]*)"', self.answer.body.decode())
        assert found, self.answer.body
        return found[1]

    def sign_in(self, email: str = "admin@example.com", secret: str = "admin-token", target: str = "") -> Answer:
        self.go(f"login?next={target}")
        form = {"csrf": self.field("csrf"), "next": self.field("next"), "email": email, "secret": secret}
        return self.go("login", form)


def text(answer: Answer) -> str:
    assert answer.status == 200, answer
    return answer.body.decode()


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_asked_to_sign_in(path: str) -> None:
    """Without a session every part leads to the form, and from there back to where one wanted to go."""
    browser = Browser(desk_of())
    answer = browser.go(f"{path}?at=5")
    assert (answer.status, answer.headers["location"]) == (
        303,
        f"{BASE}login?next={BASE}{path}%3Fat%3D5".replace("{", ""),
    )
    answer = browser.sign_in(target=f"{BASE}{path}")
    assert (answer.status, answer.headers["location"]) == (303, f"{BASE}{path}")
    assert browser.go(path).status == 200


def test_the_cookie() -> None:
    """No script can read it, no other site can send it along, and over https it stays there."""
    proxied = Settings(public_url="https://tickets.example.com")
    for scheme, settings_, secure in (("http", None, False), ("https", None, True), ("http", proxied, True)):
        browser = Browser(desk_of(settings=settings_))
        browser.go("login", scheme=scheme)
        form = {"csrf": browser.field("csrf"), "email": "admin@example.com", "secret": "admin-token"}
        cookie = browser.go("login", form, scheme=scheme).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert f"path={BASE}" in cookie
        assert ("secure" in cookie) == secure


def test_a_password_opens_too() -> None:
    """An admin may sign in with a token or with a password."""
    desk = desk_of()
    desk.grant(1, "open sesame", "password")
    assert Browser(desk).sign_in(secret="open sesame").status == 303


@pytest.mark.parametrize(
    ("email", "secret"),
    [
        ("admin@example.com", "wrong"),
        ("admin@example.com", ""),
        ("nobody@example.com", "admin-token"),
        ("agent@example.com", "agent-token"),
        ("", ""),
        ("\x00é:/token", "é:"),
    ],
)
def test_wrong_credentials(email: str, secret: str) -> None:
    """They are refused in one sentence, whichever of them was wrong; an agent is no admin."""
    desk = desk_of()
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.grant(9, "agent-token")
    browser = Browser(desk)
    answer = browser.sign_in(email, secret)
    assert (answer.status, b"There is no admin with this email" in answer.body) == (401, True)
    assert browser.go().status == 303


def test_signing_in_needs_the_form() -> None:
    """A form of another site, which cannot know the cookie, signs nobody in."""
    browser = Browser(desk_of())
    form = {"email": "admin@example.com", "secret": "admin-token"}
    for csrf in ({}, {"csrf": ""}, {"csrf": "guessed"}):
        assert browser.go("login", {**form, **csrf}).status == 401
        browser.cookies.clear()
    assert browser.go().status == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/api/v2/users", "", f"{BASE}\\\\x", "javascript:1"]
)
def test_only_back_to_the_page(target: str) -> None:
    """After signing in nobody is led elsewhere."""
    answer = Browser(desk_of()).sign_in(target=target.replace("\\", "%5C"))
    assert answer.headers["location"] == BASE


def test_signing_out() -> None:
    """It needs the form of this session; then the cookie is gone."""
    browser = Browser(desk_of())
    browser.sign_in()
    browser.go()
    csrf = browser.field("csrf")
    assert browser.go("logout", {"csrf": "guessed"}).status == 403
    assert browser.go().status == 200
    assert browser.go("logout", {"csrf": csrf}).status == 303
    assert browser.go().status == 303


def test_a_session_ends_with_its_credential() -> None:
    """Revoked, or of a user who is no admin any more, it opens nothing from the next request on."""
    desk = desk_of()
    credential = desk.grant(1, "second-token")
    browser, other = Browser(desk), Browser(desk)
    browser.sign_in(secret="second-token")
    other.sign_in()
    desk.revoke(credential)
    assert (browser.go().status, other.go().status) == (303, 200)
    desk.put("users", {"id": 1, "email": "admin@example.com", "role": "agent"})
    assert other.go().status == 303


def test_a_session_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some hours one has to sign in again."""
    browser = Browser(desk_of())
    browser.sign_in()
    monkeypatch.setattr(page_session, "SESSION_SECONDS", -1)
    assert browser.go().status == 303


def test_a_session_is_of_one_account() -> None:
    """The cookie of one account opens no other, even where the credential has the same number."""
    desk = Desk(accounts=("acme", "other"))
    browser = Browser(desk)
    browser.sign_in()
    assert browser.go().status == 200
    browser.host = "other.localhost"
    assert browser.go().status == 303


@given(st.text(max_size=60).filter(str.isprintable) | st.binary(max_size=60).map(bytes.hex))
@settings(max_examples=50)
def test_made_up_cookies(value: str) -> None:
    """Whatever stands in the cookie, it is a stranger's."""
    browser = Browser(Desk())
    browser.cookies["ticketfeed_session"] = value.encode("ascii", "ignore").decode().replace(";", "")
    assert browser.go().status == 303


def test_a_cookie_that_would_unpack() -> None:
    """A cookie that says it is compressed, or is longer than any of ours, is not even looked into."""
    packed = urlsafe_b64encode(zlib.compress(b"[" + b"0," * 10_000_000 + b"0]")).rstrip(b"=").decode()
    browser = Browser(desk_of())
    started = time.perf_counter()
    for value in (f".{packed}.a.b", f"{packed}.a.b"):
        browser.cookies["ticketfeed_session"] = value
        assert browser.go().status == 303
    assert time.perf_counter() - started < 0.5  # unpacking takes twenty times as long


def test_a_changed_cookie() -> None:
    """A cookie of ours with anything changed is a stranger's."""
    browser = Browser(desk_of())
    browser.sign_in()
    cookie = browser.cookies["ticketfeed_session"]
    for position in range(0, len(cookie), 7):
        letter = "A" if cookie[position] != "A" else "B"
        browser.cookies["ticketfeed_session"] = cookie[:position] + letter + cookie[position + 1 :]
        # The last letter of a base64 text can have bits that mean nothing.
        assert browser.go().status == 303 or position == len(cookie) - 1


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
    asyncio.run(desk.app.state.service.notes.pass_on())
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
    asyncio.run(desk.app.state.service.notes.pass_on())
    secrets = ["admin-token", "wrong-token", ADMIN.split()[1], page_session.URLSafeSerializer.__name__]
    secrets += [stored for _, stored in desk.store._held[1].credentials.values()]
    for path in PAGES:
        found = text(desk.ask(BASE + path))
        assert not [secret for secret in secrets if secret in found]


def test_without_the_page() -> None:
    """With --no-page its addresses are unknown, and everything else is as before."""
    desk = desk_of(settings=Settings(page=False))
    for path in (*PAGES, "login", "static/page.css"):
        assert desk.ask(BASE + path).status == 404
    assert desk.ask(f"{BASE}health").status == desk.ask(ALL).status == 200


def test_without_its_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is missing the server serves, and the page's address says what to install."""
    monkeypatch.delitem(sys.modules, "ticketfeed.server.page.routes")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    desk = desk_of()
    answer = desk.ask(BASE)
    assert (answer.status, b"pip install 'ticketfeed[page]'" in answer.body) == (501, True)
    assert desk.ask(ALL).status == 200


def test_overview() -> None:
    """It shows how many tickets there are, the newest change, the watermark, the consumers, and the chart's numbers."""
    desk = desk_of()
    desk.ask(f"{ALL}&per_page=4", headers=[("User-Agent", "tap/1")])
    asyncio.run(desk.app.state.service.notes.pass_on())
    for span in ("hour", "day", "month", "year", "nonsense"):
        shown = text(desk.ask(f"{BASE}?span={span}"))
        assert "<dd>10</dd>" in shown
        assert "2023-11-14 21:56:40" in shown
        assert "tap/1" in shown
        assert "last changed in this time: 10 tickets" in shown


def test_inspector() -> None:
    """A cursor, a time in two forms and an address lead to the same place, with what is pending and comes next."""
    desk = desk_of()
    second, cursor = NOON - 1000, encode_cursor(Position(NOON - 1000, 4))
    for asked in (cursor, f"https://acme.zendesk.com{PATH}?cursor={cursor.replace('=', '%3D')}&per_page=5"):
        shown = text(desk.ask(f"{BASE}feed?{urlencode({'at': asked})}"))
        assert "Everything behind ticket <strong>4</strong>" in shown
        assert "<strong>6</strong> changes are pending" in shown
        assert [int(found) for found in re.findall(r'tickets/(\d+)"', shown)] == [5, 6, 7, 8, 9, 10]
    for asked in (str(second), "2023-11-14T21:56:40Z", "2023-11-14 21:56:40", f"{PATH}?start_time={second}"):
        shown = text(desk.ask(f"{BASE}feed?{urlencode({'at': asked})}"))
        assert f"start_time={second}" in shown
        assert "<strong>10</strong> changes are pending" in shown
    assert "this is the end of the stream" in text(desk.ask(f"{BASE}feed?at={NOON}"))
    assert "neither a cursor, nor a time" in text(desk.ask(f"{BASE}feed?at=nonsense"))


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
    assert (answer.status, b"There is no such ticket" in answer.body) == (404, True)


def test_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the page says so, and that it is not the reader's fault."""
    desk = desk_of()

    async def away(*_args: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(desk.store, "inspect", away)
    answer = desk.ask(BASE)
    assert (answer.status, b"The store cannot be read now" in answer.body) == (503, True)


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
