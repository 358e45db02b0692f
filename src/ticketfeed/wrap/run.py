"""Running a command in a world of its own: a server, a proxy in front of it, and the variables that lead there.

The command keeps the terminal, its streams and its exit code; everything else lives as long as it does.
"""

import asyncio
import contextlib
import os
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from ticketfeed.protocol.errors import BadInput
from ticketfeed.server.app import create_app
from ticketfeed.server.run import QuietServer, bind, server_config
from ticketfeed.settings import Settings
from ticketfeed.storage import Store
from ticketfeed.wrap.authority import Authority
from ticketfeed.wrap.contexts import local_context
from ticketfeed.wrap.environment import proxied_environment
from ticketfeed.wrap.hosts import Address
from ticketfeed.wrap.proxy import HEAD_BYTES_MAX, Proxy
from ticketfeed.wrap.trust import write_trust_files

__all__ = ["RunPlan", "run_command", "wrapped_environment"]

LOOPBACK = "127.0.0.1"
# Nobody is left to wait for an answer that is under way when the command has ended.
DRAIN_SECONDS = 1

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a command is to find around it. `report` is told of each host that it is refused, once."""

    settings: Settings
    authority: Authority
    allowed: Collection[str]
    report: Callable[[str], None]


async def run_command(command: Sequence[str], plan: RunPlan, store: Store, environ: Mapping[str, str]) -> int:
    """Run a command to its end; returns its exit code, 128 and the number for a signal. Raises BadInput."""
    app = create_app(plan.settings, store)
    app.state.service.usage_tracker.start()
    try:
        async with wrapped_environment(app, plan, environ) as environment:
            return await _run(command, environment)
    finally:
        await app.state.service.jobs.stop()
        await app.state.service.usage_tracker.stop()


@contextlib.asynccontextmanager
async def wrapped_environment(app: ASGIApp, plan: RunPlan, environ: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """What a command's environment must say so that every host of zendesk.com is `app`."""
    with (
        bind(LOOPBACK, 0) as server_socket,
        bind(LOOPBACK, 0) as proxy_socket,
        tempfile.TemporaryDirectory(prefix="ticketfeed-run-") as folder,
    ):
        files = write_trust_files(Path(folder), plan.authority.root_pem, environ)
        environment = proxied_environment(environ, Address(*proxy_socket.getsockname()), files)
        proxy = Proxy(Address(*server_socket.getsockname()), plan.allowed, plan.report)
        server = _server(app, plan)
        serving = asyncio.create_task(server.serve([server_socket]))
        listening = await asyncio.start_server(proxy.handle, sock=proxy_socket, limit=HEAD_BYTES_MAX)
        try:
            yield environment
        finally:
            listening.close()
            await proxy.close()
            server.should_exit = True
            await serving


def _server(app: ASGIApp, plan: RunPlan) -> QuietServer:
    def make_context() -> ssl.SSLContext:
        return local_context(plan.authority.root_pem, plan.authority.issuer_pem)

    return QuietServer(server_config(app, make_context, lifespan="off", timeout_graceful_shutdown=DRAIN_SECONDS))


async def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    early: list[signal.Signals] = []
    process: asyncio.subprocess.Process | None = None

    def pass_on(number: signal.Signals) -> None:
        if process is None:
            early.append(number)
        elif process.returncode is None and not _has_reached_all(number):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    with _handled(pass_on):
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment)
        except OSError as error:
            raise BadInput(f"cannot run {command[0]}: {error.strerror}") from None
        for number in early:
            pass_on(number)
        code = await process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _handled(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Signals go to `handle`; one that we were started to ignore is ignored, by the command too."""
    loop = asyncio.get_running_loop()
    numbers = [number for number in _PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _has_reached_all(number: signal.Signals) -> bool:
    """^C goes from the terminal to every process in its foreground; a second one often means: at once."""
    if number not in _FROM_TERMINAL:
        return False
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
