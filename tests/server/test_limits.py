"""Every limit of docs/reference/limits.md on a real socket, and what a client may send without a trace in the log."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.server.desk import ADMIN, ALL, NOON, Desk, basic, tickets
from tests.server.serving import Address, limits_of, serve, shares_of
from tests.waiting import SECONDS_MAX, until
from ticketfeed.server import connections
from ticketfeed.server.event_loop import make_loop
from ticketfeed.server.limits import Limits

KIB, MIB = 1024, 1024 * 1024
TCP_CLOSE = 7  # of the states in Linux: include/net/tcp_states.h
HEAD = b"Host: acme\r\n"
KNOWN = HEAD + f"Authorization: {ADMIN}\r\n".encode()
HEALTH = b"GET /_ticketfeed/health HTTP/1.1\r\n" + HEAD + b"\r\n"
PAGE = f"GET {ALL} HTTP/1.1\r\n".encode() + KNOWN + b"\r\n"
LIST = b"GET /api/v2/tickets.json?per_page=1 HTTP/1.1\r\n" + KNOWN + b"\r\n"
OPENAPI = b"GET /_ticketfeed/openapi.json HTTP/1.1\r\n" + HEAD + b"\r\n"
POST = b"POST /api/v2/tickets HTTP/1.1\r\n" + KNOWN
FORM = b"POST /_ticketfeed/login HTTP/1.1\r\n" + HEAD
WRONG = b"POST /api/v2/tickets HTTP/1.1\r\n" + HEAD + f"Authorization: {basic('a@example.com/token:no')}\r\n".encode()
TICKET = b'{"ticket": {"subject": "x", "comment": {"body": "x"}}}'


_opened: list[socket.socket] = []


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """The store makes no difference here: all of it runs on the memory store."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections are checked often, so that no test has to wait; those of the test are closed after it."""
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.02)
    yield
    while _opened:
        _opened.pop().close()


class Client:
    """A connection with a small receive buffer."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.socket()
        _opened.append(self.socket)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(address)
        self.socket.setblocking(False)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, size: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, size)

    async def read_answer(self) -> bytes:
        """The head of the next answer; its body is read, too."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = await self.receive(1)
            assert part, head
            head += part
        rest = int(head.lower().partition(b"content-length: ")[2].split()[0])
        while rest > 0:
            rest -= len(await self.receive(rest))
        return head

    async def read_end(self) -> bytes:
        """What is received until the connection is closed, or `reset` if that is all."""
        received = b""
        try:
            while part := await self.receive():
                received += part
        except ConnectionResetError:
            return received or b"reset"
        return received

    def is_reset(self) -> bool:
        """By its state: the error is told once, to whoever sends, receives or asks first."""
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE


def big_desk(limits: Limits) -> Desk:
    """A desk with a page of 3 MB."""
    desk = Desk(limits=limits)
    desk.put("tickets", *(t for n in range(3) for t in tickets(n + 1, second=NOON - 500, description="x" * 1_000_000)))
    return desk


@dataclass(frozen=True)
class Slow:
    """A client that sends `sent` at once and then `rest` by single bytes, if at all.

    `answer`: how what it receives in the end begins. `values`: of the limits, of which no other is reached.
    """

    name: str
    sent: bytes
    rest: bytes = b""
    answer: bytes = b""
    values: dict[str, float] = field(default_factory=dict)


TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\n"
NEVER = {"head_seconds": 600, "body_seconds": 600, "send_grace_seconds": 600, "idle_seconds": 600}
IDLE = {"idle_seconds": 0.2}
RATE = {"send_grace_seconds": 0.2, "send_bytes_per_second": 1000}
SLOW = [
    Slow("head, time", b"GET / HTTP/1.1\r\nX: ", b"x" * 99, TIMEOUT, {"head_seconds": 0.2}),
    Slow("head, rate", b"GET / HTTP/1.1\r\nX: ", b"x" * 99, TIMEOUT, RATE),
    Slow("body, time", POST + b"Content-Length: 9999\r\n\r\n", b" " * 99, TIMEOUT, {"body_seconds": 0.2}),
    Slow("body, rate", POST + b"Content-Length: 9999\r\n\r\n", b" " * 99, TIMEOUT, RATE),
    Slow("body that never comes", POST + b"Content-Length: 9999\r\n\r\n", b"", TIMEOUT, RATE),
    Slow("form", FORM + b"Content-Length: 999\r\n\r\n", b"a" * 99, TIMEOUT, RATE),
    Slow("chunks", POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 20, TIMEOUT, RATE),
    Slow("trailers", POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: " + b"x" * 99, TIMEOUT, RATE),
    Slow("nothing", b"", b"", b"", IDLE),
    Slow("stray bytes", b"", b"\r\n" * 50, b"", IDLE),
    Slow("after an answer", HEALTH, b"", b"HTTP/1.1 200 ", IDLE),
    Slow("stray bytes after an answer", HEALTH, b"\r\n" * 50, b"HTTP/1.1 200 ", IDLE),
    Slow("body of a refused request", WRONG + b"Content-Length: 9999\r\n\r\n", b" " * 99, b"HTTP/1.1 401 ", IDLE),
    Slow("refused, and no body", WRONG + b"Content-Length: 9999\r\n\r\n", b"", b"HTTP/1.1 401 ", IDLE),
    Slow("last request", HEALTH.replace(HEAD, HEAD + b"Connection: close\r\n"), b"x" * 99, b"HTTP/1.1 200 ", IDLE),
]


@pytest.mark.parametrize("slow", SLOW, ids=lambda slow: slow.name)
def test_slow_senders(slow: Slow) -> None:
    """Whatever a connection waits for from its client, it is closed in time; a part of a request is answered."""
    limits = limits_of(**{**NEVER, **slow.values})

    async def talk(address: Address) -> None:
        client = Client(address)
        await client.send(slow.sent)
        closed = asyncio.create_task(client.read_end())
        for byte in slow.rest:
            await asyncio.sleep(0.02)
            if closed.done():
                break
            with contextlib.suppress(OSError):
                await client.send(bytes([byte]))
        received = await closed
        # A byte that the server did not read before it closed resets the connection.
        assert received.startswith(slow.answer) if slow.answer else received in (b"", b"reset")

    serve(Desk(limits=limits), talk, limits)


def test_who_sends_fast_enough() -> None:
    """Senders above the least rate are served, and so are those that wait for the server."""
    limits = limits_of(send_grace_seconds=0.2, send_bytes_per_second=100, idle_seconds=0.3)

    async def talk(address: Address) -> None:
        client = Client(address)
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % (len(TICKET) + 500))
        for _ in range(10):
            await client.send(b" " * 50)
            await asyncio.sleep(0.05)
        await client.send(TICKET)
        assert (await client.read_answer()).startswith(b"HTTP/1.1 201 ")
        await client.send(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(TICKET))
        assert await client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(TICKET)
        assert (await client.read_answer()).startswith(b"HTTP/1.1 201 ")

    serve(Desk(limits=limits), talk, limits)


LARGE = {
    "head": (b"GET / HTTP/1.1\r\n" + HEAD + b"X: ", b"x" * 8192),
    "many headers": (b"GET / HTTP/1.1\r\n" + HEAD, b"X: y\r\n" * 1024),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"X: y\r\n" * 1024),
    "a trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: ", b"x" * 8192),
    "chunk extensions": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 8192),
    "stray bytes": (b"", b"\r\n" * 4096),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_heads(name: str) -> None:
    """Heads, and what else is no body, are refused as soon as they are too large."""
    begin, more = LARGE[name]

    async def talk(address: Address) -> None:
        client = Client(address)
        await client.send(begin)
        answer = asyncio.create_task(client.read_end())
        sent = 0
        while not answer.done() and sent < 10 * MIB:
            with contextlib.suppress(OSError):
                await client.send(more)
            sent += len(more)
            await asyncio.sleep(0.001)
        assert (await answer).startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
        assert sent < 1 * MIB

    limits = limits_of(head_bytes=64 * KIB, idle_seconds=0.2)
    serve(Desk(limits=limits), talk, limits)


