"""The proxy by itself: how a head is read, where it leads, and what ends a connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.waiting import SECONDS_MAX
from ticketfeed.wrap import proxy as proxy_module
from ticketfeed.wrap.hosts import Address
from ticketfeed.wrap.proxy import HEAD_BYTES_MAX, Head, Proxy, Refused, parse_head

HEADS = {
    b"CONNECT acme.zendesk.com:443 HTTP/1.1\r\nHost: x\r\n\r\n": Head(Address("acme.zendesk.com", 443), is_tunnel=True),
    b"CONNECT [::1]:1 HTTP/1.0\r\n\r\n": Head(Address("::1", 1), is_tunnel=True),
    b"GET http://Example.com/a?b HTTP/1.1\r\nHost: Example.com\r\nProxy-Connection: x\r\nA: \xe9\r\n\r\n": Head(
        Address("example.com", 80),
        is_tunnel=False,
        path="/a?b",
        forwarded=b"GET /a?b HTTP/1.1\r\nHost: Example.com\r\nA: \xe9\r\nConnection: close\r\n\r\n",
    ),
    b"GET HTTP://example.com:81 HTTP/1.1\r\nconnection: x\r\n\r\n": Head(
        Address("example.com", 81), is_tunnel=False, path="/", forwarded=b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    ),
    b"GET http://example.com?q HTTP/1.1\r\n\r\n": Head(
        Address("example.com", 80),
        is_tunnel=False,
        path="/?q",
        forwarded=b"GET /?q HTTP/1.1\r\nConnection: close\r\n\r\n",
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_heads(head: bytes) -> None:
    """CONNECT and http:// addresses are understood; what goes on is what the server itself would have been sent."""
    assert parse_head(head) == HEADS[head]


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"CONNECT\r\n\r\n",
        b"CONNECT acme.zendesk.com HTTP/1.1\r\n\r\n",
        b"CONNECT acme.zendesk.com:443\r\n\r\n",
        b"CONNECT acme.zendesk.com:443 HTTP/2\r\n\r\n",
        b"CONNECT https://acme.zendesk.com:443 HTTP/1.1\r\n\r\n",
        b"CONNECT  acme.zendesk.com:443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET https://acme.zendesk.com/ HTTP/1.1\r\n\r\n",
        b"GET http://user:pass@example.com/ HTTP/1.1\r\n\r\n",
        b"GET http:/// HTTP/1.1\r\n\r\n",
        b"GET ftp://example.com/ HTTP/1.1\r\n\r\n",
        bytes(range(256)) + b"\r\n\r\n",
        b"\x16\x03\x01\x00\xc8\x01\r\n\r\n",
    ],
)
def test_not_for_a_proxy(head: bytes) -> None:
    """Anything else is 400, in one line."""
    with pytest.raises(Refused) as refused:
        parse_head(head)
    status, _, body = refused.value.answer().partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert body.count(b"\n") == 1


@asynccontextmanager
async def listening(handle: Callable[..., object]) -> AsyncIterator[Address]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    async with server:
        yield Address(*server.sockets[0].getsockname())


async def ask(address: Address, text: bytes, *, ends: bool = False) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text)
    if ends:
        writer.write_eof()
    async with asyncio.timeout(SECONDS_MAX):
        answer = await reader.read()
    writer.close()
    return answer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only when the other side has said all that it has to say."""
    writer.write(b"heard " + await reader.read())
    writer.close()


def with_proxy(test: Callable[[Address, Address, list[str]], Awaitable[None]]) -> None:
    async def work() -> None:
        reported: list[str] = []
        async with listening(echo) as server:
            proxy = Proxy(server, {"127.0.0.1"}, reported.append)
            async with listening(proxy.handle) as address:
                await test(address, server, reported)
                await proxy.close()

    asyncio.run(work())


def test_tunnels() -> None:
    """Help desks lead to the server, allowed hosts to themselves, and one side may end before the other."""

    async def test(proxy: Address, server: Address, _reported: list[str]) -> None:
        for target in ("acme.zendesk.com:443", "ACME.zendesk.com:8443", f"127.0.0.1:{server.port}"):
            head = f"CONNECT {target} HTTP/1.1\r\n\r\n".encode()
            assert await ask(proxy, head + b"hello", ends=True) == (
                b"HTTP/1.1 200 Connection established\r\n\r\nheard hello"
            )
        plain = f"GET http://127.0.0.1:{server.port}/x HTTP/1.1\r\n\r\n".encode()
        assert await ask(proxy, plain, ends=True) == b"heard GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"

    with_proxy(test)


def test_refusals() -> None:
    """Another host is refused in words that say what to do, and reported once."""

    async def test(proxy: Address, _server: Address, reported: list[str]) -> None:
        for head in (b"CONNECT Example.com:443 HTTP/1.1\r\n\r\n", b"GET http://example.com/ HTTP/1.1\r\n\r\n"):
            status, _, body = (await ask(proxy, head)).partition(b"\r\n\r\n")
            assert status.startswith(b"HTTP/1.1 403 Forbidden\r\n")
            assert body == (
                b"ticketfeed: example.com is not allowed here; to allow it: ticketfeed run --allow-host example.com\n"
            )
        line = "ticketfeed: refused a connection to example.com port 443; to allow it: --allow-host example.com"
        assert reported == [line]

    with_proxy(test)


def test_redirect() -> None:
    """A help desk that is asked without TLS sends the client to https."""

    async def test(proxy: Address, _server: Address, reported: list[str]) -> None:
        answer = await ask(proxy, b"GET http://acme.zendesk.com/a?b HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 301 Moved Permanently\r\nlocation: https://acme.zendesk.com/a?b\r\n")
        assert reported == []

    with_proxy(test)


def test_out_of_reach() -> None:
    """An allowed host that does not answer is 502 with the reason."""

    async def test(proxy: Address, _server: Address, _reported: list[str]) -> None:
        async with listening(echo) as gone:
            pass
        answer = await ask(proxy, f"CONNECT 127.0.0.1:{gone.port} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"ticketfeed: cannot reach 127.0.0.1 port" in answer

    with_proxy(test)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is too large is 431; one that does not come to its end is cut off."""
    monkeypatch.setattr(proxy_module, "HEAD_SECONDS_MAX", 0.2)

    async def test(proxy: Address, _server: Address, _reported: list[str]) -> None:
        answer = await ask(proxy, b"CONNECT acme.zendesk.com:443 HTTP/1.1\r\nX: " + b"x" * (HEAD_BYTES_MAX + 1))
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert await ask(proxy, b"CONNECT acme.zende") == b""
        assert await ask(proxy, b"CONNECT acme.zende", ends=True) == b""
        assert await ask(proxy, b"") == b""

    with_proxy(test)


def test_close() -> None:
    """Closing ends tunnels that are open on both sides."""

    async def test(address: Address, server: Address, _reported: list[str]) -> None:
        proxy = Proxy(server, (), lambda _: None)
        async with listening(proxy.handle) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"CONNECT acme.zendesk.com:443 HTTP/1.1\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await proxy.close()
            assert await reader.read() == b""
            writer.close()

    with_proxy(test)
