"""Answers over a real connection: compressed, cut off, dripping, redirecting; and through a proxy."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ticketfeed.client import transport as module
from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.client.transport import HttpTransport

BODY = b'{"tickets":[]}' + b" " * 5000


class Server:
    """Answers each connection's request with the bytes given, and closes it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.pieces: list[bytes] = []
        self.pause_seconds = 0.0
        self.received = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.received = connection.recv(1 << 16)
                try:
                    for piece in self.pieces:
                        connection.sendall(piece)
                        time.sleep(self.pause_seconds)
                except OSError:
                    pass  # the client has hung up

    def close(self) -> None:
        if self._thread.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
            self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def head(body: bytes, *, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode()


def ask(server: Server, *pieces: bytes) -> Answer | Failed:
    server.pieces = list(pieces)
    transport = HttpTransport(server.url)
    try:
        return transport.send(Request("/api/v2/x?y=1", {"authorization": "Bearer t"}))
    finally:
        transport.close()


def chunked(*parts: bytes, end: bool = True) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-encoding: gzip\r\n\r\n" + framed + b"0\r\n\r\n" * end
    )


PACKED = gzip.compress(BODY)


@pytest.mark.parametrize(
    "sent",
    [
        head(BODY) + BODY,
        head(PACKED, content_encoding="gzip") + PACKED,
        head(PACKED, content_encoding="GZIP ") + PACKED,
        chunked(PACKED[:10], PACKED[10:]),
        chunked(gzip.compress(BODY[:100]), gzip.compress(BODY[100:])),
    ],
)
def test_whole_answers(server: Server, sent: bytes) -> None:
    """Plain, compressed, chunked, and compressed in several members: the same body."""
    answer = ask(server, sent)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, BODY)
    request = server.received.lower()
    assert request.startswith(b"get /api/v2/x?y=1 http/1.1\r\n")
    assert b"accept-encoding: gzip\r\n" in request
    assert b"authorization: bearer t\r\n" in request
    assert b"user-agent: ticketfeed/" in request


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        (head(BODY, length=9999) + BODY, "no whole answer"),
        (head(PACKED[:-20], content_encoding="gzip") + PACKED[:-20], "cut off"),
        (head(b"", content_encoding="gzip") + b"", None),
        (head(BODY, content_encoding="gzip") + BODY, "no sound gzip"),
        (head(PACKED[:-4] + b"xxxx", content_encoding="gzip") + PACKED[:-4] + b"xxxx", "no sound gzip"),
        (head(BODY, content_encoding="br") + BODY, "not requested"),
        (chunked(PACKED, end=False), "no whole answer"),
        (chunked(PACKED[:50]), "cut off"),
        (b"", "no whole answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no whole answer"),
    ],
)
def test_answers_that_are_cut_off(server: Server, sent: bytes, word: str | None) -> None:
    """What ends too early is never taken for an answer."""
    answer = ask(server, sent)
    if word is None:
        assert isinstance(answer, Answer)
        return
    assert isinstance(answer, Failed)
    assert word in answer.text
    assert not answer.timed_out


def test_redirects_are_not_followed(server: Server) -> None:
    """The credentials go to the source alone."""
    answer = ask(server, head(b"", status="302 Found", location="http://127.0.0.1:9/"))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:9/")


def test_silence_and_dripping(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that says nothing, or little at a time for ever, is left: a smaller page may come."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)
    server.pause_seconds = 1
    silent = ask(server, head(BODY), BODY)
    assert isinstance(silent, Failed)
    assert silent.timed_out
    server.pause_seconds = 0.1
    dripping = ask(server, head(BODY), *(BODY[place : place + 1] for place in range(50)))
    assert isinstance(dripping, Failed)
    assert dripping.timed_out


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_answers_that_are_too_large(
    server: Server, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    """An answer beyond all bounds, compressed or not, is a reason to ask for fewer."""
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 1000)
    body = pack(BODY)
    headers: dict[str, Any] = {"content_encoding": "gzip"} if pack is gzip.compress else {}
    answer = ask(server, head(body, **headers) + body)
    assert isinstance(answer, Failed)
    assert answer.timed_out


def test_nobody_there(server: Server) -> None:
    """A refused connection says so in a few words."""
    server.close()
    answer = ask(server)
    assert isinstance(answer, Failed)
    assert answer.text == "no connection to the source: Connection refused"


def test_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used, with its credentials, unless NO_PROXY names the host."""
    server.pieces = [head(BODY) + BODY]
    address = server.url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://user:pass@{address}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = HttpTransport("http://acme.example")
    assert isinstance(transport.send(Request("/x")), Answer)
    transport.close()
    assert server.received.startswith(b"GET http://acme.example/x HTTP/1.1")
    assert b"roxy-Authorization: Basic dXNlcjpwYXNz" in server.received or b"proxy-authorization: " in server.received
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    transport = HttpTransport(server.url)
    assert isinstance(transport.send(Request("/x")), Answer)
    transport.close()
    assert server.received.startswith(b"GET /x HTTP/1.1")