def test_trailers_are_no_headers() -> None:
    """What follows a chunked body is not read as headers of the request."""

    async def talk(address: Address) -> None:
        client = Client(address)
        body = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nAuthorization: %b\r\n\r\n"
        for head, status in ((POST, b"201"), (POST.replace(KNOWN, HEAD), b"401")):
            await client.send(head + body % (len(TICKET), TICKET, ADMIN.encode()))
            assert (await client.read_answer())[9:12] == status
        await client.send(LIST)
        assert (await client.read_answer()).startswith(b"HTTP/1.1 200 ")

    serve(Desk(), talk)


def test_handshakes() -> None:
    """A connection that begins no TLS handshake is closed in time, without a word in the log."""

    async def main() -> None:
        context, loop = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        client = Client(server.sockets[0].getsockname())
        async with asyncio.timeout(SECONDS_MAX):
            assert await client.read_end() == b""
        server.close()

    with asyncio.Runner(loop_factory=lambda: make_loop(0.2)) as runner:
        runner.run(main())


def test_received_bytes() -> None:
    """Bodies that have been received in part are bounded in all: the slowest senders are refused."""
    limits = limits_of(received_bytes=1 * MIB)

    async def talk(address: Address) -> None:
        async def begin(size: int) -> Client:
            client = Client(address)
            await client.send(POST + b"Content-Length: 1000000\r\n\r\n" + b" " * size)
            return client

        slow = [await begin(350_000) for _ in range(2)]
        await asyncio.sleep(0.3)  # that they are slower is seen whenever the server looks
        fast = await begin(700_000)
        ended = await asyncio.gather(*(client.read_end() for client in slow))
        assert all(end.startswith((TIMEOUT, b"reset")) for end in ended)
        assert not fast.is_reset()

    serve(Desk(limits=limits), talk, limits)


