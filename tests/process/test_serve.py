"""`ticketfeed serve` as a real process: how it starts, ends, logs, and bears what no client should send."""

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.process.conftest import PATH, TICKETS, TOKEN, Running, Start, run
from tests.waiting import SECONDS_MAX, wait_until

HEAD = f"GET {PATH}?start_time=0&per_page=1 HTTP/1.1\r\nHost: demo\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


def slow_page(server: Running) -> socket.socket:
    """A connection whose answer, a page too large for the buffers of the system, is under way and not read."""
    slow = socket.socket()
    slow.settimeout(30)
    slow.connect(server.address)
    slow.sendall(HEAD.replace(b"&per_page=1", b"") + b"\r\n")
    assert slow.recv(12) == b"HTTP/1.1 200"
    return slow


def refuses(server: Running) -> bool:
    """Whether a new connection is refused at once, not left to wait."""
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def read_body(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 16):
            received += chunk
    return received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_finishes_answers(serve: Start, folder: Path, workers: str) -> None:
    """SIGTERM lets an answer under way go out whole, takes no new connection, and exits 0."""
    text = b"x" * 15_000  # all of them are less than the bytes of a page
    large = b"".join(b'{"id":%d,"generated_timestamp":1,"description":"%s"}\n' % (n, text) for n in range(1, 1001))
    assert run("load", "--store", "sqlite:///large.db", "-", cwd=folder, input=large).code == 0
    token = ["token", "create", "--email", "a@example.com", "--token", TOKEN, "--store", "sqlite:///large.db"]
    assert run(*token, cwd=folder).code == 0
    server = serve("--store", "sqlite:///large.db", "--workers", workers)
    with slow_page(server) as slow, server.connect() as half:
        half.sendall(HEAD)
        server.process.terminate()
        wait_until(lambda: refuses(server))
        assert server.process.poll() is None
        assert len(json.loads(read_body(slow))["tickets"]) == 1000
    assert server.process.wait(SECONDS_MAX) == 0
    assert {line["level"] for line in server.logs} == {"info"}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.usefixtures("folder")
def test_sigint(serve: Start, workers: str) -> None:
    """^C, which reaches every process of the group, exits 130 without a word."""
    server = serve("--workers", workers)
    assert server.ask().status == 200
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(SECONDS_MAX) == 130
    assert {line["event"] for line in server.logs} == {"request"}


@pytest.mark.usefixtures("folder")
def test_workers(serve: Start) -> None:
    """Two workers answer; one that is killed is replaced while the other serves on; SIGTERM ends all, with 0."""
    server = serve("--workers", "2")
    wait_until(lambda: len(server.children()) == 2)
    before = server.children()
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(server.children() - before) == 1)
    for _ in range(20):
        assert server.ask().status == 200
    after = server.children()
    assert server.end() == 0
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in after))
    assert "Traceback" not in server.errors.read_text()


@pytest.mark.usefixtures("folder")
def test_workers_whose_parent_is_killed(serve: Start) -> None:
    """They end too: nobody would replace them, and they would keep the port."""
    server = serve("--workers", "2")
    wait_until(lambda: len(server.children()) == 2)
    server.process.kill()
    wait_until(lambda: refuses(server))


def test_broken_start(serve: Start, folder: Path) -> None:
    """A worker that cannot open the store any more ends the server with 2, rather than being started for ever."""
    server = serve("--workers", "2")
    wait_until(lambda: len(server.children()) == 2)
    for name in folder.glob("ticketfeed.db*"):
        name.unlink()
    (folder / "ticketfeed.db").write_text("not a database" * 1000)
    os.kill(min(server.children()), signal.SIGKILL)
    assert server.process.wait(SECONDS_MAX) == 2
    assert "Traceback" not in server.errors.read_text()
    assert server.errors.read_text().splitlines()[-1] == "ticketfeed: a worker process could not start"


