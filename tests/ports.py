"""Ports for servers that are told theirs."""

import contextlib
import os
import socket
from random import Random

__all__ = ["free_port"]

# Below those that systems give to connections: on Linux from 32768 on, elsewhere from 49152 on. Each process of
# pytest-xdist has its own: between the moment when one is found free and the one when it is listened on, no other does.
_PROCESSES = 16
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OWN_PORTS = range(20_000 + _NUMBER % _PROCESSES, 30_000, _PROCESSES)


def free_port() -> int:
    """A port that stays free while a server is started again: the system gives its own ones to any connection."""
    for port in Random().sample(_OWN_PORTS, len(_OWN_PORTS)):  # unlike tests with a seed, each run differs
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