def test_received_bytes_of_who_waits_for_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was received before the server was ready for the rest counts, too."""
    limits = limits_of(received_bytes=1 * MIB)
    desk, released = Desk(limits=limits), asyncio.Event()
    find = desk.app.state.service.accounts.find

    async def slowly(host: str) -> Any:
        await released.wait()
        return await find(host)

    monkeypatch.setattr(desk.app.state.service.accounts, "find", slowly)

    async def talk(address: Address) -> None:
        clients = [Client(address) for _ in range(2)]
        part = POST + b"Content-Length: 1000000\r\n\r\n" + b" " * 560_000
        sending = [asyncio.create_task(client.send(part)) for client in clients]
        await until(lambda: shares_of(desk)[0].requests == 2)
        await asyncio.sleep(0.1)  # the server looks meanwhile
        released.set()
        ended = await asyncio.gather(*(client.read_end() for client in clients))
        assert all(end.startswith((TIMEOUT, b"reset")) for end in ended)
        await asyncio.gather(*sending, return_exceptions=True)

    serve(desk, talk, limits)


def test_pipelined_requests() -> None:
    """A few requests may be sent at once; more than that are refused, however they come."""

    async def talk(address: Address) -> None:
        client = Client(address)
        await client.send(HEALTH * 4)
        for _ in range(4):
            assert (await client.read_answer()).startswith(b"HTTP/1.1 200 ")
        await client.send(HEALTH * 2000)
        assert (await client.read_end()).count(b"HTTP/1.1 200 ") < 1000

    limits = limits_of(pipelined_requests=4)
    serve(Desk(limits=limits), talk, limits)


READERS = {
    "with credentials": (PAGE, 0),
    "without": (OPENAPI, 1),
    "last request": (OPENAPI.replace(HEAD, HEAD + b"Connection: close\r\n"), 1),
    "many small answers": (HEALTH * 3000, 1),
}


@pytest.mark.parametrize("name", READERS)
def test_slow_readers(name: str) -> None:
    """A reader below the least rate is cut off; the system holds little for it, and nothing afterwards."""
    request, share = READERS[name]
    limits = limits_of(
        read_seconds=0.3,
        read_bytes_per_second=100_000,
        pipelined_requests=100_000,
        idle_seconds=0.1,
        socket_bytes=64 * KIB,
    )

    async def talk(address: Address) -> None:
        client = Client(address)
        sending = asyncio.create_task(client.send(request))
        mine = shares_of(desk)[share]
        await until(lambda: mine.unsent_bytes() > 0)
        assert mine.kernel_bytes < 3 * limits.socket_bytes

        def is_cut_off() -> bool:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                client.socket.recv(1)
            return client.is_reset()

        await until(is_cut_off)
        sending.cancel()
        await until(lambda: mine.unsent_bytes() == 0 and mine.requests == 0)

    desk = big_desk(limits)
    serve(desk, talk, limits)


def test_a_reader_of_both_shares() -> None:
    """What is unsent counts for the share of its request, whatever is requested next on the same connection."""

    async def talk(address: Address) -> None:
        known, anonymous = shares_of(desk)
        client = Client(address)
        await client.send(PAGE)
        await until(lambda: len(known.stalled) == 1)
        await client.send(OPENAPI)
        await asyncio.sleep(0.1)
        for _ in range(2):
            await client.read_answer()
        await until(lambda: not known.stalled and not anonymous.stalled)

    desk = big_desk(limits_of())
    serve(desk, talk)


def test_slow_readers_make_room() -> None:
    """While too much is unsent the slowest readers are cut off early, and others are served all the same."""
    limits = limits_of(unsent_bytes=8 * MIB, busy_read_seconds=0.5, busy_read_bytes_per_second=100_000)

    async def talk(address: Address) -> None:
        share = shares_of(desk)[0]
        slow = [Client(address) for _ in range(12)]
        for client in slow:
            await client.send(PAGE)
        await until(lambda: len(share.stalled) > 1)
        good = Client(address)
        for _ in range(3):
            await good.send(LIST)
            assert (await good.read_answer()).startswith(b"HTTP/1.1 200 ")
        await until(lambda: share.unsent_bytes() <= 0.75 * limits.unsent_bytes and share.requests == 0)
        assert 0 < len(share.stalled) < len(slow) - 5

    desk = big_desk(limits)
    serve(desk, talk, limits)


def test_anonymous_readers_take_no_place() -> None:
    """Readers and requests without credentials fill their own share alone."""
    limits = limits_of(
        anonymous_unsent_bytes=1 * MIB,
        anonymous_requests=5,
        wait_seconds=0.2,
        busy_read_seconds=60,
        idle_seconds=60,
    )

    async def talk(address: Address) -> None:
        slow = [Client(address) for _ in range(12)]
        for client in slow[:6]:
            await client.send(OPENAPI)
        for client in slow[6:]:  # anonymous, whatever the header says: the password is wrong, and anybody may do this
            await client.send(b"POST /api/v2/requests HTTP/1.1\r\n" + HEAD)
            await client.send(b"Authorization: Basic eDp5\r\nContent-Length: 999\r\n\r\n")
        known, anonymous = shares_of(desk)
        await until(lambda: anonymous.unsent_bytes() > limits.anonymous_unsent_bytes)
        for request, status in ((LIST, b"200"), (HEALTH, b"200"), (OPENAPI, b"503")):
            client = Client(address)
            await client.send(request)
            assert (await client.read_answer())[9:12] == status
        assert known.requests == 0

    desk = Desk(limits=limits)
    serve(desk, talk, limits)


def test_only_connected_clients_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose client is gone frees its place at once, although it is worked on to its end."""
    limits = limits_of(requests=3)
    desk, released = Desk(limits=limits), asyncio.Event()
    find = desk.app.state.service.accounts.find

    async def slowly(host: str) -> Any:
        await released.wait()
        return await find(host)

    monkeypatch.setattr(desk.app.state.service.accounts, "find", slowly)

    async def talk(address: Address) -> None:
        share = shares_of(desk)[0]
        gone = [Client(address) for _ in range(3)]
        for client in gone:
            await client.send(LIST)
        await until(lambda: share.requests == 3)
        for client in gone:
            client.socket.close()
        await until(lambda: share.requests == 0)
        assert share.running == 3
        there = Client(address)
        await there.send(LIST)
        await until(lambda: share.requests == 1)
        released.set()
        assert (await there.read_answer()).startswith(b"HTTP/1.1 200 ")

    serve(desk, talk, limits)


