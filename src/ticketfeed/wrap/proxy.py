"""A loopback proxy that leads the hosts of help desks to one server, other hosts that were allowed to themselves, and
refuses the rest.

It never looks into what it carries: the server at the end ends TLS. What it reads itself, the head of a request, is
bounded in size and time; a connection that breaks on either side ends both, without a word.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus

from ticketfeed.wrap.hosts import Address, is_allowed, is_served, is_zendesk, parse_address
from ticketfeed.wrap.names import Query, answer_query

__all__ = ["HEAD_BYTES_MAX", "Head", "Proxy", "Refused", "Relay", "parse_head"]

HEAD_BYTES_MAX = 32 * 1024
HEAD_SECONDS_MAX = 30.0
CONNECT_SECONDS_MAX = 30.0
# For what is still to be sent to a client that takes it slowly.
CLOSE_SECONDS_MAX = 2.0
CHUNK_BYTES = 128 * 1024
REPORTED_MAX = 1000

HTTP_PORT = 80
_REQUEST_LINE = re.compile(r"([!-~]{1,40}) ([!-~]+) HTTP/1\.[0-9]")
_ABSOLUTE = re.compile(r"http://([^/?#@]+)(.*)", re.IGNORECASE)
# Headers that concern one connection, which are not handed on.
_OWN_HEADER = re.compile(r"(?:connection|proxy-[a-z-]+|keep-alive)\s*:", re.IGNORECASE)

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Refused(Exception):
    """A request that gets an answer from the proxy itself."""

    def __init__(self, status: HTTPStatus, text: str, header: str = "") -> None:
        self.status = status
        self.header = header
        super().__init__(text)

    def answer(self) -> bytes:
        body = f"ticketfeed: {self}\n".encode()
        head = f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\n{self.header}content-type: text/plain\r\n"
        return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Head:
    """The host of a request. `forwarded`: the bytes to send there first; none for CONNECT, whose bytes all follow."""

    address: Address
    is_tunnel: bool
    path: str = ""
    forwarded: bytes = b""


def parse_head(head: bytes) -> Head:
    """Reads the head of a request to a proxy. Raises Refused."""
    line, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is not a request to a proxy")
    method, target = match.groups()
    if method == "CONNECT":
        address = parse_address(target)
        if address is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "CONNECT takes HOST:PORT")
        return Head(address, is_tunnel=True)
    absolute = _ABSOLUTE.fullmatch(target)
    address = parse_address(absolute[1], HTTP_PORT) if absolute else None
    if absolute is None or address is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "this is a proxy; it takes CONNECT HOST:PORT and http:// addresses")
    path = absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"
    forwarded = [header for header in headers if not _OWN_HEADER.match(header)]
    lines = [line.replace(target, path, 1), *forwarded, "Connection: close", "", ""]
    return Head(address, is_tunnel=False, path=path, forwarded="\r\n".join(lines).encode("latin-1"))


class _Connections:
    """Handles connections, each by `handle`."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[None]] = set()

    def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes over a connection."""
        task = asyncio.create_task(self._handle(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """Ends every connection."""
        for task in (tasks := list(self._open)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Relay(_Connections):
    """Leads every connection to a port of this machine. Where nothing listens there, the connection ends."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _carry((reader, writer), await self._connect())
        except Refused:
            pass
        finally:
            await _close(writer)

    async def _connect(self) -> _Streams:
        try:
            return await _connect(Address("127.0.0.1", self._port))
        except Refused:
            return await _connect(Address("::1", self._port))


class Proxy(_Connections):
    """`server` answers for help desks; `report` is called once for each refused host."""

    def __init__(self, server: Address, allowed: Collection[str], report: Callable[[str], None]) -> None:
        super().__init__()
        self._server = server
        self._allowed = allowed
        self._report = report
        self._reported: set[str] = set()
        self.is_used = False

    def look_up(self, query: Query) -> bytes:
        """Answers a query for a name from a program that did not ask the proxy for it."""
        name = query.name
        # A name without a dot is this machine's or network's; programs look it up by themselves.
        if query.wants_address and "." in name and not is_served(name):
            if is_allowed(name, self._allowed):
                self._tell(name, f"the program looked up {name}, which is reached through the proxy only")
            else:
                self._tell(name, f"refused to look up {name}; to allow it: --allow-host {name}")
        return answer_query(query)

    def _tell(self, host: str, text: str) -> None:
        if host not in self._reported and len(self._reported) < REPORTED_MAX:
            self._reported.add(host)
            self._report(f"ticketfeed: {text}")

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS_MAX):
                text = await reader.readuntil(b"\r\n\r\n")
            self.is_used = True
            head = parse_head(text)
            there = await _connect(self._route(head))
            if head.is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            there[1].write(head.forwarded)
            await _carry((reader, writer), there)
        except Refused as refused:
            writer.write(refused.answer())
        except asyncio.LimitOverrunError:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            writer.write(Refused(status, "the head of the request is too large").answer())
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client has gone, or sends nothing
        finally:
            await _close(writer)

    def _route(self, head: Head) -> Address:
        """Where the connection goes. Raises Refused."""
        host, port = head.address
        if is_zendesk(host):
            if head.is_tunnel:
                return self._server
            # What the real host answers to a request without TLS.
            location = f"location: https://{host}{head.path}\r\n"
            raise Refused(HTTPStatus.MOVED_PERMANENTLY, "help desks are served over https", location)
        if is_allowed(host, self._allowed):
            return head.address
        self._tell(host, f"refused a connection to {host} port {port}; to allow it: --allow-host {host}")
        raise Refused(
            HTTPStatus.FORBIDDEN, f"{host} is not allowed here; to allow it: ticketfeed run --allow-host {host}"
        )


async def _connect(address: Address) -> _Streams:
    try:
        async with asyncio.timeout(CONNECT_SECONDS_MAX):
            return await asyncio.open_connection(*address)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        text = f"cannot reach {address.host} port {address.port}: {reason}"
        raise Refused(HTTPStatus.BAD_GATEWAY, " ".join(text.split())) from None


async def _carry(here: _Streams, there: _Streams) -> None:
    """Bytes both ways until both sides have ended, or one breaks."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pipe(here[0], there[1]))
            group.create_task(_pipe(there[0], here[1]))
    except* OSError:
        pass
    finally:
        await _close(there[1])


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection and retrieve its error: asyncio would log a reset that nobody retrieved."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await writer.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):  # the other side has gone altogether
        writer.write_eof()
