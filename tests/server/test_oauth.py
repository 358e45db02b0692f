"""OAuth over the wire: tokens of three grants, their end, their scopes, and every error in the recorded words."""

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.server.desk import ADMIN, ALL, Desk, basic, tickets
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol import errors
from ticketfeed.protocol.oauth import EXPIRY_BEGINS
from ticketfeed.server.api.password_checks import ADDRESS_FAILURES, NAME_FAILURES
from ticketfeed.settings import Settings

NOW = EXPIRY_BEGINS + 86400
CODE = {"grant_type": "authorization_code", "code": "code", "redirect_uri": "https://example.com/"}
FORM = "application/x-www-form-urlencoded"


def make_desk(**rules: Any) -> Desk:
    desk = Desk(Settings(**rules))
    desk.now = NOW
    desk.make_client(redirect_uri=["https://example.com/"])
    return desk


def renewing(token: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], **values}


def status(desk: Desk, token: dict[str, Any], target: str = "/api/v2/users/me", method: str = "GET") -> int:
    return desk.ask(target, authorization=f"Bearer {token['access_token']}", method=method).status


def test_the_three_grants() -> None:
    """Client credentials give an access token alone, a code a pair, a refresh token the next pair, keys in order."""
    desk = make_desk()
    alone = desk.ask_token()
    assert alone.headers["content-type"].startswith("application/json")
    assert (alone.headers["cache-control"], alone.headers["pragma"]) == ("no-store", "no-cache")
    token = json.loads(alone.body)
    assert list(token) == ["access_token", "token_type", "scope", "expires_in"]
    assert (token["token_type"], token["scope"], token["expires_in"]) == ("bearer", "read write", 1800)
    assert len(token["access_token"]) == 64
    desk.add_code()
    pair = desk.token(**CODE)
    assert list(pair) == [
        *("access_token", "refresh_token", "token_type", "scope", "expires_in", "refresh_token_expires_in")
    ]
    assert (pair["expires_in"], pair["refresh_token_expires_in"]) == (1800, 2_592_000)
    asked = {"expires_in": 172_800, "refresh_token_expires_in": "604800"}
    following = desk.token(**renewing(pair, **asked))
    assert (following["expires_in"], following["refresh_token_expires_in"]) == (172_800, 604_800)
    assert [status(desk, each) for each in (token, pair, following)] == [200, 401, 200]
    assert desk.ask_token(**renewing(pair)).status == 400
    assert status(desk, following) == 200


def ask_plainly(desk: Desk, query: str = "", body: str = "", kind: str = FORM, authorization: str = "") -> Answer:
    sent = [("content-type", kind), *([("authorization", authorization)] if authorization else [])]
    target = f"/oauth/tokens?{query}" if query else "/oauth/tokens"
    host = "acme.localhost"
    return asyncio.run(call_app(desk.app, target, host=host, method="POST", headers=sent, body=body.encode()))


def test_forms_of_a_request() -> None:
    """A form, the query string, the client's credentials in a header, with keys of no meaning: all of them give a
    token; the number of the client does not."""
    desk = make_desk()
    values = {"grant_type": "client_credentials", "client_id": "connector", "client_secret": "secret", "expires in": 9}
    text = urlencode(values)
    own = basic("connector:secret")
    answers = [
        ask_plainly(desk, body=text),
        ask_plainly(desk, query=text),
        ask_plainly(desk, body="grant_type=client_credentials", authorization=own),
        ask_plainly(desk, body=json.dumps(values), kind="application/json"),
    ]
    assert [answer.status for answer in answers] == [200] * 4
    assert ask_plainly(desk, body="x" * (64 * 1024 + 1)).status == 413
    number = desk.page("/api/v2/oauth/clients")["clients"][0]["id"]
    for client_id in (number, str(number)):
        assert desk.ask_token(client_id=client_id).status == 401


