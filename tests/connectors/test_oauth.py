"""Clients of OAuth, unmodified: they get tokens, walk over several expiries on a moved clock, renew, and are revoked.

The server is in this process; the walk itself moves the clock after each page.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.connectors.store import fill_store, read_with
from tests.connectors.venvs import connector_bin, node_modules
from tests.process.conftest import run
from tests.process.walks import can_isolate
from ticketfeed.testing import FeedServer, serve_desk

AUTHLIB_WALKS = """
import json
import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session, OAuthError

BASE = "https://demo.zendesk.com"
TOKENS = f"{BASE}/oauth/tokens"
CALLBACK = "http://localhost:8000/callback"
ADMIN = ("admin@example.com/token", "demo-token")
CLOCK = requests.Session()


def walk(session, renew):
    ids, renewals, url = [], 0, f"{BASE}/api/v2/incremental/tickets/cursor?start_time=0&per_page=10"
    while True:
        answer = session.get(url)
        if answer.status_code == 401 and answer.json()["error"] == "invalid_token":
            renew()
            renewals += 1
            continue
        page = answer.json()
        ids += [ticket["id"] for ticket in page["tickets"]]
        if page["end_of_stream"]:
            return {"ids": ids, "renewals": renewals}
        url = page["after_url"]
        CLOCK.post(f"{BASE}/_ticketfeed/clock", json={"advance": "5m"}, auth=ADMIN).raise_for_status()


def session(**more):
    return OAuth2Session("demo-client", "demo-secret", token_endpoint_auth_method="client_secret_post", **more)


own = session(scope="read")
own.fetch_token(TOKENS, grant_type="client_credentials")
by_itself = walk(own, lambda: own.fetch_token(TOKENS, grant_type="client_credentials"))

user = session(scope="read write", redirect_uri=CALLBACK, code_challenge_method="S256")
verifier = generate_token(48)
url, _ = user.create_authorization_url(f"{BASE}/oauth/authorizations/new", code_verifier=verifier)
allowed = requests.get(f"{url}&decision=allow", auth=ADMIN, allow_redirects=False)
user.fetch_token(TOKENS, authorization_response=allowed.headers["location"], code_verifier=verifier)
as_user = walk(user, lambda: user.refresh_token(TOKENS))

revoked = user.delete(f"{BASE}/api/v2/oauth/tokens/current").status_code
after = user.get(f"{BASE}/api/v2/users/me").status_code
try:
    user.refresh_token(TOKENS)
    refused = None
except OAuthError as error:
    refused = error.error
print(json.dumps({"by_itself": by_itself, "as_user": as_user, "end": [revoked, after, refused]}))
"""

MCP_READS = """
import json
from zendesk_mcp.auth import TokenExpiredError, request

try:
    answer = request("GET", "https://demo.zendesk.com/api/v2/incremental/tickets/cursor?start_time=0")
    print(json.dumps(answer.json()))
except TokenExpiredError as error:
    print(json.dumps(str(error)))
"""

ZCLI_ASKS = """
const {request} = require('@zendesk/zcli-core');
const ask = (path, method) => request.requestAPI(path, {method});
(async () => {
    const answers = [
        await ask('/api/v2/users/me', 'GET'),
        await ask('/api/v2/oauth/tokens/current', 'DELETE'),
        await ask('/api/v2/users/me', 'GET'),
    ];
    console.log(JSON.stringify(answers.map((answer) => [answer.status, answer.data?.user?.role])));
})();
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FeedServer]:
    with serve_desk() as server:
        yield server


@pytest.fixture
def desk(server: FeedServer) -> FeedServer:
    server.reset(tickets=200)
    return server


def pair(desk: FeedServer) -> dict[str, Any]:
    """Tokens of the demo's client that an admin consented to."""
    callback = "http://localhost:8000/callback"
    client = {"client_id": "demo-client", "redirect_uri": callback}
    asked = {**client, "response_type": "code", "scope": "read write", "decision": "allow"}
    allowed = requests.get(f"{desk.url}/oauth/authorizations/new", asked, auth=desk.auth, allow_redirects=False)
    code = allowed.headers["location"].partition("code=")[2]
    grant = {**client, "grant_type": "authorization_code", "client_secret": "demo-secret", "code": code}
    return dict(requests.post(f"{desk.url}/oauth/tokens", json=grant).json())


