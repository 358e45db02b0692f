"""A connection holds no endless head, and does not wait for ever for the rest of one."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from tests.server.desk import ADMIN, ALL, Desk
from tests.server.serving import Address, limits_of, serve
from ticketfeed.server import connections
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits

REQUEST = f"GET {ALL} HTTP/1.1\r\nHost: acme\r\nAuthorization: {ADMIN}\r\n".encode()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are checked often, so that no test has to wait."""
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.02)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(talk: Talk, limits: Limits = DEFAULT_LIMITS) -> None:
    """Serve a desk on a free port of this process and talk to it over one connection."""

    async def connect(address: Address) -> None:
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.closing(writer):
            await talk(reader, writer)

    serve(Desk(limits=limits), connect, limits)


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, its body read."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    return int(head.split()[1])


def test_endless_head() -> None:
    """A head in pieces is refused as soon as it is too large, long before its end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST + b"X-Endless: ")
        for _ in range(DEFAULT_LIMITS.head_bytes // 8192 + 1):
            writer.write(b"x" * 8192)
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await read_answer(reader) == 431
        assert await reader.read() == b""

    converse(talk)


@pytest.mark.parametrize("sent", [b"", b"GE", REQUEST, b"\r\n"])
def test_late_head(sent: bytes) -> None:
    """A connection that has not sent a whole head in time is closed; who has begun one is told."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ") if sent.strip() else answer == b""

    converse(talk, limits_of(head_seconds=0.1, idle_seconds=0.1))


def test_time_starts_anew() -> None:
    """Each request of a connection has its own time and size; what lies between them counts for neither."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        padded = REQUEST + b"X-Pad: " + b"x" * (DEFAULT_LIMITS.head_bytes // 2) + b"\r\n"
        for _ in range(5):
            writer.write(padded)
            await asyncio.sleep(0.15)
            writer.write(b"\r\n")
            assert await read_answer(reader) == 200
        await asyncio.sleep(0.7)
        writer.write(REQUEST + b"\r\n")
        assert await read_answer(reader) == 200
        writer.write((REQUEST + b"\r\n") * 3)
        assert [await read_answer(reader) for _ in range(3)] == [200] * 3

    converse(talk, limits_of(head_seconds=0.6))
