"""OAuth's rules: scopes are narrowed and never widened, requests are parsed or refused, proofs of possession hold."""

import contextlib
import json
from base64 import b64encode
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.oauth_contract import CLIENT, CODE
from ticketfeed.protocol.credentials import hash_token
from ticketfeed.protocol.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    UnsupportedGrantType,
    WireError,
)
from ticketfeed.protocol.oauth import (
    EXPIRY_BEGINS,
    Lifetimes,
    NewSecrets,
    check_code,
    check_renewal,
    choose_scopes,
    is_redirect_uri,
    is_secret,
    make_jwt,
    make_token,
)
from ticketfeed.protocol.scopes import KNOWN_SCOPES, allows, cut_scopes, required_scopes, resource_of
from ticketfeed.protocol.token_request import TokenRequest, parse_token_request

SCOPES = st.lists(st.sampled_from(sorted(KNOWN_SCOPES)), min_size=1, max_size=4, unique=True).map(" ".join)
NOW = EXPIRY_BEGINS + 1000
CLIENT_SINCE = replace(CLIENT, created_at=EXPIRY_BEGINS)


@given(asked=st.none() | SCOPES, granted=st.none() | SCOPES, allowed=st.none() | SCOPES)
def test_scopes_are_never_widened(asked: str | None, granted: str | None, allowed: str | None) -> None:
    """Whatever is asked, a token may do nothing beyond what was granted, nor beyond what its client is allowed."""
    try:
        scopes = choose_scopes(replace(CLIENT, allowed_scopes=allowed), asked, granted)
    except InvalidScope:
        return
    assert scopes
    for scope in KNOWN_SCOPES:
        if allows(scopes, scope):
            assert allows(granted, scope) or (granted is None and asked is None)
            assert allows(allowed, scope)


@pytest.mark.parametrize(
    ("allowed", "asked", "granted", "scopes"),
    [
        (None, None, None, "read write"),
        ("tickets:read users:read", None, None, "tickets:read users:read"),
        ("read", None, "read write", "read"),
        ("read", "tickets:read", None, "tickets:read"),
        (None, " read  users:write ", None, "read users:write"),
        (None, "tickets:read", "read write", "tickets:read"),
        (None, "read", "tickets:read", None),
        (None, "write", "read", None),
        ("read", "read write", None, None),
        ("users:read", None, "tickets:read", None),
        ("unrestricted", "read", None, "read"),
        (None, "nonsense", None, None),
        (None, "nonsense:read", "read", None),
    ],
)
def test_scopes_of_a_token(allowed: str | None, asked: str | None, granted: str | None, scopes: str | None) -> None:
    """Those that are asked for, if granted and allowed; else what was granted before, or what the client is allowed."""
    client = replace(CLIENT, allowed_scopes=allowed)
    if scopes is None:
        with pytest.raises(InvalidScope):
            choose_scopes(client, asked, granted)
    else:
        assert choose_scopes(client, asked, granted) == scopes


def test_what_a_request_needs() -> None:
    """A scope of the resource or of everything; addresses that belong to no resource need the latter."""
    paths = {
        "/incremental/tickets/cursor": "tickets",
        "/incremental/ticket_events": None,
        "/incremental/users": "users",
        "/tickets/{id:int}/comments": "tickets",
        "/ticket_fields": None,
        "/imports/tickets/create_many": "tickets",
        "/users/me": "users",
        "/help_center/{locale}/articles": "hc",
    }
    assert {path: resource_of(path) for path in paths} == paths
    assert required_scopes("GET", "tickets") == ("tickets:read", "read")
    assert required_scopes("DELETE", None) == ("write",)
    assert (allows("read", "tickets:read"), allows("tickets:read", "read"), allows("read", "write")) == (
        True,
        False,
        False,
    )
    assert cut_scopes("read tickets:write", "tickets:read write") == "tickets:write"


def parse(body: Any = None, kind: str = "application/json", query: str = "", basic: str = "") -> TokenRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    header = f"Basic {b64encode(basic.encode()).decode()}" if basic else None
    return parse_token_request(data, kind, query.encode(), header)


