"""Signing in to the page: who may look, for how long, and that nobody else can make them."""

import asyncio
import time
import zlib
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from tests.server.browser import BASE, PAGES, Browser, desk_of
from tests.server.desk import Desk, closing_stores
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.server.app import create_app
from ticketfeed.server.dashboard import session as page_session
from ticketfeed.server.dashboard.session import has_csrf_token
from ticketfeed.settings import Settings


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_asked_to_sign_in(path: str) -> None:
    """Without a session every part leads to the form, and from there back to where one wanted to go."""
    browser = Browser(desk_of())
    answer = browser.go(f"{path}?at=5")
    assert (answer.status, answer.headers["location"]) == (303, f"{BASE}login?next={BASE}{path}%3Fat%3D5")
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
    """It needs a form of the very page; then the cookie is gone."""
    browser = Browser(desk_of())
    browser.sign_in()
    browser.go()
    csrf = browser.field("csrf")
    assert browser.go("logout", {"csrf": "guessed"}).status == 403
    assert browser.go().status == 200
    assert browser.go("logout", {"csrf": csrf}).status == 303
    assert browser.go().status == 303


def test_a_cookie_ends_at_sign_out() -> None:
    """Whoever has copied the cookie is a stranger from then on, in every process of the store; other sessions go on.
    A form can only end the session that it is of."""
    key = "a key of more than thirty-two characters"
    desk = desk_of(settings=Settings(session_key=key))
    browser, other = Browser(desk), Browser(desk)
    browser.sign_in()
    other.sign_in()
    thief = Browser(desk)
    thief.cookies = dict(browser.cookies)
    process = Browser(Desk(settings=Settings(session_key=key)))
    process.desk.app = create_app(Settings(session_key=key), desk.store, lambda: desk.now)
    process.cookies = dict(browser.cookies)
    assert [each.go().status for each in (browser, thief, process, other)] == [200] * 4
    csrf = browser.field("csrf")
    other.go()
    assert browser.go("logout", {"csrf": other.field("csrf")}).status == 403
    assert browser.go("logout", {"csrf": csrf}).status == 303
    assert [each.go().status for each in (thief, process, other)] == [303, 303, 200]
    assert thief.go("logout", {"csrf": csrf}).status == 303


def test_the_store_cannot_make_a_session() -> None:
    """Who knows all that the store holds can sign no cookie: the key is not in it. Who has the key alone cannot open a
    session that the store does not know."""
    key = "a key of more than thirty-two characters"
    desk = desk_of(settings=Settings(session_key=key))
    browser = Browser(desk)
    browser.sign_in()
    account = desk._account("acme")
    credential = asyncio.run(desk.store.find_token_user(account, hash_token("admin-token")))
    assert credential is not None
    cookie, salt = browser.cookies["ticketfeed_session"], "ticketfeed.session"
    claims = URLSafeTimedSerializer(key, salt=salt).loads(cookie)
    for secret in (credential.secret_hash, desk.store.store_id, hash_token(claims[1]), ""):
        browser.cookies["ticketfeed_session"] = str(URLSafeTimedSerializer(secret, salt=salt).dumps(claims))
        assert browser.go().status == 303
    for made, status in (([claims[0], "made up"], 303), ([999, claims[1]], 303), (claims, 200)):
        browser.cookies["ticketfeed_session"] = str(URLSafeTimedSerializer(key, salt=salt).dumps(made))
        assert browser.go().status == status


@pytest.mark.parametrize(
    ("form", "token", "expected"),
    [
        ({"csrf": "abc"}, "abc", True),
        ({"csrf": "abd"}, "abc", False),
        ({"csrf": ""}, "abc", False),
        ({}, "abc", False),
        ({"csrf": ""}, "", False),
        ({}, "", False),
        ({"csrf": "None"}, None, False),
        ({"csrf": "ä"}, "ä", True),
    ],
)
def test_csrf_tokens(form: dict[str, str], token: str | None, expected: bool) -> None:
    """A form passes with the token of its session alone; where there is none, none passes."""
    assert has_csrf_token(form, token) is expected


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
    with closing_stores():
        browser = Browser(Desk())
        browser.cookies["ticketfeed_session"] = value.encode("ascii", "ignore").decode().replace(";", "")
        assert browser.go().status == 303


def test_a_cookie_that_would_unpack() -> None:
    """A cookie that says it is compressed, or is longer than any of ours, is not even looked into."""
    packed = urlsafe_b64encode(zlib.compress(b"[" + b"0," * 10_000_000 + b"0]")).rstrip(b"=").decode()
    browser = Browser(desk_of())
    started = time.process_time()
    for value in (f".{packed}.a.b", f"{packed}.a.b"):
        browser.cookies["ticketfeed_session"] = value
        assert browser.go().status == 303
    assert time.process_time() - started < 0.5  # unpacking takes twenty times as long


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