@pytest.mark.parametrize(
    ("error", "changes"),
    [
        (errors.InvalidClient(), {"client_id": "unknown"}),
        (errors.InvalidClient(), {"client_secret": "wrong"}),
        (errors.InvalidClient(), {"client_secret": None}),
        (errors.UnauthorizedClient(), {"client_id": "app", "client_secret": None}),
        (errors.UnsupportedGrantType(), {"grant_type": "password", "username": "a", "password": "b"}),
        (errors.InvalidScope(), {"scope": "nonsense"}),
        (errors.InvalidScope(), {"client_id": "reader", "scope": "write"}),
        (errors.InvalidScope(), {**CODE, "scope": "users:write"}),
        (errors.InvalidRequest("'refresh_token' required."), {"grant_type": "refresh_token"}),
        (errors.InvalidRequest("'code' required."), {"grant_type": "authorization_code"}),
        (errors.InvalidRequest("'grant_type', 'client_id' required."), {"grant_type": None, "client_id": None}),
        (errors.InvalidRequest("'expires_in' must be an integer from 300 to 172800."), {"expires_in": 299}),
        (errors.InvalidGrant(), {"grant_type": "refresh_token", "refresh_token": "unknown"}),
        (errors.InvalidGrant(), {**CODE, "code": "unknown"}),
        (errors.InvalidGrant(), {**CODE, "redirect_uri": "https://example.com/other"}),
        (errors.InvalidGrant(), {**CODE, "redirect_uri": None}),
        (errors.InvalidGrant(), {**CODE, "client_id": "reader"}),
        (errors.InvalidGrant(), {**CODE, "code": "proof"}),
        (errors.InvalidGrant(), {**CODE, "code": "proof", "code_verifier": "x" * 43}),
        (errors.InvalidGrant(), {**CODE, "code": "old"}),
        (errors.InvalidGrant(), {**CODE, "code": "of nobody"}),
    ],
)  # fmt: skip
def test_errors(refusing: Desk, error: errors.WireError, changes: dict[str, Any]) -> None:
    """Each case has the status, texts and headers that were recorded, and no token comes of it."""
    before = refusing.page("/api/v2/oauth/tokens?all=true")["tokens"]
    answer = refusing.ask_token(**changes)
    assert (answer.status, json.loads(answer.body)) == (error.status, error.body())
    assert {**answer.headers, **error.headers()} == dict(answer.headers)
    assert refusing.page("/api/v2/oauth/tokens?all=true")["tokens"] == before


@pytest.fixture(scope="module")
def refusing() -> Desk:
    desk = make_desk()
    desk.make_client("app", kind="public", redirect_uri=["https://example.com/"])
    desk.make_client("reader", allowed_scopes=["read"])
    desk.add_code(scopes="read")
    desk.add_code("proof", challenge="c" * 43, challenge_method="S256")
    desk.add_code("old", expires_at=desk.now)
    desk.put("users", {"id": 9, "email": "x@example.com", "role": "admin", "suspended": True})
    desk.add_code("of nobody", user_id=9)
    return desk


def test_expiry() -> None:
    """A token works until its last second, remembered or not, and then is the 401 of OAuth; its refresh token goes on
    to its own end. A clock that is put back brings an expired token back, but not one that was renewed."""
    desk = make_desk()
    desk.add_code()
    pair = desk.token(**CODE)
    desk.now += 1799
    assert [status(desk, pair), status(desk, pair)] == [200, 200]
    desk.now += 1
    answer = desk.ask("/api/v2/users/me", authorization=f"Bearer {pair['access_token']}")
    assert (answer.status, json.loads(answer.body)) == (401, errors.InvalidToken().body())
    assert answer.headers["www-authenticate"] == errors.InvalidToken().headers()["www-authenticate"]
    desk.now -= 1
    assert status(desk, pair) == 200
    desk.now = NOW + 2_592_000 - 1
    following = desk.token(**renewing(pair))
    desk.now = NOW
    assert [status(desk, each) for each in (pair, following)] == [401, 200]
    desk.now = NOW + 2 * 2_592_000
    assert desk.ask_token(**renewing(following)).status == 400