ASKED = {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
FORM = "application/x-www-form-urlencoded"
REQUEST = TokenRequest("refresh_token", "c", "s", refresh_token="r")


@pytest.mark.parametrize(
    "request_",
    [
        parse(ASKED),
        parse({**ASKED, "unknown": {"x": 1}, "scope": None, "expires in": 5}),
        parse(ASKED, "application/json; charset=utf-8"),
        parse(urlencode({**ASKED, "code": "", "expires in": "7"}).encode(), FORM),
        parse(urlencode(ASKED).encode(), ""),
        parse(query=urlencode(ASKED)),
        parse(ASKED, query="client_id=c&x=1&x=2"),
        parse({"grant_type": "refresh_token", "refresh_token": "r"}, basic="c:s"),
        parse({"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c"}, basic="c:s"),
    ],
)
def test_forms_of_a_token_request(request_: TokenRequest) -> None:
    """JSON, a form, the query string, or the client's credentials in a header: all the same."""
    assert request_ == REQUEST


def refused(body: Any, error: str, text: str, kind: str = "application/json", query: str = "", basic: str = "") -> Any:
    return body, kind, query, basic, error, text


INVALID, AUTHORIZATION_CODE = "invalid_request", {**ASKED, "grant_type": "authorization_code"}


@pytest.mark.parametrize(
    ("body", "kind", "query", "basic", "error", "text"),
    [
        refused({}, INVALID, "'grant_type', 'client_id' required."),
        refused({**ASKED, "refresh_token": None}, INVALID, "'refresh_token' required."),
        refused(AUTHORIZATION_CODE, INVALID, "'code' required."),
        refused({**ASKED, "grant_type": "password"}, "unsupported_grant_type", "The access grant"),
        *(
            refused({**ASKED, "expires_in": wrong}, INVALID, "'expires_in' must be an integer from 300 to 172800.")
            for wrong in (299, 172_801, True, 1e3, "x", [300])
        ),
        refused({**ASKED, "refresh_token_expires_in": "604799"}, INVALID, "'refresh_token_expires_in' must"),
        refused({**ASKED, "client_id": "a\0"}, INVALID, "'client_id' invalid."),
        refused(b'{"grant_type":"\\ud800"}', INVALID, "'grant_type' invalid."),
        refused({**ASKED, "scope": {"x": 1}}, INVALID, "'scope' invalid."),
        refused(b"[1]", INVALID, "The body must be a JSON object."),
        refused(b"{", INVALID, "The body is not valid JSON."),
        refused(b"[" * 99999, INVALID, "The body is not valid JSON."),
        refused(b"<xml/>", INVALID, "The body must be", "text/xml"),
        refused(b'{"client_id":"a","client_id":"b"}', INVALID, "'client_id' repeated."),
        refused(b"client_id=a&client_id=a", INVALID, "'client_id' repeated.", FORM),
        refused(b"&".join([b"a=b"] * 101), INVALID, "More than 100", FORM),
        refused(ASKED, INVALID, "'client_id' repeated.", query="client_id=other"),
        refused(ASKED, "invalid_client", "The client identifier", basic="c:other"),
        refused(ASKED, "invalid_client", "The client identifier", basic="nothing"),
    ],
)
def test_what_a_token_request_cannot_be(body: Any, kind: str, query: str, basic: str, error: str, text: str) -> None:
    """Missing, repeated and invalid parameters, by name; two kinds of credentials at once."""
    with pytest.raises(WireError) as raised:
        parse(body, kind, query, basic)
    assert raised.value.body()["error"] == error
    assert raised.value.body()["error_description"].startswith(text)


@given(body=st.binary(max_size=60), query=st.binary(max_size=40), header=st.text(max_size=20), kind=st.sampled_from(
    ["application/json", FORM, "", "text/plain"]
))  # fmt: skip
def test_anything_is_parsed_or_refused(body: bytes, query: bytes, header: str, kind: str) -> None:
    """No bytes lead to any other error than those of the wire."""
    for data in (body, b'{"grant_type":' + body, b"grant_type=refresh_token&client_id=c&" + body):
        with contextlib.suppress(InvalidClient, InvalidRequest, UnsupportedGrantType):
            parse_token_request(data, kind, query, f"Basic {header}")


def test_a_scope_that_is_an_array() -> None:
    """It is taken, and names no scope, whatever words are in it."""
    request = parse({**ASKED, "scope": ["a read b", "write"]})
    assert request.has_bad_scope
    assert not any(allows(request.scope, scope) for scope in KNOWN_SCOPES)


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # the example of RFC 7636
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    ("challenge", "method", "verifier", "is_right"),
    [
        (CHALLENGE, "S256", VERIFIER, True),
        (f"{CHALLENGE}=", "S256", VERIFIER, True),
        (VERIFIER, "plain", VERIFIER, True),
        (None, None, None, True),
        (VERIFIER, None, VERIFIER, False),
        (VERIFIER, "other", VERIFIER, False),
        (CHALLENGE, "S256", CHALLENGE, False),
        (CHALLENGE, "S256", None, False),
        (CHALLENGE, "S256", VERIFIER + "\u00e9", False),
        ("short", "plain", "short", False),
        (None, None, VERIFIER, False),
    ],
)
def test_verifiers(challenge: str | None, method: str | None, verifier: str | None, is_right: bool) -> None:
    """Only who made the challenge can exchange the code; without a method nobody can."""
    code = replace(CODE, challenge=challenge, challenge_method=method)
    try:
        assert check_code(code, CLIENT, code.redirect_uri, verifier, code.expires_at - 1) == code
        assert is_right
    except InvalidGrant:
        assert not is_right


