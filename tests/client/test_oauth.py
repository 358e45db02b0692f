"""Tokens that are renewed inside a walk: before they die, once after a 401, and never lost."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.client.playbook import START, Playbook, Reaction, answer, cursor, failure, page, ticket
from tests.waiting import SECONDS_MAX
from ticketfeed.client.auth import TokenFile
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.flow import Plan
from ticketfeed.client.oauth import Basic, ClientCredentials, Credentials, RefreshToken
from ticketfeed.client.session import Patience
from ticketfeed.protocol.errors import SourceError
from ticketfeed.protocol.oauth import Lifetimes, NewSecrets
from ticketfeed.protocol.oauth_input import CLIENT_PARSER
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.testing import FeedServer, serve_desk
from ticketfeed.writing.oauth import add_token
from ticketfeed.writing.oauth_clients import create_client, user_with_email

SOURCE = "https://acme.zendesk.com"
CLIENT = ClientCredentials("app", "secret")
ROTATING = RefreshToken("app", "secret", "tokens.json")
ONE = page([ticket(1, 100)], cursor(100, 1), False)
TWO = page([ticket(2, 101)], cursor(101, 2), True)
EXPIRED = answer(401, {"error": "invalid_token", "error_description": "The access token provided is expired"})
SPENT = answer(400, {"error": "invalid_grant", "error_description": "The provided access grant is invalid"})


def grant(access: str, refresh: str | None = None, expires_in: float | None = 3600, status: int = 200) -> Reaction:
    body: dict[str, Any] = {"access_token": access, "refresh_token": refresh, "expires_in": expires_in}
    return answer(status, {name: value for name, value in body.items() if value is not None})


def headers(book: Playbook) -> list[str]:
    return [request.headers.get("authorization", request.target) for request in book.requests]


def test_basic_is_on_every_request() -> None:
    """An email with an API token is sent as the wire wants it, and stands in no text."""
    credentials = Basic("a@example.com", "tok")
    assert headers(Playbook(TWO, credentials=credentials).run()) == ["Basic YUBleGFtcGxlLmNvbS90b2tlbjp0b2s="]
    assert "tok'" not in repr(credentials)


@pytest.mark.parametrize("status", [200, 201])
def test_client_credentials(status: int) -> None:
    """A token is got before the first request, as JSON, whether the endpoint says 200 or 201."""
    book = Playbook(grant("A", status=status), ONE, TWO, credentials=CLIENT).run()
    assert headers(book) == ["/oauth/tokens", "Bearer A", "Bearer A"]
    assert json.loads(book.requests[0].body or b"") == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "secret",
        "scope": "read",
        "expires_in": 3600,
    }


def test_renewed_before_it_dies() -> None:
    """A token with less than a minute to live is renewed before the next page."""
    plan = Plan(patience=Patience(requests_per_minute=1))  # the second page is asked for a minute later
    book = Playbook(grant("A", expires_in=110), ONE, grant("B"), TWO, plan=plan, credentials=CLIENT).run()
    assert headers(book) == ["/oauth/tokens", "Bearer A", "/oauth/tokens", "Bearer B"]
    assert [wait.seconds for wait in book.waits] == [60]


def test_renewed_once_after_401() -> None:
    """A 401 although the token should be good: one renewal, the same page again; a second 401 is final."""
    book = Playbook(grant("A", expires_in=None), ONE, EXPIRED, grant("B"), TWO, credentials=CLIENT).run()
    assert book.ids == [1, 2]
    assert book.queries()[2] == book.queries()[4]
    with pytest.raises(SourceError, match=r"refuses the credentials \(401\): invalid_token"):
        Playbook(grant("A"), EXPIRED, grant("B"), EXPIRED, credentials=CLIENT).run()


def test_token_endpoint_down_for_a_while() -> None:
    """Trouble of the token endpoint is waited out as any other."""
    book = Playbook(answer(503), failure(), grant("A"), TWO, credentials=CLIENT).run()
    assert [wait.seconds for wait in book.waits] == [1, 2]


@pytest.mark.parametrize(
    ("reaction", "words"),
    [
        (
            answer(401, {"error": "invalid_client", "error_description": "The client identifier"}),
            "401.: invalid_client",
        ),
        (answer(400, {"error": "invalid_scope"}), "invalid_scope"),
        (answer(200, {"token": "x"}), "returned no access token"),
        (answer(200, b"<html>"), "returned no access token"),
    ],
)
def test_token_endpoint_refuses(reaction: Reaction, words: str) -> None:
    """One line says why, without the secret."""
    with pytest.raises(SourceError, match=words) as refused:
        Playbook(reaction, credentials=CLIENT).run()
    assert "secret" not in str(refused.value)


def test_new_pair_is_in_the_file_before_it_is_used() -> None:
    """The first request with the new access token comes after the file holds the new refresh token."""
    book = Playbook(grant("A", "R2"), TWO, credentials=ROTATING, token_file=b"R1\n").run()
    assert json.loads(book.requests[0].body or b"")["refresh_token"] == "R1"
    assert headers(book) == ["/oauth/tokens", "Bearer A"]
    assert json.loads(book.token_file) == {"access_token": "A", "refresh_token": "R2", "expires_at": START + 3600}
    # The next run uses the access token that is still good.
    again = Playbook(TWO, credentials=ROTATING, token_file=book.token_file).run()
    assert headers(again) == ["Bearer A"]
    assert again.token_file == book.token_file


def test_another_process_has_renewed() -> None:
    """After a 401 the file is read first: what another process put there is used, and nothing is spent."""
    stored = json.dumps({"access_token": "A", "refresh_token": "R1", "expires_at": START + 3600}).encode()
    book = Playbook(ONE, EXPIRED, TWO, credentials=ROTATING, token_file=stored)
    renewed = json.dumps({"access_token": "B", "refresh_token": "R2", "expires_at": START + 9999}).encode()
    book._reactions[1] = lambda request, now: (setattr(book, "token_file", renewed), EXPIRED(request, now))[1]
    assert headers(book.run()) == ["Bearer A", "Bearer A", "Bearer B"]


@pytest.mark.parametrize("content", [b"", b"two words", b"{}", b'{"refresh_token":""}', b"{", b"\xff"])
def test_token_file_without_a_token(content: bytes) -> None:
    """It is refused by its name, and unlocked."""
    book = Playbook(credentials=ROTATING, token_file=content)
    with pytest.raises(SourceError, match=r"tokens\.json has no refresh"):
        book.run()
    assert not book.is_locked


def test_spent_refresh_token() -> None:
    """After an answer that was lost the refresh token is spent: the line names the file and what to do."""
    book = Playbook(failure(), SPENT, credentials=ROTATING, token_file=b"R1")
    with pytest.raises(SourceError, match=r"tokens.json is spent, expired or revoked; authorize the client again"):
        book.run()
    assert not book.is_locked


class Endpoint(BaseHTTPRequestHandler):
    """A real server whose refresh tokens are used up, and whose access tokens are good for seven pages."""

    spent: ClassVar[set[str]] = set()
    uses: ClassVar[dict[str, int]] = {}
    number: ClassVar[int] = 0
    kill: ClassVar[tuple[str, Callable[[], object]]] = "", lambda: None
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if given["refresh_token"] in self.spent or given["refresh_token"] != f"R{Endpoint.number}":
            self.reply(400, {"error": "invalid_grant"})
            return
        self.spent.add(given["refresh_token"])
        Endpoint.number += 1
        self.uses[f"A{self.number}"] = 0
        self.come_to("rotated")
        self.reply(200, {"access_token": f"A{self.number}", "refresh_token": f"R{self.number}"})
        self.come_to("answered")

    def come_to(self, step: str) -> None:
        when, kill = Endpoint.kill
        if when == step:
            kill()

    def do_GET(self) -> None:
        token = self.headers["authorization"].removeprefix("Bearer ")
        self.uses[token] = self.uses.get(token, 9) + 1
        if self.uses[token] == 1:
            self.come_to("used")
        if self.uses[token] > 7:
            return self.reply(401, {"error": "invalid_token"})
        place = int(self.path.partition("start_time=")[2].partition("&")[0] or 0)
        done = self.path.partition("cursor=")[2].partition("&")[0]
        id = 1 + (json.loads(bytes.fromhex(done)) if done else place)
        after = json.dumps(id).encode().hex()
        return self.reply(200, {"tickets": [ticket(id, id)], "after_cursor": after, "end_of_stream": id >= 20})

    def reply(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Any:
    Endpoint.spent, Endpoint.uses, Endpoint.number = set(), {}, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_rotation_over_http(endpoint: str, tmp_path: Path) -> None:
    """Twenty pages with tokens that are good for seven each: all arrive, and the file has the last pair."""
    file = tmp_path / "refresh"
    file.write_text("R0")
    with Exporter(endpoint, credentials=RefreshToken("app", None, str(file))) as exporter:
        ids = [key.id for page in exporter for key in page.keys]
    assert ids == list(range(1, 21))
    assert json.loads(file.read_text())["refresh_token"] == f"R{Endpoint.number}"
    assert file.stat().st_mode & 0o777 == 0o600


WALKS = """
import os, sys
from ticketfeed.client.exporter import Exporter
from ticketfeed.client.oauth import RefreshToken
for _ in sys.stdin:
    walk = os.fork()
    if walk == 0:
        with Exporter(sys.argv[1], credentials=RefreshToken("app", None, sys.argv[2])) as exporter:
            print(*[page.keys[0].id for page in exporter], flush=True)
        os._exit(0)
    print(walk, flush=True)
    os.waitpid(walk, 0)