def test_what_ends_a_token() -> None:
    """A renewal, its revocation, that of its client's scopes, secret or existence, and the end of its user's access."""
    desk = make_desk()
    number = desk.page("/api/v2/oauth/clients")["clients"][0]["id"]
    token = desk.token()
    assert [status(desk, token), status(desk, token, "/api/v2/tickets", "POST")] == [200, 400]
    desk.send("PUT", f"/oauth/clients/{number}", {"client": {"allowed_scopes": ["read"]}})
    assert [status(desk, token), status(desk, token, "/api/v2/tickets", "POST")] == [200, 403]
    assert desk.token()["scope"] == "read"
    secret = desk.send("PUT", f"/oauth/clients/{number}/generate_secret")["client"]["secret"]
    assert (status(desk, token), desk.ask_token().status) == (200, 401)
    second = desk.token(client_secret=secret)
    user = {"id": 1, "email": "admin@example.com", "role": "admin"}
    desk.put("users", {"id": 7, "email": "b@example.com", "role": "admin"}, {**user, "suspended": True})
    desk.grant(7, "other-token")
    assert [status(desk, token), desk.ask_token(client_secret=secret).status] == [401, 400]
    desk.put("users", user)
    assert [status(desk, token), status(desk, second)] == [200, 200]
    sent = f"Bearer {token['access_token']}"
    assert desk.ask("/api/v2/oauth/tokens/current", method="DELETE", authorization=sent).status == 204
    assert [status(desk, token), status(desk, second)] == [401, 200]
    desk.send("DELETE", f"/oauth/clients/{number}", expect=204)
    assert [status(desk, second), desk.ask_token(client_secret=secret).status] == [401, 401]
    assert desk.page("/api/v2/oauth/tokens?all=true")["tokens"] == []


@pytest.mark.parametrize(
    ("rules", "check"),
    [
        ({}, lambda token, again, new: "expires_in" in token and again == 400 and new == 200),
        ({"oauth_reuse": "revoke_family"}, lambda _token, again, new: again == 400 and new == 401),
        ({"oauth_expires_in": "when_asked"}, lambda token, _again, _new: "expires_in" not in token),
        ({"oauth_token_format": "jwt"}, lambda token, _again, new: len(token["access_token"]) > 900 and new == 200),
    ],
)
def test_rules(rules: dict[str, Any], check: Any) -> None:
    """Each rule switches what it says."""
    desk = make_desk(**rules)
    desk.add_code()
    token = desk.token(**CODE)
    assert token.get("expires_in", 1800) == 1800
    assert desk.token(expires_in=300)["expires_in"] == 300
    following = desk.token(**renewing(token))
    again = desk.ask_token(**renewing(token)).status
    assert check(following, again, status(desk, following))


def test_success_status() -> None:
    """The documented status instead of the one that clients take."""
    assert make_desk(oauth_success_status="201").ask_token().status == 201


def test_a_client_from_before() -> None:
    """The tokens of a client that was made before expiry was enforced last for ever, unless an end is asked for."""
    desk = Desk()
    desk.make_client()
    desk.now = NOW
    lasting, ending = desk.token(), desk.token(expires_in=300)
    assert ("expires_in" in lasting, ending["expires_in"]) == (False, 300)
    desk.now += 10 * 365 * 86400
    assert [status(desk, lasting), status(desk, ending)] == [200, 401]


SCOPED = [
    ("tickets:read", "GET", "/tickets", None),
    ("tickets:read", "GET", "/incremental/tickets/cursor?start_time=0", None),
    ("tickets:read", "GET", "/ticket_fields", "read"),
    ("tickets:read", "GET", "/incremental/ticket_events?start_time=0", "read"),
    ("tickets:read", "GET", "/users", "users:read, read"),
    ("users:read", "GET", "/incremental/tickets/cursor?start_time=0", "tickets:read, read"),
    ("users:read", "GET", "/incremental/users/cursor?start_time=0", None),
    ("organizations:read", "GET", "/incremental/organizations?start_time=0", None),
    ("tickets:write", "GET", "/tickets", "tickets:read, read"),
    ("read", "POST", "/tickets", "tickets:write, write"),
    ("read", "GET", "/incremental/ticket_events?start_time=0", None),
    ("read", "DELETE", "/ticket_fields/1", "write"),
    ("unrestricted", "GET", "/ticket_fields", None),
    ("impersonate", "GET", "/users/me", "users:read, read"),
    ("impersonate", "GET", "/oauth/tokens/current", None),
]


