"""Running the server: bind, serve in one or several processes, say when it is ready, finish on SIGTERM."""

import asyncio
import contextlib
import functools
import http.client
import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ticketfeed.clock import system_clock
from ticketfeed.logs import configure_logs
from ticketfeed.protocol.errors import BadInput, OperatorError, StoreError
from ticketfeed.server.app import create_app
from ticketfeed.server.connection import BoundedConnection
from ticketfeed.server.ops.metrics import MULTIPROCESS_VARIABLE
from ticketfeed.server.ops.traces import trace
from ticketfeed.settings import Settings
from ticketfeed.storage import Store, open_store
from ticketfeed.wrap.contexts import MakeContext

__all__ = ["QuietServer", "ServePlan", "bind", "connect_to_self", "serve", "server_config"]

# An answer under way when SIGTERM comes is finished, within this time.
DRAIN_SECONDS = 30
READY_SECONDS_MAX = 60
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class ServePlan:
    """What every worker process needs to know. With `store` given, which is one process only, it is used and
    not closed. With `tls` given, https is served, and nothing else."""

    store_url: str
    settings: Settings
    workers: int = 1
    read_urls: tuple[str, ...] = ()
    store: Store | None = None
    tls: MakeContext | None = None


def bind(host: str, port: int) -> socket.socket:
    """A listening address, taken before anything else is done. Port 0 takes a free one. Raises BadInput."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, proto)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"cannot listen on {host} port {port}: {reason}") from None
    bound.set_inheritable(True)
    return bound


def base_url(bound: socket.socket, scheme: str) -> str:
    """SCHEME://HOST:PORT of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def server_config(app: Any, tls: MakeContext | None, **options: Any) -> uvicorn.Config:
    """The server that every command uses: bounded connections, our own logs, https where a context is given."""
    return uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        ssl_context_factory=functools.partial(_make_context, tls) if tls else None,
        **options,
    )


def _make_context(tls: MakeContext, *_uvicorns: object) -> ssl.SSLContext:
    return tls()


def serve(plan: ServePlan, bound: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM. `on_ready` gets the address once it answers.

    Raises KeyboardInterrupt after SIGINT, and StoreError when a process could not start.
    """
    config = server_config(
        functools.partial(_Served, plan),
        plan.tls,
        factory=True,
        lifespan="on",
        workers=plan.workers,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    threading.Thread(target=_announce, args=(bound, on_ready, plan.tls is not None), daemon=True).start()
    if plan.workers == 1:
        # uvicorn raises the signal again when it has finished; for SIGTERM that is a normal end.
        signal.signal(signal.SIGTERM, lambda *_: None)
        server = uvicorn.Server(config)
        try:
            server.run(sockets=[bound])
        except SystemExit:  # its way to say that it could not; the log says why
            raise StoreError("the server could not start") from None
        if not server.started:
            raise StoreError("the server could not start")
        return
    workers = _Workers(config, sockets=[bound])
    with _shared_counters():
        workers.run()
    if workers.interrupted:
        raise KeyboardInterrupt
    if any(process.exitcode == STARTUP_FAILURE for process in workers.processes):
        raise StoreError("a serving process could not start")


@contextlib.contextmanager
def _shared_counters() -> Iterator[None]:
    """The files in which the processes started inside keep the counters of their metrics, each reading them all."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-metrics-") as folder:
        os.environ[MULTIPROCESS_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_VARIABLE]


class QuietServer(uvicorn.Server):
    """Leaves signals alone: they are somebody else's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Workers(Multiprocess):
    """Several serving processes; one that dies is replaced.

    ^C reaches every process of a terminal. Here the parent alone hears it, and ends the others with SIGTERM.
    """

    interrupted = False

    def init_processes(self) -> None:
        resource_tracker.ensure_running()  # with the first process, it would let the signal through
        with _held(signal.SIGINT):
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        with _held(signal.SIGINT):
            super().keep_subprocess_alive()

    def join_all(self) -> None:
        """Wait for answers under way; a second ^C does not. Nobody is left waiting for an address nobody serves."""
        for bound in self.sockets:
            bound.close()
        while any(process.process.is_alive() for process in self.processes):
            if signal.SIGINT in self.signal_queue:
                for process in self.processes:
                    process.process.kill()
            time.sleep(0.05)
        super().join_all()

    def handle_int(self) -> None:
        self.interrupted = True
        super().handle_int()


@contextlib.contextmanager
def _held(number: signal.Signals) -> Iterator[None]:
    """The signal arrives when the block ends; never in a process that is started inside."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


class _Served:
    """The ASGI application of one process: opens the store when it starts, closes it when it ends."""

    def __init__(self, plan: ServePlan) -> None:
        configure_logs()
        self._plan = plan
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        store = self._plan.store
        try:
            store = store or await open_store(self._plan.store_url, read_urls=self._plan.read_urls)
            app = create_app(self._plan.settings, store)
            self._app, end_traces = trace(app) if self._plan.settings.telemetry else (app, lambda: None)
        except OperatorError as error:
            if store is not None and store is not self._plan.store:
                await store.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await app.state.service.jobs.pick_up()
        app.state.service.jobs.keep_up(self._plan.settings, system_clock)
        app.state.service.notes.keep_on()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await app.state.service.jobs.end()
        await app.state.service.notes.end()
        await asyncio.to_thread(end_traces)
        if store is not self._plan.store:
            await store.close()
        await send({"type": "lifespan.shutdown.complete"})


def _announce(bound: socket.socket, on_ready: Callable[[str], None], has_tls: bool) -> None:
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        connection = connect_to_self(host, port, has_tls)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/_ticketfeed/health")
            if connection.getresponse().status == 200:
                break
        time.sleep(0.02)
    else:
        print("ticketfeed: the server does not answer", file=sys.stderr)
        return
    with contextlib.suppress(OSError):  # whoever would read it has gone, which is no reason to stop
        on_ready(base_url(bound, "https" if has_tls else "http"))


def connect_to_self(host: str, port: int, has_tls: bool) -> http.client.HTTPConnection:
    """To ourselves, so whatever certificate is shown will do."""
    if not has_tls:
        return http.client.HTTPConnection(host, port, timeout=5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=5, context=context)