def exported(desk: FeedServer) -> list[int]:
    return [ticket["id"] for ticket in desk.get("/api/v2/incremental/tickets/cursor?start_time=0")["tickets"]]


def test_authlib(desk: FeedServer) -> None:
    """Both grants walk over several expiries, lose nothing and read nothing twice; a token that was revoked is over."""
    python = connector_bin("authlib") / "python"
    done = desk.run([str(python), "-c", AUTHLIB_WALKS])
    found = json.loads(done.stdout)
    for walk in (found["by_itself"], found["as_user"]):
        assert walk["ids"] == exported(desk)
        assert walk["renewals"] == 3
    assert found["end"] == [204, 401, "invalid_grant"]


def test_tap_zendesk(desk: FeedServer, tmp_path: Path) -> None:
    """It finds its token dead, renews it, keeps the new pair in its config, and then reads."""
    tokens, config = pair(desk), tmp_path / "config.json"
    client = {"client_id": "demo-client", "client_secret": "demo-secret"}
    config.write_text(json.dumps({"subdomain": "demo", "start_date": "2000-01-01T00:00:00Z", **client, **tokens}))
    tap = [str(connector_bin("tap-zendesk") / "tap-zendesk"), "--config", str(config), "--discover"]
    desk.clock.advance("30m")
    assert json.loads(desk.run(tap).stdout)["streams"]
    renewed = json.loads(config.read_text())
    assert renewed["refresh_token"] != tokens["refresh_token"]
    headers = {"authorization": f"Bearer {renewed['access_token']}"}
    token = requests.get(f"{desk.url}/api/v2/oauth/tokens/current", headers=headers).json()["token"]
    assert token["expires_at"] is not None


@pytest.mark.skipif(os.environ.get("CONNECTORS") != "all", reason="runs with `make connectors`")
def test_zendesk_mcp(desk: FeedServer, tmp_path: Path) -> None:
    """It renews on a 401, again and again, and keeps each pair; when its tokens were revoked it asks for a login."""
    tokens, config = pair(desk), tmp_path / ".config" / "zendesk-mcp" / "config.json"
    config.parent.mkdir(parents=True)
    client = {"client_id": "demo-client", "client_secret": "demo-secret", "oauth_token": tokens["access_token"]}
    config.write_text(json.dumps({"subdomain": "demo", **client, "refresh_token": tokens["refresh_token"]}))
    command = [str(connector_bin("zendesk-mcp") / "python"), "-c", MCP_READS]
    for _ in range(3):
        page = json.loads(desk.run(command, env={"HOME": str(tmp_path)}).stdout)
        assert [ticket["id"] for ticket in page["tickets"]] == exported(desk)
        desk.clock.advance("30m")
    current = f"{desk.url}/api/v2/oauth/tokens"
    for token in requests.get(f"{current}?all=true", auth=desk.auth).json()["tokens"]:
        assert requests.delete(f"{current}/{token['id']}", auth=desk.auth).status_code == 204
    assert "zendesk-mcp setup" in json.loads(desk.run(command, env={"HOME": str(tmp_path)}).stdout)


@pytest.mark.skipif(os.environ.get("CONNECTORS") != "all", reason="runs with `make connectors`")
@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="this system has no node, or no npm")
@pytest.mark.skipif(not can_isolate(), reason="this system does not let a command be isolated")
def test_zcli(tmp_path: Path) -> None:
    """The library of Zendesk's command line gets a token for itself, and another one when it is revoked."""
    fill_store(tmp_path, 1)
    done = run("oauth", "client", "create", "zcli", "--secret", "secret-of-zcli-0123456789", cwd=tmp_path)
    assert done.code == 0, done.err
    (tmp_path / "ask.js").write_text(ZCLI_ASKS)
    modules = node_modules("zcli")
    own = {"ZENDESK_OAUTH_CLIENT_ID": "zcli", "ZENDESK_OAUTH_CLIENT_SECRET": "secret-of-zcli-0123456789"}
    env = {"NODE_PATH": str(modules), "HOME": str(tmp_path), "ZENDESK_SUBDOMAIN": "acme", **own}
    done = read_with(tmp_path, "node", "ask.js", env=env)
    assert json.loads(done.out) == [[200, "admin"], [204, None], [200, "admin"]]