def test_scopes() -> None:
    """A token may do what its scopes cover, and else is told which are missing, in the recorded words."""
    desk = make_desk()
    wrong = []
    for scope, method, path, missing in SCOPED:
        token = desk.token(scope=scope)["access_token"]
        answer = desk.ask(f"/api/v2{path}", method=method, authorization=f"Bearer {token}")
        told = json.loads(answer.body).get("description") if answer.status == 403 else None
        expected = missing and f"You are missing the following required scopes: {missing}"
        if told != expected or (missing is None and answer.status != 200):
            wrong.append((scope, method, path, answer.status, told))
    assert wrong == []
    array = desk.token(scope=["read"])
    refused = desk.ask("/api/v2/tickets", authorization=f"Bearer {array['access_token']}")
    assert (refused.status, json.loads(refused.body)["error"]) == (403, "Forbidden")


def test_scope_is_not_role() -> None:
    """Somebody who is no admin and consented to everything still may not export; the scope comes first."""
    desk = make_desk()
    desk.put("users", {"id": 5, "email": "agent@example.com", "role": "agent"})
    desk.add_code(user_id=5)
    desk.add_code("narrow", user_id=5, scopes="users:read")
    texts = []
    for code in ("code", "narrow"):
        token = desk.token(**{**CODE, "code": code})["access_token"]
        texts.append(json.loads(desk.ask(ALL, authorization=f"Bearer {token}").body))
    assert texts == [errors.RoleTooLow().body(), errors.MissingScope(["tickets:read", "read"]).body()]


def test_management_of_tokens() -> None:
    """Everybody sees and revokes their own tokens, admins all; one that is made there has any scope and no end."""
    desk = make_desk()
    desk.put("users", {"id": 5, "email": "agent@example.com", "role": "agent"})
    desk.grant(5, "agent-token")
    number = desk.page("/api/v2/oauth/clients")["clients"][0]["id"]
    desk.add_code()
    desk.token(**CODE, scope="read")
    made = desk.send(
        *("POST", "/oauth/tokens", {"token": {"client_id": number, "scopes": ["read", "nonsense"]}}),
        expect=201,
        authorization="Bearer agent-token",
    )["token"]
    assert made["token"] == made["full_token"]
    listed = desk.page("/api/v2/oauth/tokens.json?all=true")["tokens"]
    assert [(each["user_id"], each["scopes"]) for each in listed] == [(1, ["read"]), (5, ["read", "nonsense"])]
    first, second = listed
    assert list(first) == [
        *("client_id", "created_at", "expires_at", "id", "refresh_token", "refresh_token_expires_at", "scopes"),
        *("token", "url", "used_at", "user_id"),
    ]
    assert (len(first["token"]), len(first["refresh_token"]), second["refresh_token"]) == (10, 10, None)
    assert (second["token"], second["expires_at"]) == (made["token"][:10], None)
    assert first["expires_at"] == "2026-05-01T00:30:00Z"
    assert first["url"] == f"https://acme.zendesk.com/api/v2/tokens/{first['id']}.json"
    own = [desk.page("/api/v2/oauth/tokens", authorization=each)["tokens"] for each in (ADMIN, "Bearer agent-token")]
    assert own == [[first], [second]]
    assert desk.page(f"/api/v2/oauth/tokens?all=1&client_id={number + 1}")["tokens"] == []
    current = desk.page("/api/v2/oauth/tokens/current.json", authorization=f"Bearer {made['token']}")
    assert current == {"token": second} == desk.page(f"/api/v2/oauth/tokens/{second['id']}")
    assert desk.ask(f"/api/v2/oauth/tokens/{first['id']}", authorization="Bearer agent-token").status == 404
    for client_id, scopes in ((number + 99, ["read"]), (number, []), (None, ["read"])):
        desk.send("POST", "/oauth/tokens", {"token": {"client_id": client_id, "scopes": scopes}}, expect=422)
    desk.send("DELETE", f"/oauth/tokens/{second['id']}", expect=204)
    desk.send("DELETE", f"/oauth/tokens/{second['id']}", expect=404)
    assert desk.ask("/api/v2/tickets", authorization=f"Bearer {made['token']}").status == 401
    desk.send("DELETE", "/oauth/tokens/current", expect=404)  # it is an API token


