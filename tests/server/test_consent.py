"""The consent page: a user signs in, allows or refuses, and is sent back; nobody else can decide."""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.server.browser import Browser
from tests.server.desk import ADMIN, Desk, basic
from tests.server.test_oauth import NOW, status
from ticketfeed.inprocess import Answer, call_app

PATH = "/oauth/authorizations/new"
URI = "https://example.com/callback?x=1"
ASKED = {
    "response_type": "code",
    "client_id": "connector",
    "redirect_uri": URI,
    "scope": "read tickets:write",
    "state": "s p&\u00e9",
}
AGENT = basic("agent@example.com/token:agent-token-0123456")
DENIED = "The end-user or authorization server denied the request."


@pytest.fixture(scope="module")
def desk() -> Desk:
    desk = Desk()
    desk.now = NOW
    desk.make_client(redirect_uri=[URI, "http://localhost:1/"], description="Reads <everything>", name="C & A")
    desk.make_client("app", kind="public", redirect_uri=[URI], allowed_scopes=["read"])
    desk.put("users", {"id": 9, "email": "agent@example.com", "role": "agent"})
    desk.put("users", {"id": 10, "email": "gone@example.com", "role": "agent", "suspended": True})
    desk.grant(9, "agent-token-0123456")
    desk.grant(10, "gone-token-01234567")
    return desk


def ask(
    desk: Desk,
    authorization: str | None = ADMIN,
    method: str = "GET",
    body: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    **changes: Any,
) -> Answer:
    values = {key: value for key, value in {**ASKED, **changes}.items() if value is not None}
    headers = [*headers, *([("authorization", authorization)] if authorization else [])]
    target = f"{PATH}?{urlencode(values)}"
    host = "acme.localhost"
    return asyncio.run(call_app(desk.app, target, host=host, method=method, headers=headers, body=body))


def told(answer: Answer) -> dict[str, str]:
    """What the redirect URI is told."""
    assert answer.status == 302, answer
    location = answer.headers["location"]
    assert location.startswith(URI)
    values = {name: value for name, (value,) in parse_qs(urlsplit(location).query).items()}
    assert (values.pop("x"), answer.headers["cache-control"]) == ("1", "no-store")
    return values


def exchange(desk: Desk, code: str, **values: Any) -> dict[str, Any]:
    return desk.token(grant_type="authorization_code", code=code, redirect_uri=URI, **values)


def test_the_page(desk: Desk) -> None:
    """Any user signs in and sees who asks for what; what they decide is told with the state, and a code is a token."""
    browser = Browser(desk)
    target = f"{PATH}?{urlencode(ASKED)}"
    page = browser.go(target)
    assert page.status == 200
    assert b"C &amp; A asks for access" in page.body
    wrong = {"csrf": browser.field("csrf"), "email": "agent@example.com", "secret": "wrong"}
    assert (browser.go(target, wrong).status, b"There is no user" in browser.answer.body) == (401, True)
    assert browser.go(target, {**wrong, "secret": "agent-token-0123456", "csrf": "x"}).status == 401
    right = {**wrong, "secret": "agent-token-0123456", "csrf": browser.cookies["ticketfeed_login"]}
    answer = browser.go(target, right)
    assert (answer.status, answer.headers["location"]) == (303, f"?{urlencode(ASKED)}")
    assert "path=/oauth/" in answer.headers["set-cookie"].lower()
    page = browser.go(target)
    for text in (b"Allow C &amp; A", b"agent@example.com", b"tickets:write", b"Reads &lt;everything&gt;"):
        assert text in page.body
    assert "form-action 'self' https://example.com;" in page.headers["content-security-policy"]
    csrf = browser.field("csrf")
    assert browser.go(f"{target}&decision=allow").status == 200  # another site could lead here
    assert browser.go(target, {"decision": "allow", "csrf": "x"}).status == 200
    denied = told(browser.go(target, {"decision": "deny", "csrf": csrf}))
    assert denied == {"error": "access_denied", "error_description": DENIED, "state": ASKED["state"]}
    allowed = told(browser.go(target, {"decision": "allow", "csrf": csrf}))
    assert (set(allowed), allowed["state"]) == ({"code", "state"}, ASKED["state"])
    token = exchange(desk, allowed["code"])
    assert token["scope"] == "read tickets:write"
    assert [status(desk, token), status(desk, token, "/api/v2/incremental/tickets/cursor?start_time=0")] == [200, 403]
    kept = dict(browser.cookies)
    answer = browser.go(target, {"decision": "switch", "csrf": csrf})
    assert (answer.status, answer.headers["location"]) == (303, f"?{urlencode(ASKED)}")
    browser.cookies = kept
    assert b"asks for access" in browser.go(target).body  # the session is over, whoever has its cookie
    browser.go(target, {**right, "csrf": browser.field("csrf")})
    assert browser.go("").status == 303  # an agent's session does not open the dashboard


