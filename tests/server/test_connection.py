"""A connection holds no endless head, and does not wait for ever for the rest of one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

from tests.server.desk import ADMIN, ALL, Desk
from ticketfeed.server import connection
from ticketfeed.server.middleware.head_limit import HEAD_BYTES_MAX

REQUEST = f"GET {ALL} HTTP/1.1\r\nHost: acme\r\nAuthorization: {ADMIN}\r\n".encode()
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def converse(talk: Talk) -> None:
    """Serve a desk on a free port of this process and talk to it over one connection."""
    desk = Desk()

    async def main() -> None:
        config = uvicorn.Config(desk.app, http=connection.BoundedConnection, ws="none", log_config=None, port=0)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
        try:
            async with asyncio.timeout(10):
                await talk(reader, writer)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    asyncio.run(main())


async def read_answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, its body read."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
    return int(head.split()[1])


def test_endless_head() -> None:
    """A head in pieces is refused as soon as it is too large, long before its end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST + b"X-Endless: ")
        for _ in range(HEAD_BYTES_MAX // 8192 + 1):
            writer.write(b"x" * 8192)
            await writer.drain()
            await asyncio.sleep(0.001)
        assert await read_answer(reader) == 431
        assert await reader.read() == b""

    converse(talk)


@pytest.mark.parametrize("sent", [b"", b"GE", REQUEST, b"\r\n"])
def test_late_head(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has not sent a whole head in time is closed."""
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await reader.read() == b""

    converse(talk)


def test_time_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of a connection has its own time and size; what lies between them counts for neither."""
    monkeypatch.setattr(connection, "HEAD_SECONDS_MAX", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        padded = REQUEST + b"X-Pad: " + b"x" * (HEAD_BYTES_MAX // 2) + b"\r\n"
        for _ in range(4):
            writer.write(padded)
            await asyncio.sleep(0.15)
            writer.write(b"\r\n")
            assert await read_answer(reader) == 200
        await asyncio.sleep(0.4)
        writer.write(REQUEST + b"\r\n")
        assert await read_answer(reader) == 200
        writer.write((REQUEST + b"\r\n") * 3)
        assert [await read_answer(reader) for _ in range(3)] == [200] * 3

    converse(talk)
