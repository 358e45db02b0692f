"""Clients that misbehave, all from one address: `python -m tests.process.attackers PORT TOKEN EMAIL SOURCE`.

They read and send by single bytes, leave connections idle, and try passwords. A client that is disconnected comes back
after a second. Runs until it is killed; each line on standard output is a JSON object with the connections that were
opened and closed so far.
"""

import asyncio
import contextlib
import itertools
import json
import resource
import socket
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from random import Random

PASSWORDS_PER_SECOND = 50
SLOW_READERS, SLOW_SENDERS, IDLE = 500, 500, 2000
# A reader that the system helps as little as possible, and that takes this much each second.
RECEIVE_BUFFER_BYTES = 4096
READ_BYTES = 64
PAUSE_SECONDS = 1.0
EXPORT = "/api/v2/incremental/tickets/cursor?start_time=0&support_type_scope=all"

Client = Callable[[socket.socket], Awaitable[None]]


class Attack:
    """The attack of one process on a server on this machine."""

    def __init__(self, port: int, token: str, email: str, source: str) -> None:
        self._address, self._source = ("127.0.0.1", port), source
        basic = b64encode(f"{email}/token:{token}".encode()).decode()
        self._known, self._email = f"Authorization: Basic {basic}\r\n", email
        self._random = Random(1)
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Keep every client at work."""
        tasks = [
            asyncio.create_task(self._repeat(name, client))
            for name, clients, count in self._table()
            for client in itertools.islice(itertools.cycle(clients), count)
        ]
        tasks.append(asyncio.create_task(self._try_passwords()))
        while True:
            await asyncio.sleep(1)
            print(json.dumps(self.counts), flush=True)

    def _table(self) -> Iterator[tuple[str, list[Client], int]]:
        def read(target: str, headers: str = "") -> Client:
            return lambda sock: self._read_slowly(sock, target, headers)

        def drip(head: str, rest: str, *, seconds: float = 1.0) -> Client:
            return lambda sock: self._send_slowly(sock, head, rest, seconds)

        post = f"POST /api/v2/tickets HTTP/1.1\r\nHost: localhost\r\n{self._known}"
        form = "POST /_ticketfeed/login HTTP/1.1\r\nHost: localhost\r\n"
        request = "POST /api/v2/requests HTTP/1.1\r\nHost: localhost\r\n"
        yield (
            "reader",
            [
                read("/_ticketfeed/openapi.json"),
                read("/_ticketfeed/api/swagger-ui-bundle.js"),
                read(EXPORT, self._known),
                read("/_ticketfeed/openapi.json", "Connection: close\r\n"),
            ],
            SLOW_READERS,
        )
        yield (
            "sender",
            [
                drip("GET /api/v2/tickets HTTP/1.1\r\n", "X-Endless: " + "x" * 1000),
                drip(f"{post}Content-Length: 4000000\r\n\r\n", '{"ticket": ' + " " * 1000),
                drip(f"{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n", "X-Trailer: " + "x" * 1000),
                drip(f"{form}Content-Length: 4000\r\n\r\n", "email=" + "x" * 1000),
                drip(f"{request}Content-Length: 4000\r\n\r\n", '{"request": ' + " " * 1000),
            ],
            SLOW_SENDERS,
        )
        yield (
            "idle",
            [
                drip("", ""),
                drip("GET /_ticketfeed/health HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
                drip("", "\r\n" * 100_000, seconds=3.0),
                drip(f"{post}Content-Length: 4000\r\n\r\n", ""),
            ],
            IDLE,
        )

    async def _repeat(self, name: str, client: Client) -> None:
        await asyncio.sleep(self._random.uniform(0, 3))
        while True:
            with contextlib.suppress(OSError), socket.socket() as sock:
                await self._connect(sock)
                self.counts[f"{name}s opened"] += 1
                with contextlib.suppress(OSError):
                    await client(sock)
                self.counts[f"{name}s disconnected"] += 1
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * PAUSE_SECONDS)

    async def _connect(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((self._source, 0))
        await asyncio.get_running_loop().sock_connect(sock, self._address)

    async def _read_slowly(self, sock: socket.socket, target: str, headers: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        while await loop.sock_recv(sock, READ_BYTES):
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send_slowly(self, sock: socket.socket, head: str, rest: str, seconds: float) -> None:
        """Send `head` at once and `rest` byte by byte, then wait until the server closes the connection."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, head.encode())
        closed = asyncio.create_task(self._wait_closed(sock))
        try:
            for byte in rest.encode():
                await loop.sock_sendall(sock, bytes([byte]))
                if await asyncio.wait([closed], timeout=seconds) != (set(), {closed}):
                    break
            await closed
        finally:
            closed.cancel()

    async def _wait_closed(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while await asyncio.get_running_loop().sock_recv(sock, 4096):
                pass

    async def _try_passwords(self) -> None:
        loop, attempts = asyncio.get_running_loop(), set()
        started = loop.time()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, started + number / PASSWORDS_PER_SECOND - loop.time()))
            attempt = asyncio.create_task(self._try_password(number))
            attempts.add(attempt)
            attempt.add_done_callback(attempts.discard)

    async def _try_password(self, number: int) -> None:
        email = self._email if number % 2 else f"somebody{number}@example.com"
        basic = b64encode(f"{email}:wrong {number}".encode()).decode()
        request = f"GET /api/v2/tickets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n\r\n"
        with contextlib.suppress(OSError), socket.socket() as sock:
            await self._connect(sock)
            await asyncio.get_running_loop().sock_sendall(sock, request.encode())
            answer = await asyncio.get_running_loop().sock_recv(sock, 4096)
            self.counts[f"passwords answered {answer[9:12].decode() or 'not at all'}"] += 1


def main() -> None:
    port, token, email, source = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(Attack(int(port), token, email, source).run())


if __name__ == "__main__":
    main()
