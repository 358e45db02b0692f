"""Credentials, in every right and wrong form."""

import json
from base64 import b64encode

import pytest

from tests.server.desk import ADMIN, Desk, basic
from ticketfeed.inprocess import Answer
from ticketfeed.protocol.errors import InvalidToken

INVALID_TOKEN = {
    "error": "invalid_token",
    "error_description": "The access token provided is expired, revoked, malformed or invalid for other reasons.",
}


@pytest.fixture(scope="module")
def desk() -> Desk:
    """An admin with a token and a password full of colons, and people who may no longer come in."""
    desk = Desk(accounts=("acme", "other"))
    desk.put("users", {"id": 10, "email": " Ann@Example.com ", "role": "admin"})
    desk.grant(10, "ann:token/token")
    desk.grant(10, "pass:wörd: ", "password")
    desk.revoke(desk.grant(10, "old-token"))
    desk.revoke(desk.grant(10, "old-password", "password"))
    for id, flags in {20: {"suspended": True}, 30: {"active": False}}.items():
        desk.put("users", {"id": id, "email": f"u{id}@example.com", "role": "admin", **flags})
        desk.grant(id, f"token-{id}")
        desk.grant(id, f"password-{id}", "password")
    desk.grant(404, "orphan")
    desk.put("users", {"id": 40, "role": "admin"})
    desk.grant(40, "nobody")
    desk.grant(2, "other-token", account="other")
    return desk


@pytest.mark.parametrize(
    "authorization",
    [
        ADMIN,
        basic("ann@example.com/token:ann:token/token"),
        basic(" ANN@EXAMPLE.COM /token:ann:token/token"),
        basic("ann@example.com:pass:wörd: "),
        basic("Ann@Example.COM:pass:wörd: "),
        ADMIN.replace("Basic", "bAsIc"),
        ADMIN.replace("Basic ", "  Basic   ") + "  ",
        "Bearer ann:token/token",
        "bEARER   ann:token/token ",
        "Bearer nobody",
    ],
)
def test_right(desk: Desk, authorization: str) -> None:
    """The case of scheme and email and spaces around do not matter, and a secret may hold colons."""
    assert desk.ask(authorization=authorization).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic =",
        "Basic !!!!",
        "Basic " + b64encode(b"admin@example.com/token:admin-token").decode().rstrip("=")[:-1],
        "Basic " + ADMIN.removeprefix("Basic ")[:7] + " " + ADMIN.removeprefix("Basic ")[7:],
        "Basic YWRtaW5\xe9",
        basic(b"admin@example.com/token:\xff\xfe"),
        basic("admin@example.com\0:hunter2"),
        basic(b"\xff@example.com:x"),
        basic(""),
        basic(":"),
        basic("no separator"),
        basic("/token:admin-token"),
        basic("/token:nobody"),
        basic("admin@example.com/token:"),
        basic("admin@example.com/token: admin-token"),
        basic("admin@example.com/token:ADMIN-TOKEN"),
        basic("admin@example.com/TOKEN:admin-token"),
        basic("admin@example.com/token/token:admin-token"),
        basic("admin@example.com:admin-token"),
        basic("admin@example.com:"),
        basic("ann@example.com/token:admin-token"),
        basic("unknown@example.com/token:admin-token"),
        basic("ann@example.com/token:old-token"),
        basic("ann@example.com:old-password"),
        basic("ann@example.com:pass:wörd:"),
        basic("ann@example.com:pass"),
        basic("ann@example.com/token:pass:wörd: "),
        basic("unknown@example.com:x"),
        basic("u20@example.com/token:token-20"),
        basic("u20@example.com:password-20"),
        basic("u30@example.com/token:token-30"),
        basic("u30@example.com:password-30"),
        basic("admin@example.com/token:other-token"),
        "Digest username=x",
        "admin-token",
        "Token admin-token",
        "Basic admin@example.com/token:admin-token",
    ],
)
def test_wrong_basic(desk: Desk, authorization: str | None) -> None:
    """Everything else is one and the same 401, whether the user is unknown, suspended, or the secret wrong."""
    answer = desk.ask(authorization=authorization)
    assert (answer.status, json.loads(answer.body)) == (401, {"error": "Couldn't authenticate you"})
    assert answer.headers["www-authenticate"] == 'Basic realm="Web Password"'


@pytest.mark.parametrize(
    "token",
    [
        *("", " ", "x", "old-token", "token-20", "token-30", "orphan", "other-token", "pass:wörd: "),
        *("admin-token admin-token", "\xff", "a" * 9999),
    ],
)
def test_wrong_bearer(desk: Desk, token: str) -> None:
    """An unknown, revoked, foreign or useless bearer token is the 401 of OAuth."""
    answer = desk.ask(authorization=f"Bearer {token}")
    assert (answer.status, json.loads(answer.body)) == (401, INVALID_TOKEN)
    assert answer.headers["www-authenticate"] == InvalidToken().headers()["www-authenticate"]


def test_revoked_at_once() -> None:
    """A credential that worked a moment ago does not once it is revoked, remembered passwords included."""

    def ask(authorization: str) -> Answer:
        return desk.ask(authorization=authorization)

    desk = Desk()
    given = [desk.grant(1, "second"), desk.grant(1, "hunter2", "password")]
    sent = ["Bearer second", basic("admin@example.com/token:second"), basic("admin@example.com:hunter2")]
    assert [ask(each).status for each in sent * 2] == [200] * 6
    for credential_id in given:
        desk.revoke(credential_id)
    assert [ask(each).status for each in sent] == [401] * 3


def test_role_counts_now() -> None:
    """A user who is made an agent can no longer export with the token of before."""
    desk = Desk()
    desk.put("users", {"id": 1, "email": "admin@example.com", "role": "agent"})
    assert desk.ask().status == 403


def test_what_is_remembered_ends_with_the_next_change() -> None:
    """Who is behind a header is looked up once, and again after any change: a revoked token, a user suspended."""
    desk = Desk()
    desk.put("users", {"id": 7, "email": "x@example.com", "role": "admin"})
    granted = desk.grant(7, "x-token")
    statuses = [desk.ask(authorization="Bearer x-token").status for _ in range(3)]
    desk.put("users", {"id": 7, "email": "x@example.com", "role": "agent"})
    statuses.append(desk.ask(authorization="Bearer x-token").status)
    desk.put("users", {"id": 7, "email": "x@example.com", "role": "admin", "suspended": True})
    statuses.append(desk.ask(authorization="Bearer x-token").status)
    desk.put("users", {"id": 7, "email": "x@example.com", "role": "admin"})
    statuses.append(desk.ask(authorization="Bearer x-token").status)
    desk.revoke(granted)
    statuses.append(desk.ask(authorization="Bearer x-token").status)
    assert statuses == [200, 200, 200, 403, 401, 200, 401]


def test_a_password_is_of_one_user() -> None:
    """A password that was right a moment ago, and is cached, is no password of another user."""
    desk = Desk()
    desk.grant(1, "hunter2", "password")
    desk.put("users", {"id": 7, "email": "x@example.com", "role": "admin"})
    desk.grant(7, "another", "password")
    assert desk.ask(authorization=basic("admin@example.com:hunter2")).status == 200
    assert desk.ask(authorization=basic("x@example.com:hunter2")).status == 401