def test_environment(start: Start, folder: Path) -> None:
    """Every option can come from its variable, and after_url from the public address."""
    (folder / "ticketfeed.db").rename(folder / "other.db")
    env = {
        "TICKETFEED_STORE": "sqlite:///other.db",
        "TICKETFEED_HOST": "127.0.0.1",
        "TICKETFEED_PORT": "0",
        "TICKETFEED_WORKERS": "1",
        "TICKETFEED_PROFILE": "zendesk",
        "TICKETFEED_PUBLIC_URL": "https://{account}.example.com",
    }
    server = start("serve", env=env)
    page = json.loads(server.ask().body)  # type: ignore[attr-defined]
    assert page["after_url"].startswith(f"https://demo.example.com{PATH}?cursor=")
    assert server.ask(f"{PATH}?start_time={int(time.time())}").status == 400
    other = start("serve", "--profile", "open", "--public-url", "http://x:1", "--port", "0", env=env)
    page = json.loads(other.ask(f"{PATH}.json?start_time=0").body)  # type: ignore[attr-defined]
    assert page["after_url"].startswith(f"http://x:1{PATH}.json?")
    assert other.ask(f"{PATH}?start_time={int(time.time())}").status == 200


def test_access_log(server: Running) -> None:
    """Each request is one JSON line under the answer's id; it holds no secret, wherever that was sent."""
    target = f"{PATH}?start_time=0&per_page=3&access_token=hunter2&%73ecret=hunter3"
    answer = server.ask(target, Cookie="hunter4", Host="demo")
    own = answer.headers["X-Request-Id"]
    wait_until(lambda: any(line.get("request_id") == own for line in server.logs))
    (line,) = (line for line in server.logs if line.get("request_id") == own)
    assert {key: line[key] for key in ("event", "level", "logger", "method", "path", "query", "status", "client")} == {
        "event": "request",
        "level": "info",
        "logger": "ticketfeed.access",
        "method": "GET",
        "path": PATH,
        "query": {"start_time": "0", "per_page": "3", "access_token": "REDACTED", "secret": "REDACTED"},
        "status": 200,
        "client": "127.0.0.1",
    }
    assert line["bytes"] == len(answer.body)  # type: ignore[attr-defined]
    assert line["ms"] > 0
    assert not any(secret in server.errors.read_text() for secret in ("hunter", TOKEN, "Bearer"))