def test_a_decision_with_credentials(desk: Desk) -> None:
    """With Basic credentials the decision comes with the request, as a query or a form; without it there is a page."""
    for method, body, changes in (
        ("GET", b"", {"decision": "allow"}),
        ("POST", b"decision=allow", {}),
        ("POST", b"", {"decision": "allow"}),
    ):
        code = told(ask(desk, AGENT, method, body, **changes))["code"]
        assert exchange(desk, code)["access_token"]
    assert told(ask(desk, decision="deny"))["error"] == "access_denied"
    assert ask(desk).status == 200
    assert [ask(desk, each, decision="allow").status for each in (basic("admin@example.com/token:x"), None)] == [
        401,
        200,
    ]
    for header in (("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")):
        assert ask(desk, headers=[header], decision="allow").status == 200
    assert told(ask(desk, headers=[("sec-fetch-site", "same-origin")], decision="allow"))["code"]
    gone = basic("gone@example.com/token:gone-token-01234567")
    assert ask(desk, gone, decision="allow").status == 401
    token = desk.token()["access_token"]
    assert ask(desk, f"Bearer {token}", decision="allow").status == 401


def test_proof_of_possession(desk: Desk) -> None:
    """A public client needs a challenge, and whoever made it exchanges the code; without a method nobody can."""
    verifier = "v" * 64
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"client_id": "app", "scope": "read", "decision": "allow"}
    assert told(ask(desk, **asked))["error"] == "invalid_request"
    code = told(ask(desk, **asked, code_challenge=digest, code_challenge_method="S256"))["code"]
    own = {"client_id": "app", "client_secret": None}
    wrong = {"grant_type": "authorization_code", "code": code, "redirect_uri": URI, **own}
    assert [desk.ask_token(**wrong, code_verifier=each).status for each in ("w" * 64, None)] == [400, 400]
    assert "refresh_token" in exchange(desk, code, **own, code_verifier=verifier)
    code = told(ask(desk, **asked, code_challenge=verifier, code_challenge_method="plain"))["code"]
    assert exchange(desk, code, **own, code_verifier=verifier)["scope"] == "read"
    code = told(ask(desk, **asked, code_challenge=verifier))["code"]
    assert desk.ask_token(**{**wrong, "code": code}, code_verifier=verifier).status == 400


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": None}, "invalid_request"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"client_id": "app", "scope": "write", "code_challenge": "c" * 43}, "invalid_scope"),
        ({"code_challenge": "c" * 43, "code_challenge_method": "S512"}, "invalid_request"),
        ({"code_challenge": "c" * 129}, "invalid_request"),
        ({"code_challenge_method": "S256"}, "invalid_request"),
    ],
)
def test_what_the_redirect_uri_is_told(desk: Desk, changes: dict[str, Any], error: str) -> None:
    """What is wrong with the request, with the state, whoever is signed in."""
    for authorization in (ADMIN, None):
        values = told(ask(desk, authorization, decision="allow", **changes))
        assert (values["error"], values["state"]) == (error, ASKED["state"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"client_id": "nobody"}, b"No such client"),
        ({"client_id": None}, b"No such client"),
        ({"client_id": "a\0b"}, b"No such client"),
        ({"redirect_uri": "https://example.com/callback"}, b"The redirect URI"),
        ({"redirect_uri": None}, b"The redirect URI"),
        ({"redirect_uri": f"{URI} http://localhost:1/"}, b"The redirect URI"),
    ],
)
def test_nobody_to_tell(desk: Desk, changes: dict[str, Any], text: bytes) -> None:
    """Without a known client and its own redirect URI there is a page, and no redirect."""
    answer = ask(desk, decision="allow", **changes)
    assert (answer.status, "location" in answer.headers) == (400, False)
    assert b"Invalid Authorization Request" in answer.body
    assert text in answer.body
