"""Starts a command in a user, a mount and a network namespace of its own, without any privilege (Linux).

Run as a script by a fresh interpreter: a process that enters a user namespace must have a single thread. It replaces
itself with the command, whose process id, streams and exit code are therefore its own.

    python isolation.py SOCKET COMMAND...

SOCKET is the number of a Unix socket of whole messages. One JSON object comes in: `files`, pairs of what is bound over
what; `folders`, pairs of which the first is laid over the second; `ports`, those to listen on at 127.0.0.1. One goes
out: empty, with the listening sockets and a UDP socket of port 53 attached; or `refused`, with the reason why there
cannot be such namespaces. A second one has the reason if the command could not be started: `failed`. The socket
is closed when it runs.

Only the standard library is used. Python has these system calls from 3.12 only, hence ctypes.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Sequence

__all__ = ["main"]

LOOPBACK = "127.0.0.1"
DNS_PORT = 53
BACKLOG = 2048
PLAN_BYTES_MAX = 1 << 20

# <sched.h>, <sys/mount.h>, <sys/prctl.h>, <net/if.h> and <linux/sockios.h>; the same on every architecture.
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x0002_0000, 0x1000_0000, 0x4000_0000
MS_BIND = 0x1000
PR_CAPBSET_DROP = 24
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
IFREQ = struct.Struct("16sH22x")
CAPABILITIES_MAX = 64

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    _prepare_signals()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        channel.set_inheritable(False)
        command = sys.argv[2:]
        plan = json.loads(channel.recv(PLAN_BYTES_MAX))
        try:
            listening = _isolate(plan["files"], plan["folders"], plan["ports"])
        except OSError as error:
            _reply(channel, "refused", f"{error.filename}: {error.strerror}")
            return
        socket.send_fds(channel, [b"{}"], [each.fileno() for each in listening])
        for each in listening:
            each.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            os.execvp(command[0], command)
        except (OSError, ValueError) as error:
            _reply(channel, "failed", getattr(error, "strerror", None) or str(error))


def _prepare_signals() -> None:
    """What the interpreter has set is undone, since a command inherits what is ignored. SIGINT is blocked so far."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _isolate(
    files: Sequence[Sequence[str]], folders: Sequence[Sequence[str]], ports: Sequence[int]
) -> list[socket.socket]:
    """Raises OSError, its file name saying at which step."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET)
    # Users and groups keep their ids. Without this, the kernel refuses to map a process's own group.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _raise_loopback()
    listening = [_listen(socket.SOCK_STREAM, port) for port in ports] + [_listen(socket.SOCK_DGRAM, DNS_PORT)]
    # The mounts of a new user namespace are slaves of the others: what is mounted here is seen here alone.
    for source, target in folders:
        # Needs Linux 5.11. The files that follow are enough for most programs.
        options = os.fsencode(f"lowerdir={source}:{target}")
        _libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options)
    for source, target in files:
        _call("mount", os.fsencode(source), os.fsencode(target), None, MS_BIND, None, step=f"mount over {target}")
    # What no capability is left for, root inside included, is none after exec.
    for capability in range(CAPABILITIES_MAX):
        if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0):
            break
    return listening


def _call(name: str, *arguments: int | bytes | None, step: str = "") -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step or name)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, IFREQ.pack(b"lo", IFF_UP))
        except OSError as error:
            raise OSError(error.errno, error.strerror, "the loopback interface") from None


def _listen(kind: socket.SocketKind, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, kind)
    try:
        listening.bind((LOOPBACK, port))
        if kind == socket.SOCK_STREAM:
            listening.listen(BACKLOG)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"port {port}") from None
    return listening


def _reply(channel: socket.socket, name: str, reason: str) -> None:
    channel.send(json.dumps({name: reason}).encode())


if __name__ == "__main__":
    main()