# name -> (what is sent, the statuses that may come back; none means the connection ends without an answer)
ROUGH: dict[str, tuple[bytes, set[int]]] = {
    "garbage": (bytes(range(256)) * 10, {400}),
    "tls": (bytes.fromhex("16030100c8010000c40303") + b"\0" * 200, {400}),
    "empty line": (b"\r\n\r\n" + HEAD + b"Connection: close\r\n\r\n", {200}),
    "no request line": (b"Host: x\r\n\r\n", {400}),
    "absolute address": (HEAD.replace(b"GET /", b"GET http://demo/") + b"Connection: close\r\n\r\n", {200}),
    "broken address": (b"GET http://[::1 HTTP/1.1\r\nHost: demo\r\n\r\n", {400}),
    "star": (b"OPTIONS * HTTP/1.1\r\nHost: demo\r\n\r\n", {400, 404}),
    "connect": (b"CONNECT demo:443 HTTP/1.1\r\nHost: demo\r\n\r\n", {400, 404}),
    "bytes in path": (b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n", {400, 404}),
    "escapes in path": (b"GET /%ff%00%zz%u1234 HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n", {404}),
    "bytes in query": (HEAD.replace(b"&per", b"&\xff\xfe=\x80&per") + b"Connection: close\r\n\r\n", {200, 400}),
    "bytes in header": (HEAD + b"X: \xff\xfe\x80\r\nConnection: close\r\n\r\n", {200}),
    "null in header": (HEAD + b"X: a\0b\r\nConnection: close\r\n\r\n", {400}),
    "http 1.0 without host": (b"GET " + PATH.encode() + b" HTTP/1.0\r\n\r\n", {400}),
    "http 1.0": (HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", {200}),
    "http 0.9": (b"GET /\r\n", {400}),
    "http 2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404}),
    "http 9": (HEAD.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n", {400}),
    "no host": (b"GET " + PATH.encode() + b" HTTP/1.1\r\nConnection: close\r\n\r\n", {400}),
    "two hosts": (HEAD + b"Host: other\r\nConnection: close\r\n\r\n", {200, 400, 404}),
    "body on get": (HEAD + b"Content-Length: 9\r\nConnection: close\r\n\r\n" + b'{"a": 1}\n', {200}),
    "large body": (HEAD + b"Content-Length: 900000\r\nConnection: close\r\n\r\n" + b"x" * 900_000, {200}),
    "chunked body": (
        HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        {200},
    ),
    "broken chunk": (HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n", {200, 400}),
    "two lengths": (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", {400}),
    "length and chunks": (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "negative length": (HEAD + b"Content-Length: -1\r\n\r\n", {400}),
    "websocket": (
        HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        {200},
    ),
    "expect": (HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", {100, 200}),
    "pipelined": ((HEAD + b"\r\n") * 20 + HEAD + b"Connection: close\r\n\r\n", {200}),
    "pipelined garbage": (HEAD + b"\r\n" + b"\xff" * 100, {200, 400}),
    "header of 100 kB": (HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n", {431}),
    "header of 10 MB": (HEAD + b"X: " + b"x" * 10_000_000 + b"\r\n\r\n", {431}),
    "endless headers": (HEAD + b"X: y\r\n" * 500_000, {431}),
    "request line of 100 kB": (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: demo\r\n\r\n", {400, 414, 431}),
    "request line of 10 MB": (b"GET /?" + b"x" * 10_000_000 + b" HTTP/1.1\r\nHost: demo\r\n\r\n", {400, 414, 431}),
}


# Half a head to this server, which waits for the rest; and what is answered as any other request.
NO_ANSWER, KEPT_OPEN = "http 0.9", ("star", "header of 100 kB")


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    return bool(end) and len(body) >= int(head.lower().partition(b"content-length: ")[2].split()[0])


@pytest.mark.parametrize("name", ROUGH)
def test_rough(server: Running, name: str) -> None:
    """Whatever comes over the wire has an answer or an end, and the next request is served as ever."""
    sent, expected = ROUGH[name]
    received = b""
    with server.connect() as rough:
        # A server that has heard enough closes; what was sent beyond may then cost the client its answer.
        with contextlib.suppress(ConnectionError):
            rough.sendall(sent)
        rough.settimeout(0.5 if name == NO_ANSWER else SECONDS_MAX)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while not (name in KEPT_OPEN and is_whole(received)) and (chunk := rough.recv(1 << 16)):
                received += chunk
    statuses = {int(line.split(b" ", 2)[1]) for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")}
    assert statuses <= expected
    assert statuses or len(sent) > 50_000 or name == NO_ANSWER
    if name == "pipelined":
        assert received.count(b"HTTP/1.1 200") == 21
    check_well(server)


@pytest.mark.parametrize("length", [1, 20, len(HEAD), len(HEAD) + 1])
@pytest.mark.parametrize("reset", [False, True])
def test_half_request(server: Running, length: int, reset: bool) -> None:
    """A client that goes away in the middle of a request leaves nothing behind."""
    with server.connect() as half:
        half.sendall((HEAD + b"\r\n")[:length])
        if reset:
            half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    check_well(server)


def test_reader_goes_away(server: Running) -> None:
    """A client that goes away in the middle of an answer is no error."""
    with slow_page(server) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    check_well(server)


def test_many_idle_connections(server: Running) -> None:
    """A hundred connections that say nothing do not keep others from being answered."""
    with contextlib.ExitStack() as idle:
        for _ in range(100):
            idle.enter_context(server.connect())
        check_well(server)


def check_well(server: Running) -> None:
    answer = server.ask(f"{PATH}?start_time=0")
    assert len(json.loads(answer.body)["tickets"]) == min(TICKETS, 1000)  # type: ignore[attr-defined]
    assert server.process.poll() is None
    assert not [line for line in server.logs if "exception" in line or line["level"] not in ("info", "warning")]
    assert max(len(line) for line in server.errors.read_text().splitlines() or [""]) < 5000
