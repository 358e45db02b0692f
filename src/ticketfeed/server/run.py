"""Run a server: bind its address, serve in one or several processes, report readiness, shut down on SIGTERM."""

import asyncio
import contextlib
import functools
import http.client
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ticketfeed.clock import ClockWatch
from ticketfeed.logs import configure_logs
from ticketfeed.protocol.errors import BadInput, OperatorError, StoreError
from ticketfeed.server.app import create_app
from ticketfeed.server.connection import BoundedConnection
from ticketfeed.server.connections import Connections
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.ops.metrics import MULTIPROCESS_VARIABLE, forget_process
from ticketfeed.server.ops.pool_metrics import PoolMetrics
from ticketfeed.server.ops.traces import trace
from ticketfeed.server.session_key import find_session_key
from ticketfeed.settings import Settings
from ticketfeed.storage import ClockCheck, ConnectionLimits, Store, open_store
from ticketfeed.wrap.contexts import MakeContext

__all__ = ["QuietServer", "accepting", "bind", "connect_to_self", "run_server", "server_config"]

# Time for requests in flight to finish after SIGTERM.
DRAIN_SECONDS = 30
# Includes the time to open and migrate the store.
READY_SECONDS_MAX = 60
# uvicorn's default.
BACKLOG = 2048
# A new connection costs as many system calls.
ACCEPTED_TOGETHER = 16
# Descriptors besides those of connections: of the store, its pools, the page cache and what is accepted at once.
OTHER_DESCRIPTORS = 200


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket. Port 0 picks a free port. Raises BadInput."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"cannot listen on {host} port {port}: {reason}") from None
    listener.set_inheritable(True)
    return listener


def _limit_buffers(listener: socket.socket, limits: Limits) -> None:
    """Limit what the system holds for each connection: they have the options of their listening socket."""
    size = limits.socket_bytes
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # unlike SO_SNDBUF, it leaves bytes on their way out of account
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a client that is gone acknowledges nothing
        milliseconds = round(limits.read_seconds * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def accepting(listener: socket.socket, limits: Limits = DEFAULT_LIMITS) -> list[socket.socket]:
    """Several descriptors of one listening socket: uvloop accepts one connection of each in a turn of its loop.

    With one alone, a new client waits for seconds behind a few hundred others while the loop is busy. The buffers of
    its connections are limited.
    """
    _limit_buffers(listener, limits)
    return [listener, *(listener.dup() for _ in range(ACCEPTED_TOGETHER - 1))]


def base_url(listener: socket.socket, scheme: str) -> str:
    """SCHEME://HOST:PORT of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def server_config(
    app: Any, tls: MakeContext | None, *, limits: Limits = DEFAULT_LIMITS, **options: Any
) -> uvicorn.Config:
    """The uvicorn configuration of every server: limited connections, logs of our own, https if `tls` is given."""
    return uvicorn.Config(
        app,
        http=functools.partial(BoundedConnection, Connections(limits)),  # type: ignore[arg-type]  # is called alone
        ws="none",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        ssl_context_factory=functools.partial(_make_context, tls) if tls else None,
        **options,
    )


def _make_context(tls: MakeContext, *_arguments_of_uvicorn: object) -> ssl.SSLContext:
    return tls()


def run_server(
    settings: Settings,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    *,
    store: Store | None = None,
    tls: MakeContext | None = None,
) -> None:
    """Serve until SIGTERM. `on_ready` is called with the URL when the server answers its first request.

    The store of the settings is opened by each worker process, unless an open `store` is given, which needs a single
    worker and is not closed. With `tls`, https is served instead of http.

    Raises KeyboardInterrupt after SIGINT, and StoreError if a process could not start.
    """
    if settings.dashboard:  # before there are several processes
        settings = replace(settings, session_key=find_session_key(settings))
    config = server_config(
        functools.partial(_WorkerApp, settings, store, ClockWatch()),
        tls,
        limits=replace(DEFAULT_LIMITS, connections=_allow_connections(settings.connections)),
        proxy_headers=bool(settings.trusted_proxy),
        forwarded_allow_ips=list(settings.trusted_proxy),
        loop="ticketfeed.server.event_loop:make_loop",
        factory=True,
        lifespan="on",
        workers=settings.workers,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    threading.Thread(target=_report_ready, args=(listener, on_ready, tls is not None), daemon=True).start()
    if settings.workers == 1:
        # uvicorn raises the signal again after its shutdown; for SIGTERM that is a normal end.
        signal.signal(signal.SIGTERM, lambda *_: None)
        server = uvicorn.Server(config)
        try:
            server.run(sockets=accepting(listener))
        except SystemExit:  # how uvicorn reports a failed startup; the reason is in the log
            raise StoreError("the server could not start") from None
        if not server.started:
            raise StoreError("the server could not start")
        return
    workers = _Workers(config, sockets=accepting(listener))
    with _shared_counters():
        workers.run()
    if workers.interrupted:
        raise KeyboardInterrupt
    if any(process.exitcode == STARTUP_FAILURE for process in workers.processes):
        raise StoreError("a worker process could not start")


def _allow_connections(count: int) -> int:
    """Allow this process and its children the descriptors of so many connections; how many the system permits."""
    try:
        import resource
    except ImportError:  # Windows
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHER_DESCRIPTORS
    most = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(1, most - OTHER_DESCRIPTORS)


@contextlib.contextmanager
def _shared_counters() -> Iterator[None]:
    """A directory in which the worker processes share their metrics, so that each can report the sum."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-metrics-") as folder:
        os.environ[MULTIPROCESS_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS_VARIABLE]