def test_management_of_clients() -> None:
    """A client has its whole secret in one answer, is listed with the beginning of it, changed, and found by kind."""
    desk = make_desk()
    values = {"name": "App", "identifier": "zdg-app", "redirect_uri": "https://a.example/\nhttp://localhost:1/x"}
    made = desk.send("POST", "/oauth/clients", {"client": values}, expect=201)["client"]
    assert (len(made["secret"]), made["kind"], made["global"], made["user_id"]) == (64, "confidential", True, 1)
    assert made["redirect_uri"] == ["https://a.example/", "http://localhost:1/x"]
    shown = desk.page(f"/api/v2/oauth/clients/{made['id']}.json")["client"]
    assert shown == {**made, "secret": made["secret"][:9]}
    assert desk.page("/api/v2/oauth/global_clients")["global_clients"] == [shown]
    assert desk.page(f"/api/v2/oauth/global_clients/{made['id']}") == {"global_client": shown}
    assert len(desk.page("/api/v2/users/me/oauth/clients")["clients"]) == 2
    desk.token(client_id="zdg-app", client_secret=made["secret"])
    summary = desk.page("/api/v2/oauth/global_clients/token_summary")["global_clients"]
    assert summary == [{"id": made["id"], "last_used_at": None, "tokens_count": 1}]
    changes = {"kind": "public", "name": "Public", "redirect_uri": [], "company": "c"}
    changed = desk.send("PUT", f"/oauth/clients/{made['id']}", {"client": changes})["client"]
    assert (changed["secret"], changed["name"], changed["redirect_uri"], changed["company"]) == ("", "Public", [], "c")
    desk.send("PUT", f"/oauth/clients/{made['id']}/generate_secret", expect=422)
    assert desk.ask_token(client_id="zdg-app", client_secret=made["secret"]).status == 400
    refused = [
        ({"name": "x"}, "identifier"),
        ({"identifier": "x"}, "name"),
        ({"name": "x", "identifier": "connector"}, "identifier"),
        ({"name": "x", "identifier": "a b"}, "identifier"),
        ({"name": "x", "identifier": "y", "redirect_uri": ["http://example.com"]}, "redirect_uri"),
        ({"name": "x", "identifier": "y", "allowed_scopes": ["nonsense"]}, "allowed_scopes"),
        ({"name": "x", "identifier": "y", "user_id": 77}, "user_id"),
        ({"name": "x", "identifier": "y", "user_id": 2**70}, "user_id"),
        ({"name": "x\0", "identifier": "y"}, "name"),
    ]
    for sent, field in refused:
        assert list(desk.send("POST", "/oauth/clients", {"client": sent}, expect=422)["details"]) == [field]
    desk.send("GET", "/oauth/clients/7", expect=404)
    desk.send("PUT", "/oauth/clients/7", {"client": {"name": "x"}}, expect=404)