"""


def test_killed_walks_keep_the_token(endpoint: str, tmp_path: Path) -> None:
    """Walks that are killed while their token is renewed, before, between and behind its steps, lose no pair.

    The endpoint has ended the old refresh token when it kills the walk, so a pair that did not get into the file would
    be the end of all.
    """
    file = tmp_path / "refresh"
    file.write_text("R0")
    command = [sys.executable, "-c", WALKS, endpoint, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as walks:
        assert walks.stdin
        assert walks.stdout
        for number in range(10):
            killed, when = threading.Event(), ("rotated", "answered", "used")[number % 3]
            walks.stdin.write("\n")
            pid = int(walks.stdout.readline())
            Endpoint.kill = when, lambda pid=pid, killed=killed: (os.kill(pid, signal.SIGKILL), killed.set())
            assert killed.wait(30)
        Endpoint.kill = "", lambda: None
        walks.stdin.write("\n")
        walks.stdout.readline()
        assert walks.stdout.readline().split() == [str(id) for id in range(1, 21)]
        walks.stdin.close()
    assert json.loads(file.read_text())["refresh_token"] == f"R{Endpoint.number}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["refresh", "refresh.lock"]


def test_a_file_that_cannot_take_the_pair(endpoint: str, tmp_path: Path) -> None:
    """Nothing is sent, and so no token spent, where its successor could not be written."""
    file = tmp_path / "refresh"
    file.write_text("R0")
    (tmp_path / "refresh.part").mkdir()
    with (
        Exporter(endpoint, credentials=RefreshToken("app", None, str(file))) as exporter,
        pytest.raises(SourceError, match=r"refresh\.part cannot be written"),
    ):
        list(exporter)
    assert (Endpoint.number, file.read_text()) == (0, "R0")


@pytest.mark.parametrize("grant_type", ["client_credentials", "refresh_token"])
def test_against_the_server(tmp_path: Path, grant_type: str) -> None:
    """A token of the server's own endpoint that expires in the middle of a walk is renewed there; all tickets arrive.

    `expires_in` says nothing: the server's clock is put ahead, so only its 401 tells.
    """
    made, secret = NewSecrets("a" * 64, "r" * 64), "secret-of-a-client"
    values = CLIENT_PARSER.convert({"name": "App", "identifier": "app", "allowed_scopes": ["read"]})

    def work(write: WriteTransaction) -> None:
        client = create_client(write, values, user_with_email(write, FeedServer.email), secret)
        add_token(write, client, client.user_id, "read", made, Lifetimes())

    file = tmp_path / "refresh"
    file.write_text(made.refresh or "")
    credentials: Credentials = ClientCredentials("app", secret)
    if grant_type == "refresh_token":
        credentials = RefreshToken("app", secret, str(file))
    with serve_desk(tickets=30) as desk:
        desk._await(desk._store.write(desk._account(), work))
        desk.clock.advance(2)
        ids = []
        with Exporter(desk.url, credentials=credentials, per_page=10) as exporter:
            for page in exporter:
                ids += [key.id for key in page.keys]
                desk.clock.advance(2 * 3600)
        assert len(set(ids)) == len(ids) == 30
        asked = [request.path for request in desk.requests()]
        assert asked.count("/oauth/tokens") == 3
        if grant_type == "refresh_token":
            with Exporter(desk.url, credentials=credentials) as exporter:
                assert sum(len(page.keys) for page in exporter) == 30
            file.write_text(made.refresh or "")
            with Exporter(desk.url, credentials=credentials) as exporter, pytest.raises(SourceError, match="is spent"):
                list(exporter)


def test_token_file_waits_for_its_lock(tmp_path: Path) -> None:
    """Two processes that renew at the same time: the second reads what the first has saved."""
    file = tmp_path / "refresh"
    file.write_bytes(b"R1")
    first, second, read = TokenFile(str(file), SOURCE), TokenFile(str(file), SOURCE), list[bytes]()
    assert first.read() == b"R1"
    thread = threading.Thread(target=lambda: read.append(second.read()))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    first.replace(b"R2")
    first.close()
    thread.join(SECONDS_MAX)
    assert read == [b"R2"]
    second.close()
    assert file.read_bytes() == b"R2"


def test_token_file_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named in one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=r"^\. cannot be read"):
        TokenFile("", SOURCE).read()
    with pytest.raises(SourceError, match="nowhere"):
        TokenFile(str(tmp_path / "nowhere" / "refresh"), SOURCE).read()
    tokens = TokenFile(str(tmp_path / "missing"), SOURCE)
    with pytest.raises(SourceError, match="missing cannot be read"):
        tokens.read()
