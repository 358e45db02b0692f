"""Starts a command in namespaces of its own, by way of the script `isolation`, and takes over its listening sockets."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ticketfeed.protocol.errors import BadInput
from ticketfeed.wrap.private_files import PrivateFiles
from ticketfeed.wrap.signals import send_signal

__all__ = ["HOST_PORTS_MAX", "CannotIsolate", "Inside", "start_isolated"]

SCRIPT = Path(__file__).with_name("isolation.py")
# It takes some 20 milliseconds on an idle machine.
START_SECONDS_MAX = 20.0
REPLY_BYTES_MAX = 4096
# What one message carries, by the kernel's SCM_MAX_FD.
SOCKETS_MAX = 253
HOST_PORTS_MAX = 200


class CannotIsolate(Exception):
    """The system does not let this process make namespaces; the text says at which step, and why."""


@dataclass(frozen=True, slots=True)
class Inside:
    """A command under way; `listening` there, in the order of the ports, and `names`, the UDP socket for DNS."""

    process: asyncio.subprocess.Process
    listening: Sequence[socket.socket]
    names: socket.socket


async def start_isolated(
    command: Sequence[str],
    environment: Mapping[str, str],
    ports: Sequence[int],
    prepare: Callable[[], PrivateFiles],
    **options: Any,
) -> Inside:
    """Start it; `prepare` writes the private files while the script starts. Raises CannotIsolate and BadInput.

    `options`: for its streams and its session, as those of `asyncio.create_subprocess_exec`.
    """
    if sys.platform != "linux":
        raise CannotIsolate("namespaces need Linux")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(START_SECONDS_MAX)
        with theirs:
            process = await _start_script(theirs, command, environment, options)
        try:
            plan = json.dumps({**_prepare(prepare)._asdict(), "ports": ports}).encode()
            sockets = await asyncio.to_thread(_exchange, ours, plan)
            await _await_start(ours, command, sockets)
        except BaseException:
            send_signal(process, signal.SIGKILL)
            await process.wait()
            raise
    return Inside(process, sockets[:-1], sockets[-1])


def _prepare(prepare: Callable[[], PrivateFiles]) -> PrivateFiles:
    try:
        return prepare()
    except OSError as error:
        raise CannotIsolate(f"{error.filename}: {error.strerror}") from None


async def _start_script(
    channel: socket.socket, command: Sequence[str], environment: Mapping[str, str], options: Mapping[str, Any]
) -> asyncio.subprocess.Process:
    # Nothing of the environment or of a folder of packages decides what the script does.
    words = (sys.executable, "-I", "-S", str(SCRIPT), str(channel.fileno()), *command)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the script lets it through when it is the command
    try:
        return await asyncio.create_subprocess_exec(*words, env=environment, pass_fds=(channel.fileno(),), **options)
    except OSError as error:
        raise CannotIsolate(f"{sys.executable}: {error.strerror}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _exchange(channel: socket.socket, plan: bytes) -> list[socket.socket]:
    """Send the plan, get the sockets."""
    try:
        channel.send(plan)
        reply, numbers, _, _ = socket.recv_fds(channel, REPLY_BYTES_MAX, SOCKETS_MAX)
    except OSError as error:
        raise CannotIsolate(f"no answer: {error.strerror or error}") from None
    sockets = [socket.socket(fileno=number) for number in numbers]
    if not sockets:
        raise CannotIsolate(json.loads(reply)["refused"] if reply else "no answer")
    return sockets


async def _await_start(channel: socket.socket, command: Sequence[str], sockets: Sequence[socket.socket]) -> None:
    """The other end is closed when the command runs."""
    try:
        reply = await asyncio.to_thread(channel.recv, REPLY_BYTES_MAX)
    except TimeoutError:
        reply = b""  # still on its way; what comes of it is its exit code
    if reply:
        for each in sockets:
            each.close()
        raise BadInput(f"cannot run {command[0]}: {json.loads(reply)['failed']}")
