"""Under more load than a process takes on: bounded memory, nobody held up by a slow reader, and an early refusal."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from tests.server import serving
from tests.server.desk import ADMIN, ALL, NOON, Desk, tickets
from tests.server.serving import Address, limits_of, shares_of
from tests.waiting import until
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol import paging
from ticketfeed.server import connections
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.middleware.overload import BODIES_OF_ACCOUNT, Overload

SMALL = f"{ALL}&per_page=1"
# More than the system itself takes between two sockets.
LARGE_BYTES = 12 * 1024 * 1024
WAIT_SECONDS = 0.3


def serve(talk: Callable[[Address, Desk], Awaitable[None]], limits: Limits = DEFAULT_LIMITS) -> None:
    """A desk with one large page, on a free port of this process."""
    desk = Desk(limits=limits)
    desk.put("tickets", *(t for n in range(12) for t in tickets(n + 1, second=NOON - 500, description="x" * 1_100_000)))
    serving.serve(desk, lambda address: talk(address, desk), limits)
    assert [share.requests for share in shares_of(desk)] == [0, 0]
    assert not any(share.stalled or share.held_bytes for share in shares_of(desk))


async def ask(address: Address, target: str = SMALL) -> Answer:
    """On a connection of its own, read to the end."""
    reader, writer = await asyncio.open_connection(*address, limit=1 << 20)
    with closing(writer):
        writer.write(_request(target))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
        return Answer(int(head.split()[1]), headers, body)  # type: ignore[arg-type]


async def ask_and_not_read(address: Address, buffer_bytes: int = 4096, target: str = ALL) -> socket.socket:
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    slow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(slow, address)
    await asyncio.get_running_loop().sock_sendall(slow, _request(target))
    return slow


async def is_cut_off(slow: socket.socket) -> bool:
    """Read what was sent before, up to the reset."""
    try:
        while await asyncio.get_running_loop().sock_recv(slow, 1 << 20):
            pass
    except ConnectionResetError:
        return True
    return False


def _request(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: acme\r\nAuthorization: {ADMIN}\r\n\r\n".encode()


def test_slow_readers_hold_nobody_up() -> None:
    """While others take nothing of their answers, who reads is answered at once; what they were sent waits for them."""

    async def talk(address: Address, desk: Desk) -> None:
        slow = [await ask_and_not_read(address) for _ in range(4)]
        stalled = shares_of(desk)[0].stalled
        await until(lambda: len(stalled) == 4)
        started = time.perf_counter()
        assert (await ask(address)).status == 200
        assert time.perf_counter() - started < 1
        for each in slow:
            each.close()
        await until(lambda: not stalled)

    serve(talk)


def test_memory_is_bounded() -> None:
    """When readers leave too much in memory, new requests wait, are refused after a while in the wire's shape, and are
    served as soon as there is room; whether the process lives can be asked all the time."""

    async def talk(address: Address, desk: Desk) -> None:
        slow = await ask_and_not_read(address)
        await until(lambda: shares_of(desk)[0].unsent_bytes() > 1024 * 1024)
        refused = await asyncio.gather(*(ask(address) for _ in range(20)))
        assert {answer.status for answer in refused} == {503}
        assert {answer.headers["retry-after"] for answer in refused} == {"5"}
        assert msgspec.json.decode(refused[0].body)["error"] == "ServiceUnavailable"
        assert shares_of(desk)[0].unsent_bytes() < LARGE_BYTES + 1024 * 1024
        assert (await ask(address, "/_ticketfeed/health")).status == 200
        waiting = asyncio.create_task(ask(address))
        await until(lambda: shares_of(desk)[0]._waiting)
        assert not waiting.done()
        slow.close()
        assert (await waiting).status == 200

    serve(talk, limits_of(unsent_bytes=1024 * 1024, wait_seconds=0.4, busy_read_seconds=60))


@patch.object(paging, "PAGE_BYTES_MAX", 3 * 1024 * 1024)
def test_what_is_ready_of_an_answer_in_parts_is_bounded() -> None:
    """Of a list that is larger than a page a slow reader makes the server hold a page, which others wait for."""

    async def talk(address: Address, desk: Desk) -> None:
        share = shares_of(desk)[0]
        slow = await ask_and_not_read(address, target="/api/v2/tickets?per_page=100")
        await until(lambda: share.unsent_bytes() > 2 * 1024 * 1024)
        assert share.held_bytes > 0
        assert {answer.status for answer in await asyncio.gather(*(ask(address) for _ in range(8)))} == {503}
        assert share.unsent_bytes() < 6 * 1024 * 1024
        slow.close()
        await until(lambda: not share.unsent_bytes())
        assert (await ask(address)).status == 200

    serve(talk, limits_of(unsent_bytes=1024 * 1024, wait_seconds=0.4, busy_read_seconds=60))


def test_large_bodies_of_an_account_are_few() -> None:
    """An account's large bodies wait for one another, before they are received; nobody else's, and no small one."""
    limits, large = limits_of(wait_seconds=WAIT_SECONDS), b'{"ticket":{"comment":{"body":"%s"}}}' % (b"x" * 100_000)

    async def post(address: Address, body: bytes, sent: int, **headers: str) -> tuple[Any, Any]:
        """Send so much of the body."""
        reader, writer = await asyncio.open_connection(*address)
        path = "/api/v2/tickets" if "authorization" in headers else "/oauth/tokens"
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items()), "connection: close"]
        writer.write("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body[:sent])
        return reader, writer

    async def status(connection: tuple[Any, Any]) -> int:
        reader, writer = connection
        with closing(writer):
            return int((await reader.readuntil(b"\r\n\r\n"))[9:12])

    slow: list[tuple[Any, Any]] = []

    async def talk(address: Address) -> None:
        try:
            await take_places(address)
        finally:
            for _, writer in slow:
                writer.close()

    async def take_places(address: Address) -> None:
        mine, theirs = {"host": "acme", "authorization": ADMIN}, {"host": "other", "authorization": ADMIN}
        slow[:] = [await post(address, large, 80_000, host="acme") for _ in range(BODIES_OF_ACCOUNT)]
        assert await status(await post(address, large, len(large), **mine)) == 422  # its text is too long
        slow.extend([await post(address, large, 80_000, **mine) for _ in range(BODIES_OF_ACCOUNT)])
        await asyncio.sleep(0.1)
        assert await status(await post(address, large, len(large), **mine)) == 503
        assert await status(await post(address, b'{"ticket":{"comment":{"body":"x"}}}', 99, **mine)) == 201
        assert await status(await post(address, large, len(large), **theirs)) == 422
        waiting = asyncio.create_task(status(await post(address, large, len(large), **mine)))
        await asyncio.sleep(0.1)
        for _, writer in slow:
            writer.close()
        assert await waiting == 422

    serving.serve(Desk(limits=limits, accounts=("acme", "other")), talk, limits)


def test_who_came_first_is_served_first() -> None:
    """Those who wait for room are let in in the order they came, and nobody passes them."""
    order: list[int] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        order.append(scope["number"])

    async def main() -> None:
        gate = Overload(app)
        gate.known.kernel_bytes = gate.known.unsent_bytes_max + 1
        scope = {"type": "http", "path": "/", "headers": [(b"authorization", b"")]}
        asked = [
            asyncio.create_task(gate({**scope, "number": n}, None, None))  # type: ignore[arg-type]
            for n in range(10)
        ]
        await asyncio.sleep(0.02)
        gate.known.kernel_bytes = 0
        await gate({**scope, "number": 10}, None, None)  # type: ignore[arg-type]
        await asyncio.gather(*asked)

    asyncio.run(main())
    assert order == list(range(11))


def test_too_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """More requests under way than the process takes on are refused at once."""
    desk, released = Desk(limits=limits_of(requests=3)), asyncio.Event()
    find = desk.app.state.service.accounts.find

    async def slowly(host: str) -> Any:
        await released.wait()
        return await find(host)

    monkeypatch.setattr(desk.app.state.service.accounts, "find", slowly)

    async def main() -> None:
        headers = [("Authorization", ADMIN)]
        asked = [
            asyncio.create_task(call_app(desk.app, SMALL, host="acme.localhost", headers=headers)) for _ in range(9)
        ]
        await until(lambda: sum(task.done() for task in asked) >= 6)
        assert [task.done() for task in asked] == [False] * 3 + [True] * 6
        released.set()
        answers = await asyncio.gather(*asked)
        assert [answer.status for answer in answers] == [200] * 3 + [503] * 6
        assert (await call_app(desk.app, SMALL, host="acme.localhost", headers=headers)).status == 200

    asyncio.run(main())


def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes nothing of an answer for a long time is cut off; who takes it slowly is not."""
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.02)

    async def talk(address: Address, desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        stalled = shares_of(desk)[0].stalled
        slow, gone = await ask_and_not_read(address, 1 << 20), await ask_and_not_read(address)
        await until(lambda: len(stalled) == 2)
        received, started = 0, time.perf_counter()
        while len(stalled) == 2:
            await asyncio.sleep(0.01)
            received += len(await loop.sock_recv(slow, 100_000))
        assert time.perf_counter() - started > 0.25
        while received < LARGE_BYTES:
            received += len(await loop.sock_recv(slow, 1 << 20))
        slow.close()
        await until(lambda: not stalled)
        assert await is_cut_off(gone)
        gone.close()

    serve(talk, limits_of(read_seconds=0.3))


def test_five_hundred_readers() -> None:
    """All are served within bounded memory, and none much later than the others who came with it."""
    most = 0

    async def talk(address: Address, desk: Desk) -> None:
        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, shares_of(desk)[0].unsent_bytes())
                await asyncio.sleep(0.002)

        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(*(ask(address, f"{ALL}&per_page=1") for _ in range(500)))
        watching.cancel()
        assert [answer.status for answer in answers].count(200) == 500
        assert most < 40 * 1024 * 1024

    serve(talk, limits_of(unsent_bytes=16 * 1024 * 1024, wait_seconds=20))


def test_pages_that_are_read_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many pages that a slow database is asked for at once, only a few are held before their bytes are counted."""
    most = 0

    async def talk(address: Address, desk: Desk) -> None:
        nonlocal most
        read, released, asked = desk.store.read_changes, asyncio.Event(), 0

        async def read_slowly(*arguments: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            await released.wait()
            return await read(*arguments, **options)

        monkeypatch.setattr(desk.store, "read_changes", read_slowly)
        known = shares_of(desk)[0]
        slow = [await ask_and_not_read(address) for _ in range(24)]
        await until(lambda: known.requests == 24 and asked > 0)
        released.set()
        refused_by = time.monotonic() + 3 * WAIT_SECONDS
        while time.monotonic() < refused_by:
            await asyncio.sleep(0.002)
            most = max(most, known.unsent_bytes())
        for each in slow:
            each.close()
        await until(lambda: known.requests == 0)

    serve(talk, limits_of(unsent_bytes=4 * 1024 * 1024, wait_seconds=WAIT_SECONDS, busy_read_seconds=60))
    assert LARGE_BYTES < most < 10 * LARGE_BYTES
