"""Commands as forks of one process that has imported them: importing takes most of the time of a short command.

A fork is a process of its own, with its own folder, environment, streams and signals, and runs what `ticketfeed` runs;
only the start of the interpreter and the imports are shared. `serve_forks` is that process, `Forks` asks it.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

__all__ = ["Forked", "Forks", "the_forks"]

ROOT = Path(__file__).parents[2]
# Of one request: arguments and environment.
_BYTES_MAX = 150_000
# Imported by commands when they need them.
_PRELOADED = (
    "typer._adapters",
    "ticketfeed.client.exporter",
    "ticketfeed.client.sinks.lines",
    "ticketfeed.server.dashboard.routes",
    "ticketfeed.server.event_loop",
    "ticketfeed.storage.postgres.store",
    "ticketfeed.storage.sqlite.store",
    "ticketfeed.torture.runner",
    "ticketfeed.wrap.run",
    "prometheus_client",
    "uvicorn.lifespan.on",
)


class Forked:
    """A command that was started; the part of subprocess.Popen that tests of processes use."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("ticketfeed", timeout or 0)
            told = os.read(self._status, 100)
            os.close(self._status)
            assert told, "the process that forks has ended"
            self.returncode = int(told)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """Starts commands as forks of one process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        program = f"from tests.process.forks import serve_forks; serve_forks({theirs.fileno()})"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: dict[str, str], streams: Sequence[int], session: bool = False
    ) -> Forked:
        """Start `ticketfeed ARGUMENTS`. `streams`: descriptors of its standard input, output and error."""
        ours, theirs = os.pipe()
        os.umask(umask := os.umask(0))
        request = json.dumps([str(cwd), env, umask, session, *arguments]).encode()
        with self._asking:  # two threads would take each other's answers
            socket.send_fds(self._control, [request], [*streams, theirs])
            os.close(theirs)
            return Forked(int(self._control.recv(100)), ours)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


@functools.cache
def the_forks() -> Forks:
    """Those of this process, started by the first test that asks."""
    forks = Forks()
    atexit.register(forks.close)
    return forks


def serve_forks(control_descriptor: int) -> None:
    """Fork a command for each request, and tell how it ended, until the other side is gone."""
    _import_commands()
    control = socket.socket(fileno=control_descriptor)
    ended, on_end = os.pipe()
    os.set_blocking(on_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(on_end)
    gc.collect()
    gc.freeze()
    running: dict[int, int] = {}
    while True:
        ready = select.select([control_descriptor, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 1000)
            _tell_ended(running)
        if control_descriptor in ready:
            request, descriptors, _, _ = socket.recv_fds(control, _BYTES_MAX, 4)
            if not request:
                return
            *streams, status = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for each in (control_descriptor, ended, on_end, status, *running.values()):
                    os.close(each)
                control.detach()
                _run(request, streams)
            for each in streams:
                os.close(each)
            running[pid] = status
            control.send(str(pid).encode())


def _import_commands() -> None:
    from ticketfeed.cli import make_app

    make_app()
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _tell_ended(running: dict[int, int]) -> None:
    """Write how each child that has ended did so to its descriptor."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(descriptor)


def _run(request: bytes, streams: Sequence[int]) -> NoReturn:
    """Become the command that a request describes, and exit as an interpreter does, but for freeing its memory."""
    from ticketfeed.cli import main

    folder, environment, umask, is_session, *arguments = json.loads(request)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if is_session:
        os.setsid()
    os.umask(umask)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["ticketfeed", *arguments]
    code = 1
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)