def test_connections() -> None:
    """Beyond the limit the oldest connection without credentials is closed; who has shown some stays."""
    limits = limits_of(connections=10)

    async def talk(address: Address) -> None:
        known = Client(address)
        await known.send(LIST)
        assert (await known.read_answer()).startswith(b"HTTP/1.1 200 ")
        strangers = [Client(address) for _ in range(30)]
        await strangers[-1].send(LIST)
        assert (await strangers[-1].read_answer()).startswith(b"HTTP/1.1 200 ")
        assert sum(client.is_reset() for client in strangers) == 21
        await known.send(LIST)
        assert (await known.read_answer()).startswith(b"HTTP/1.1 200 ")

    serve(Desk(limits=limits), talk, limits)


def test_every_limit_is_tested() -> None:
    """Each row of the table is set by a test of this file."""
    source = Path(__file__).read_text() + Path(__file__).with_name("test_overload.py").read_text()
    names = {each.name for each in fields(Limits)}
    assert {name for name in names if f"{name}=" not in source and f'"{name}"' not in source} == set()


JUNK = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //%ff%fe\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET ? HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\n\r\n",
    b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n" * 300 + b"nonsense",
    b"GET / HTTP/1.1\r\n: no name\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    POST + b"Content-Length: -1\r\n\r\n",
    POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: gzip\r\n\r\nxx",
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}X\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x01",
    POST + b"Content-Type: text/html; charset=nonsense\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"Content-Length: 100\r\n\r\nhalf of it",
    POST + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    FORM + b"Content-Length: 100\r\n\r\nhalf",
    FORM + b"Content-Length: 4\r\nContent-Type: multipart/form-data\r\n\r\n\xff\xff\xff\xff",
    LIST + b"garbage after it\r\n\r\n",
    LIST * 3 + POST + b"Content-Length: 100\r\n\r\n{",
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \xff\xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ticketfeed_session=\xff.\xff.\xff\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /api/v2/tickets HTTP/0.9\r\n\r\n",
    PAGE,
    OPENAPI,
]
Leave = Callable[[Client], Awaitable[None]]


async def _reset(client: Client) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.socket.close()


async def _close(client: Client) -> None:
    client.socket.close()


async def _end_and_read(client: Client) -> None:
    client.socket.shutdown(socket.SHUT_WR)
    await client.read_end()
    client.socket.close()


async def _wait(client: Client) -> None:
    await client.read_end()
    client.socket.close()


def test_no_traceback_for_what_clients_do(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever bytes come, and however the client leaves: at most one line for each request, 4xx, and no traceback."""
    limits = limits_of(idle_seconds=0.1, send_grace_seconds=0.1, read_seconds=0.2)
    random = Random(17)
    desk = big_desk(limits)
    caplog.set_level(logging.INFO)

    async def attempt(address: Address, data: bytes, leave: Leave) -> None:
        client = Client(address)
        with contextlib.suppress(OSError):
            for start in range(0, len(data), size := random.choice((1, 7, 1000)) if len(data) < 500 else 1000):
                await client.send(data[start : start + size])
            if random.random() < 0.5:
                await asyncio.sleep(0.01)
            await leave(client)

    async def talk(address: Address) -> None:
        for leave in (_reset, _close, _end_and_read, _wait):
            await asyncio.gather(*(attempt(address, data, leave) for data in JUNK))
        mutated = []
        for _ in range(300):
            data = bytearray(random.choice(JUNK))
            for _ in range(random.randrange(1, 6)):
                place = random.randrange(len(data))
                data[place : place + random.randrange(3)] = random.randbytes(random.randrange(3))
            mutated.append(bytes(data))
        await asyncio.gather(*(attempt(address, data, random.choice((_reset, _close, _wait))) for data in mutated))
        await until(lambda: [share.requests for share in shares_of(desk)] == [0, 0])

    serve(desk, talk, limits)
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR] == []
    statuses = {record.line["status"] for record in caplog.records if hasattr(record, "line")}  # type: ignore[attr-defined]
    assert {status for status in statuses if not 200 <= status < 500} == set()
    assert {400, 408, 499} <= statuses