class QuietServer(uvicorn.Server):
    """A server that installs no signal handlers, for a program that has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Workers(Multiprocess):
    """Several worker processes; one that dies is replaced.

    ^C is sent to every process of a terminal. Here only the parent handles it, and ends the workers with SIGTERM.
    """

    interrupted = False

    def init_processes(self) -> None:
        # Started before the signal is blocked: starting it unblocks the signal.
        resource_tracker.ensure_running()
        with _blocked(signal.SIGINT):
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        with _blocked(signal.SIGINT):
            super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            forget_process(pid)

    def join_all(self) -> None:
        """Wait for requests in flight; a second ^C kills the workers.

        The sockets are closed first: a client that connects now must be refused, not left waiting.
        """
        for listener in self.sockets:
            listener.close()
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
def _blocked(number: signal.Signals) -> Iterator[None]:
    """Delay a signal until the block ends. A process that is started inside never receives it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


class _WorkerApp:
    """The ASGI application of one process: opens the store at startup, closes it at shutdown.

    `watch`: of the machine's clock, since the first process of the server started; one that replaces another goes on
    with it.
    """

    def __init__(self, settings: Settings, store: Store | None, watch: ClockWatch) -> None:
        configure_logs()
        self._settings, self._store, self._watch = settings, store, watch
        if settings.workers > 1:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self._app:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        settings, store = self._settings, self._store
        await receive()
        try:
            clock_check = ClockCheck(self._watch, is_accepted=settings.accept_clock)
            connections = ConnectionLimits(
                settings.read_connections, settings.write_connections, settings.prepared_statements
            )
            store = store or await open_store(
                settings.store, read_urls=settings.read_store, clock_check=clock_check, connections=connections
            )
            if settings.test_clock:
                store.clocks.replace(await store.read_clocks())
            app = create_app(settings, store)
            self._app, end_traces = trace(app) if settings.telemetry else (app, lambda: None)
        except OperatorError as error:
            if store is not None and store is not self._store:
                await store.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        service = app.state.service
        service.jobs.start_resuming()
        service.maintenance.start()
        service.usage_tracker.start()
        pool_metrics = PoolMetrics(store, service.metrics)
        pool_metrics.start()
        if settings.test_clock:
            service.clock_follower.start()
        service.mirror.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await service.mirror.stop()
        await pool_metrics.stop()
        await service.clock_follower.stop()
        await service.maintenance.stop()
        await service.jobs.stop()
        await service.usage_tracker.stop()
        await asyncio.to_thread(end_traces)
        if store is not self._store:
            await store.close()
        await send({"type": "lifespan.shutdown.complete"})


def _end_with_parent() -> None:
    """End this process as by SIGTERM when its parent is gone, which may have been killed: it would keep the port."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _report_ready(listener: socket.socket, on_ready: Callable[[str], None], has_tls: bool) -> None:
    host, port = listener.getsockname()[:2]
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
        print(f"ticketfeed: the server has not answered within {READY_SECONDS_MAX} seconds", file=sys.stderr)
        return
    with contextlib.suppress(OSError):  # a closed standard output is no reason to stop serving
        on_ready(base_url(listener, "https" if has_tls else "http"))


def connect_to_self(host: str, port: int, has_tls: bool) -> http.client.HTTPConnection:
    """A connection to a server on this machine. Its certificate is not verified."""
    if not has_tls:
        return http.client.HTTPConnection(host, port, timeout=5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=5, context=context)
