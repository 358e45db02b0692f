"""`ticketfeed oauth`: clients and tokens from the command line, which a running server accepts and refuses at once."""

import json
import re
from pathlib import Path

import pytest

from tests.process.conftest import Start, run

CLIENT = ("oauth", "client", "create")
TOKEN = ("oauth", "token", "create", "--client")


def test_clients_and_tokens(start: Start, tmp_path: Path) -> None:
    """Created, listed, used, revoked, deleted; of secrets and tokens the store holds hashes alone."""

    def done(*arguments: str) -> str:
        result = run(*arguments, cwd=tmp_path)
        assert result.code == 0, result
        return result.out.decode()

    done("account", "create", "acme")
    assert "no admin" in run(*CLIENT, "App", cwd=tmp_path).problem
    api_token = done("token", "create", "--email", "ann@example.com").strip()
    done("token", "create", "--email", "bob@example.com", "--role", "agent")
    lines = done(*CLIENT, "My App!", "--redirect-uri", "https://example.com/a").splitlines()
    secret = lines[1].removeprefix("client_secret\t")
    assert (lines[0], len(secret)) == ("client_id\tmy_app", 64)
    values = ("--identifier", "p", "--kind", "public", "--scope", "read", "--email", "bob@example.com")
    public = json.loads(done(*CLIENT, "Public", *values, "--json"))
    assert (public["secret"], public["allowed_scopes"], public["kind"]) == ("", ["read"], "public")
    assert done(*CLIENT, "x", "--secret", "a-chosen-secret-16").endswith("client_secret\ta-chosen-secret-16\n")
    listed = [line.split("\t")[1:5] for line in done("oauth", "client", "list").splitlines()]
    assert listed == [
        ["my_app", "confidential", "My App!", "all scopes"],
        ["p", "public", "Public", "read"],
        ["x", "confidential", "x", "all scopes"],
    ]
    token = done(*TOKEN, "my_app").strip()
    pair = json.loads(done(*TOKEN, str(public["id"]), "--expires-in", "300", "--json"))
    assert (pair["scope"], pair["expires_in"]) == ("read", 300)
    as_bob = done(*TOKEN, "x", "--email", "bob@example.com", "--scope", "tickets:read").strip()
    shown = [json.loads(line) for line in done("oauth", "token", "list", "--json").splitlines()]
    assert [each["scopes"] for each in shown] == [["read", "write"], ["read"], ["tickets:read"]]
    assert [line.split("\t")[1] for line in done("oauth", "token", "list").splitlines()] == ["my_app", "p", "x"]
    server = start("serve", "--port", "0", "--store", f"sqlite:///{tmp_path}/ticketfeed.db")
    assert [server.ask(token=each).status for each in (token, as_bob, pair["access_token"])] == [200, 403, 403]
    done("oauth", "token", "revoke", str(shown[0]["id"]))
    assert "no active" in run("oauth", "token", "revoke", str(shown[0]["id"]), cwd=tmp_path).problem
    assert [server.ask(token=each).status for each in (token, as_bob)] == [401, 403]
    done("oauth", "client", "delete", "x")
    assert server.ask(token=as_bob).status == 401
    server.end()
    assert done("consumers").endswith("\tno token: revoked\n")
    token = done(*TOKEN, "my_app").strip()
    assert re.search(r"\ttoken expires [-0-9T:Z ]+, never renewed\n$", done("consumers")), done("consumers")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("ticketfeed.db*"))
    for text in (api_token, secret, "a-chosen-secret-16", token, as_bob, pair["access_token"], pair["refresh_token"]):
        assert text.encode() not in stored


BAD = [
    ((*CLIENT, ""), "cannot be blank"),
    ((*CLIENT, "\u00e9"), "Identifier: cannot be blank"),
    ((*CLIENT, "App", "--identifier", "a b"), "Identifier: is invalid"),
    ((*CLIENT, "App", "--redirect-uri", "http://example.com"), "must be absolute and begin with https://"),
    ((*CLIENT, "App", "--scope", "nonsense"), "nonsense is no scope"),
    ((*CLIENT, "App", "--kind", "other"), "--kind"),
    ((*CLIENT, "App", "--kind", "public", "--secret", "x"), "a public client has no secret"),
    ((*CLIENT, "App", "--secret", "two words and more"), "invalid secret"),
    ((*CLIENT, "App", "--secret", "15-characters.."), "invalid secret: use 16-1000 printable"),
    ((*CLIENT, "App", "--email", "nobody@example.com"), "no user with the email 'nobody@example.com'"),
    ((*CLIENT, "App", "--account", "nope"), "there is no account 'nope'"),
    ((*CLIENT, "there"), "there has already been taken"),
    (("oauth", "client", "delete", "nope"), "there is no OAuth client 'nope'"),
    ((*TOKEN, "nope"), "there is no OAuth client 'nope'"),
    ((*TOKEN, "there", "--expires-in", "299"), "--expires-in must be from 300 to 172800"),
    ((*TOKEN, "there", "--scope", "nonsense"), "the scope 'nonsense' is unknown"),
    ((*TOKEN, "there", "--scope", "\udcff"), "is unknown"),
    (("oauth", "token", "revoke", "99"), "there is no active OAuth token 99"),
    (("oauth", "token", "revoke", str(2**64)), "there is no active OAuth token"),
    (("oauth", "token", "list", "--store", "sqlite:///missing.db"), "there is no store"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oauth")
    for arguments in (("account", "create", "acme"), ("token", "create", "--email", "a@b.c"), (*CLIENT, "there")):
        assert run(*arguments, cwd=folder).code == 0
    return folder


def test_bad_input(folder: Path) -> None:
    """What cannot be done is refused in one line, with exit code 2."""
    wrong = []
    for arguments, text in BAD:
        problem = run(*arguments, cwd=folder).problem
        if text not in problem:
            wrong.append((arguments, problem))
    assert wrong == []