def test_other_accounts_know_nothing() -> None:
    """A client and its tokens belong to one account."""
    desk = Desk(accounts=("acme", "other"))
    desk.now = NOW
    desk.make_client()
    token = desk.token()["access_token"]
    assert desk.ask("/api/v2/users/me", host="other.localhost", authorization=f"Bearer {token}").status == 401
    body = b'{"grant_type":"client_credentials","client_id":"connector","client_secret":"secret"}'
    sent = [("content-type", "application/json")]
    asked = call_app(desk.app, "/oauth/tokens", host="other.localhost", method="POST", headers=sent, body=body)
    assert asyncio.run(asked).status == 401


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No secret, code or token stands in the log, wherever it was sent; nor in what the dashboard shows."""
    caplog.set_level(logging.DEBUG)
    desk = make_desk()
    desk.add_code("very-secret-code")
    asked = {"client_id": "connector", "client_secret": "secret-of-client", "code": "very-secret-code"}
    ask_plainly(desk, query=urlencode({**CODE, **asked}))
    pair = desk.token(**{**CODE, "code": "very-secret-code"})
    ask_plainly(desk, query=urlencode({"client_secret": "secret-of-client", "refresh_token": pair["refresh_token"]}))
    status(desk, pair)
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    seen = repr(caplog.records) + "".join(str(record.__dict__) for record in caplog.records)
    requests = asyncio.run(desk.store.read_requests(desk._account("acme")))
    for secret in ("very-secret-code", "secret-of-client", pair["access_token"], pair["refresh_token"]):
        assert secret not in seen
        assert secret not in repr(requests)


def test_a_walk_with_renewals() -> None:
    """A walk whose token dies every 20 pages, renewed each time, gets every ticket once; the consumer stays one."""
    desk = make_desk()
    desk.put("tickets", *tickets(*range(1, 201)))
    desk.now += 10
    desk.add_code()
    pair, target, seen, renewals = desk.token(**CODE), f"{ALL}&per_page=1", [], 0
    while True:
        answer = desk.ask(target, authorization=f"Bearer {pair['access_token']}")
        if answer.status == 401:
            pair, renewals = desk.token(**renewing(pair)), renewals + 1
            continue
        page = json.loads(answer.body)
        seen += [ticket["id"] for ticket in page["tickets"]]
        desk.now += 90
        if page["end_of_stream"]:
            break
        target = f"/api/v2/incremental/tickets/cursor?per_page=1&cursor={page['after_cursor']}"
    assert seen == list(range(1, 201))
    assert renewals == 9
    asyncio.run(desk.app.state.service.usage_tracker.flush())
    assert len(asyncio.run(desk.store.read_consumers(desk._account("acme")))) == 1


def test_wrong_secrets_slow_down_their_sender() -> None:
    """After twenty wrong secrets an address has to wait, and after thirty a client; one whose secret is known to be
    right does not, nor other clients. It is over after a while."""
    desk = make_desk()
    desk.make_client("other")
    now = 1000.0
    desk.app.state.client_checks._monotonic = lambda: now

    def ask(sender: str, client: str = "connector", secret: str = "wrong") -> int:
        body = urlencode({"grant_type": "client_credentials", "client_id": client, "client_secret": secret}).encode()
        sent = [("content-type", FORM)]
        asked = {"host": "acme.localhost", "method": "POST", "headers": sent, "body": body, "client": sender}
        answer = asyncio.run(call_app(desk.app, "/oauth/tokens", **asked))
        assert (answer.status == 429) == ("retry-after" in answer.headers)
        return answer.status

    at_once, seconds = ADDRESS_FAILURES
    assert ask("192.0.2.1", secret="secret") == 200
    names = ["connector", "unknown"]
    assert [ask("192.0.2.1", names[number % 2]) for number in range(at_once + 1)] == [*[401] * at_once, 429]
    assert [ask("192.0.2.1", secret="secret"), ask("192.0.2.1", "other", "secret")] == [200, 429]
    assert ask("192.0.2.2", "other", "secret") == 200
    left = NAME_FAILURES[0] - at_once // 2
    assert [ask(f"198.51.100.{number}") for number in range(left + 1)] == [*[401] * left, 429]
    assert ask("203.0.113.1", secret="secret") == 200
    now += seconds
    assert [ask("192.0.2.1"), ask("192.0.2.1")] == [401, 429]
