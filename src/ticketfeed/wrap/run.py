"""Running a command in a world of its own: a server, a proxy in front of it, and the variables that lead there.

The command has the terminal and its streams, and its exit code is returned; the services end with it.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ticketfeed.protocol.errors import BadInput
from ticketfeed.server.app import create_app
from ticketfeed.storage import Store
from ticketfeed.wrap.hosts import HTTPS_PORT
from ticketfeed.wrap.listeners import find_listening_ports
from ticketfeed.wrap.namespaces import HOST_PORTS_MAX, CannotIsolate, start_isolated
from ticketfeed.wrap.private_files import PrivateFiles, write_private_files
from ticketfeed.wrap.services import RunPlan, Services, wrapped_services
from ticketfeed.wrap.signals import send_signal

__all__ = ["run_command", "start_command"]

NOT_REACHED = (
    "ticketfeed: COMMAND did not use the proxy, and this system does not let it be isolated ({reason}); if it reads no "
    'proxy variables, see "Programs that read no proxy" in docs/how-to/point-your-connector.md'
)

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


async def run_command(command: Sequence[str], plan: RunPlan, store: Store, environ: Mapping[str, str]) -> int:
    """Run a command to its end; returns its exit code, 128 and the number for a signal. Raises BadInput."""
    app = create_app(plan.settings, store)
    accounts = [account.subdomain for account in await store.list_accounts()]
    app.state.service.usage_tracker.start()
    if plan.settings.test_clock:
        app.state.service.clock_follower.start()
    try:
        async with wrapped_services(app, plan, environ) as services:
            code = await _run(lambda: start_command(command, plan, services, accounts))
            if services.why_not_isolated and not services.proxy.is_used:
                plan.report(NOT_REACHED.format(reason=services.why_not_isolated))
            return code
    finally:
        await app.state.service.clock_follower.stop()
        await app.state.service.jobs.stop()
        await app.state.service.usage_tracker.stop()


async def start_command(
    command: Sequence[str], plan: RunPlan, services: Services, accounts: Sequence[str], **options: Any
) -> asyncio.subprocess.Process:
    """Start a command, isolated if the plan and the system allow it. Raises BadInput.

    `options`: for its streams and its session, as those of `asyncio.create_subprocess_exec`.
    """
    if plan.settings.isolate != "never":
        try:
            return await _start_isolated(command, plan, services, accounts, options)
        except CannotIsolate as problem:
            if plan.settings.isolate == "always":
                raise BadInput(f"this system does not let a command be isolated: {problem}; see --isolate") from None
            services.why_not_isolated = str(problem)
    try:
        return await asyncio.create_subprocess_exec(*command, env=services.environment, **options)
    except OSError as error:
        raise BadInput(f"cannot run {command[0]}: {error.strerror}") from None


async def _start_isolated(
    command: Sequence[str], plan: RunPlan, services: Services, accounts: Sequence[str], options: Mapping[str, Any]
) -> asyncio.subprocess.Process:
    def prepare() -> PrivateFiles:
        folder = Path(tempfile.mkdtemp(prefix="private-", dir=services.folder))
        return write_private_files(folder, plan.authority.root_pem, accounts, command, services.environment)

    # What is reached at 127.0.0.1 stays so.
    own = {HTTPS_PORT, services.proxy_port}
    listening = sorted(find_listening_ports() - own)
    host_ports = list(dict.fromkeys([*(plan.host_ports - own), *listening]))[:HOST_PORTS_MAX]
    ports = (HTTPS_PORT, services.proxy_port, *host_ports)
    inside = await start_isolated(command, services.environment, ports, prepare, **options)
    await services.join(inside, host_ports)
    return inside.process


async def _run(start: Callable[[], Awaitable[asyncio.subprocess.Process]]) -> int:
    early: list[signal.Signals] = []
    process: asyncio.subprocess.Process | None = None

    def pass_on(number: signal.Signals) -> None:
        if process is None:
            early.append(number)
        elif not _has_reached_all(number):
            send_signal(process, number)

    with _handled(pass_on):
        process = await start()
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
