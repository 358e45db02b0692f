"""What is served to one wrapped command: the store behind a proxy, on this machine and in the command's namespaces."""

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from ticketfeed.server.run import QuietServer, bind, server_config
from ticketfeed.settings import Settings
from ticketfeed.wrap.authority import Authority
from ticketfeed.wrap.contexts import local_context
from ticketfeed.wrap.environment import proxied_environment
from ticketfeed.wrap.hosts import Address
from ticketfeed.wrap.names import parse_query
from ticketfeed.wrap.namespaces import Inside
from ticketfeed.wrap.proxy import HEAD_BYTES_MAX, Proxy, Relay
from ticketfeed.wrap.trust import write_trust_files

__all__ = ["RunPlan", "Services", "wrapped_services"]

LOOPBACK = "127.0.0.1"
# Nobody is left to wait for an answer that is under way when the command has ended.
DRAIN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The services that a command reaches. `report` is called once for each host that is refused.

    `host_ports`: those of this machine that are relayed into the namespaces of an isolated command, besides those that
    are in use when it starts.
    """

    settings: Settings
    authority: Authority
    allowed: Collection[str]
    report: Callable[[str], None]
    host_ports: frozenset[int] = frozenset()


@contextlib.asynccontextmanager
async def wrapped_services(app: ASGIApp, plan: RunPlan, environ: Mapping[str, str]) -> AsyncIterator["Services"]:
    """A server and a proxy, so that every host of zendesk.com is `app` for a command with the environment given."""
    with (
        bind(LOOPBACK, 0) as server_socket,
        bind(LOOPBACK, 0) as proxy_socket,
        tempfile.TemporaryDirectory(prefix="ticketfeed-run-") as folder,
    ):
        files = write_trust_files(Path(folder), plan.authority.root_pem, environ)
        environment = proxied_environment(environ, Address(*proxy_socket.getsockname()), files)
        proxy = Proxy(Address(*server_socket.getsockname()), plan.allowed, plan.report)
        services = Services(Path(folder), environment, proxy, proxy_socket.getsockname()[1], _config(app, plan))
        services.serve(server_socket)
        await services.listen(proxy, proxy_socket)
        try:
            yield services
        finally:
            await services.close()


class Services:
    """What is served to one command, on this machine and, where the command is isolated, in its namespaces."""

    def __init__(
        self, folder: Path, environment: dict[str, str], proxy: Proxy, proxy_port: int, config: uvicorn.Config
    ) -> None:
        self.folder, self.environment, self.proxy, self.proxy_port = folder, environment, proxy, proxy_port
        self.why_not_isolated = ""
        self._config = config
        self._servers: list[tuple[QuietServer, asyncio.Task[None]]] = []
        self._handlers: list[Proxy | Relay] = []
        self._listening: list[asyncio.Server | asyncio.DatagramTransport] = []

    def serve(self, bound: socket.socket) -> None:
        """Serve the store here, too."""
        server = QuietServer(self._config)
        self._servers.append((server, asyncio.create_task(server.serve([bound]))))

    async def listen(self, handler: Proxy | Relay, bound: socket.socket) -> None:
        """Hand connections that come here to `handler`."""
        self._handlers.append(handler)
        self._listening.append(await asyncio.start_server(handler.handle, sock=bound, limit=HEAD_BYTES_MAX))

    async def join(self, inside: Inside, host_ports: Sequence[int]) -> None:
        """Serve the requests of an isolated command, on the sockets of `inside_ports`."""
        server_socket, proxy_socket, *relayed = inside.listening
        self.serve(server_socket)
        await self.listen(self.proxy, proxy_socket)
        for port, bound in zip(host_ports, relayed, strict=True):
            await self.listen(Relay(port), bound)
        loop = asyncio.get_running_loop()
        names, _ = await loop.create_datagram_endpoint(lambda: _NameServer(self.proxy), sock=inside.names)
        self._listening.append(names)

    async def close(self) -> None:
        """End everything; an answer under way has a second."""
        for listening in self._listening:
            listening.close()
        for handler in self._handlers:
            await handler.close()
        for server, _ in self._servers:
            server.should_exit = True
        await asyncio.gather(*(serving for _, serving in self._servers))


class _NameServer(asyncio.DatagramProtocol):
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if query := parse_query(data):
            self._transport.sendto(self._proxy.look_up(query), addr)


def _config(app: ASGIApp, plan: RunPlan) -> uvicorn.Config:
    def make_context() -> ssl.SSLContext:
        return local_context(plan.authority.root_pem, plan.authority.issuer_pem)

    return server_config(app, make_context, lifespan="off", timeout_graceful_shutdown=DRAIN_SECONDS)