def test_codes_and_refresh_tokens_end() -> None:
    """Used, expired, of another client, for another address: none of them can be used."""
    good = replace(CODE, challenge=None)
    uri, last = good.redirect_uri, good.expires_at - 1
    assert check_code(good, CLIENT, uri, None, last) is good
    token = make_token(1, CLIENT_SINCE, 7, "read", NewSecrets("a" * 64, "r" * 64), Lifetimes(), NOW)
    assert check_renewal(token, CLIENT, NOW + 2_592_000 - 1) is token
    for wrong in (
        lambda: check_code(None, CLIENT, uri, None, last),
        lambda: check_code(good, CLIENT, uri, None, last + 1),
        lambda: check_code(good, CLIENT, f"{uri}/", None, last),
        lambda: check_code(good, CLIENT, None, None, last),
        lambda: check_code(replace(good, token_id=1), CLIENT, uri, None, last),
        lambda: check_code(good, replace(CLIENT, id=5), uri, None, last),
        lambda: check_renewal(None, CLIENT, NOW),
        lambda: check_renewal(token, CLIENT, NOW + 2_592_000),
        lambda: check_renewal(replace(token, ended_at=NOW), CLIENT, NOW),
        lambda: check_renewal(token, replace(CLIENT, id=5), NOW),
    ):
        with pytest.raises(InvalidGrant):
            wrong()


@pytest.mark.parametrize(
    ("created_at", "lifetimes", "expires_at", "refresh_expires_at"),
    [
        (EXPIRY_BEGINS, Lifetimes(), NOW + 1800, NOW + 2_592_000),
        (EXPIRY_BEGINS, Lifetimes(300, 604_800), NOW + 300, NOW + 604_800),
        (EXPIRY_BEGINS - 1, Lifetimes(), None, NOW + 2_592_000),
        (EXPIRY_BEGINS - 1, Lifetimes(172_800), NOW + 172_800, NOW + 2_592_000),
    ],
)
def test_lifetimes(created_at: int, lifetimes: Lifetimes, expires_at: int | None, refresh_expires_at: int) -> None:
    """Half an hour and thirty days, unless asked otherwise; tokens of older clients do not expire by themselves."""
    client = replace(CLIENT, created_at=created_at)
    token = make_token(1, client, 7, "read", NewSecrets("a", "r"), lifetimes, NOW)
    assert (token.expires_at, token.refresh_expires_at) == (expires_at, refresh_expires_at)
    assert token.is_listed(refresh_expires_at - 1)
    assert token.is_listed(refresh_expires_at) == (expires_at is None)
    alone = make_token(1, client, 7, "read", NewSecrets("a", None), lifetimes, NOW)
    assert (alone.refresh_hash, alone.refresh_expires_at) == (None, None)


@pytest.mark.parametrize(
    ("uri", "is_right"),
    [
        ("https://example.com/callback?x=1", True),
        ("http://localhost:19186/", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:80/x", True),
        ("http://example.com/", False),
        ("http://localhost.example.com/", False),
        ("https://", False),
        ("/callback", False),
        ("javascript:alert(1)", False),
        ("https://a b/", False),
        ("https://a/\n", False),
        ("https://user@example.com/", False),
        ("https://example.com/#callback", False),
        ("http://localhost/?x=1#", False),
    ],
)
def test_redirect_uris(uri: str, is_right: bool) -> None:
    """Absolute, without a fragment, and encrypted unless it leads to this machine."""
    assert is_redirect_uri(uri) == is_right


def test_secrets_and_tokens() -> None:
    """Nobody authenticates as a client that is not there, or as one without a secret; a JWT has its three parts."""
    client = replace(CLIENT, secret_hash=hash_token("s"))
    assert is_secret(client, "s")
    assert not any((is_secret(client, ""), is_secret(client, None), is_secret(client, "x"), is_secret(None, "s")))
    assert not any(is_secret(replace(client, secret_hash=None), each) for each in ("", "s", None))
    jwt = make_jwt({"sub": "7"}, b"x" * 512)
    assert [len(part) > 5 for part in jwt.split(".")] == [True] * 3
