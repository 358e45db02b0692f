"""The load generator: one process, a few keep-alive connections, answers counted and thrown away.

Only heads are read, for the status and the Content-Length; bodies run through one fixed buffer. So it costs
little more than the kernel's own copy, and how busy it was is part of the sample: near 1, it was the bottleneck.
"""

import contextlib
import itertools
import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["CONNECTIONS", "LoadError", "LoadSample", "run_connections", "run_load"]

CONNECTIONS = 4
ANSWER_SECONDS_MAX = 30.0
BUFFER_BYTES = 1 << 20
HEAD_BYTES_MAX = 16 * 1024

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


class LoadError(Exception):
    """A server that did not answer as it should; a measurement of it would mean nothing."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What came back. `seconds` runs from the first request to the last byte; `busy` is our own share of it."""

    pages: int
    size: int
    seconds: float
    busy: float


def run_load(address: tuple[str, int], requests: Iterator[bytes], seconds: float) -> LoadSample:
    """Ask for `seconds`, or until there are no more requests, on all connections at once; then wait for what is under
    way. Raises LoadError."""
    return run_connections(address, [requests] * CONNECTIONS, seconds)


def run_connections(address: tuple[str, int], sources: Sequence[Iterator[bytes]], seconds: float) -> LoadSample:
    """The same on a connection for each of `sources`, whose requests it asks."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        first = [(source, request) for source in sources for request in itertools.islice(source, 1)]
        connections = [stack.enter_context(_Connection(address, source)) for source, _ in first]
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        pages = size = 0
        waiting = len(connections)
        started = finished = time.perf_counter()
        cpu_started = time.process_time()
        for connection, (_, request) in zip(connections, first, strict=True):
            connection.ask(request)
        while waiting:
            ready = selector.select(ANSWER_SECONDS_MAX)
            if not ready:
                raise LoadError(f"no answer within {ANSWER_SECONDS_MAX:.0f} seconds")
            for key, _ in ready:
                if not key.data.read(buffer):
                    continue
                pages, size = pages + 1, size + key.data.received
                finished = time.perf_counter()
                following = next(key.data.source, None) if finished - started < seconds else None
                if following is None:
                    waiting -= 1
                else:
                    key.data.ask(following)
        busy = (time.process_time() - cpu_started) / (finished - started)
    return LoadSample(pages, size, finished - started, busy)


class _Connection:
    """One request of `source` at a time. `received` counts the bytes of its answer, head included."""

    def __init__(self, address: tuple[str, int], source: Iterator[bytes]) -> None:
        self.source = source
        self.socket = socket.create_connection(address, timeout=ANSWER_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self._size, self._head = 0, 0, b""

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> None:
        self.received, self._size, self._head = 0, 0, b""
        self.socket.sendall(request)

    def read(self, buffer: memoryview) -> bool:
        """Take what has come; true when the answer is whole."""
        count = self.socket.recv_into(buffer)
        if not count:
            raise LoadError("the connection was closed in the middle of an answer")
        self.received += count
        if not self._size:
            self._head += buffer[: min(count, HEAD_BYTES_MAX)]
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._size = end + 4 + _body_size(self._head[:end])
        return self.received >= self._size


def _body_size(head: bytes) -> int:
    length = _CONTENT_LENGTH.search(head)
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 201 ")) or length is None:
        raise LoadError(f"not an answer of 200 or 201 with a length: {head[:200].decode('latin-1')}")
    return int(length[1])
