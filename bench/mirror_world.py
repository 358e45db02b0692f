"""A source in a process of its own, a network that can be cut, time that passes only where everybody waits."""

import asyncio
import contextlib
import heapq
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench.processes import environment, free_port, wait_for_port
from bench.world import HOST, Credentials, make_store
from ticketfeed.protocol.model import Account, Filters, Position, Slice
from ticketfeed.storage import Store
from ticketfeed.storage.batches import all_rows, list_batches

__all__ = ["KINDS", "Network", "SourceServer", "VirtualTime", "call", "compare_stores", "positions_of"]

_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
KINDS = (
    "users",
    "organizations",
    "groups",
    "brands",
    "ticket_fields",
    "ticket_forms",
    "custom_statuses",
    "group_memberships",
    "organization_memberships",
    "satisfaction_ratings",
)


class SourceServer:
    """`ticketfeed serve --profile zendesk --test-clock` over a generated world, killed and started again."""

    def __init__(self, folder: Path, tickets: int, credentials: Credentials, *options: str) -> None:
        self.url, self.credentials = f"sqlite:///{folder / 'source.db'}", credentials
        self._options = ("--profile", "zendesk", "--test-clock", "--rule", "account_requests=0", *options)
        make_store(self.url, tickets, credentials)
        self.port = free_port()

    def start(self) -> None:
        command = [sys.executable, "-m", "ticketfeed", "serve", "--store", self.url, "--port", str(self.port)]
        self._process = subprocess.Popen([*command, *self._options], env=environment(), **_QUIET)
        wait_for_port(self._process, self.port)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator["SourceServer"]:
        self.start()
        try:
            yield self
        finally:
            self.kill()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of its API; what it answers."""
        return call(self.port, self.credentials, method, path, body)


def call(port: int, credentials: Credentials, method: str, path: str, body: Any = None) -> Any:
    """One call of a server; what it answers. Raises RuntimeError where that is an error."""
    headers = {"Host": HOST, "Authorization": credentials.header, "Content-Type": "application/json"}
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        data = answer.read()
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path} answered {answer.status}: {data[:200]!r}")
    return json.loads(data) if data else None


class Network:
    """A TCP relay of the loopback address, which can be cut: connections end in the middle, and none is accepted."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self._lock, self._open, self._is_cut = threading.Lock(), set[socket.socket](), False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(near,), daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as far:
            with self._lock:
                if self._is_cut:
                    return
                self._open |= {near, far}
            back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
            back.start()
            self._copy(near, far)
            back.join()
            with self._lock:
                self._open -= {near, far}

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class VirtualTime:
    """A clock for several tasks, which stands still while one of them works.

    When all that `join`ed sleep, it goes on to where the first of them wakes up; the account's clock of the source is
    set to the same second before that.
    """

    def __init__(self, source: SourceServer) -> None:
        self._source, self._numbers, self._joined = source, itertools.count(), 0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        source.call("POST", "/_ticketfeed/clock", {"freeze": True})
        shown = source.call("GET", "/_ticketfeed/clock")
        self.began = self.now = float(self._seconds(shown["now"]))

    @staticmethod
    def _seconds(text: str) -> int:
        from datetime import datetime

        return int(datetime.fromisoformat(text).timestamp())

    def __call__(self) -> float:
        return self.now

    def seconds(self) -> int:
        return int(self.now)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        self._joined += 1
        try:
            yield
        finally:
            self._joined -= 1
            self._go_on()

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.now + max(0.0, seconds), next(self._numbers), future))
        self._go_on()
        await future

    def _go_on(self) -> None:
        if self._sleeping and len(self._sleeping) >= self._joined:
            moment, _, future = heapq.heappop(self._sleeping)
            if int(moment) != int(self.now):
                self._source.call("POST", "/_ticketfeed/clock", {"set": int(moment)})
            self.now = max(self.now, moment)
            if not future.done():
                future.set_result(None)


async def positions_of(store: Store, account: Account) -> dict[int, tuple[int, bytes]]:
    """(second, body without it) by id."""
    everything = Filters(support_type_scope="all")
    found: dict[int, tuple[int, bytes]] = {}
    after = Position(0, -1)
    while rows := (await store.read_changes(account, after, 2**40, 5000, everything, links=False))[1]:
        for row in rows:
            second = row.generated_timestamp
            found[row.id] = second, bytes(row.body).replace(b'"generated_timestamp":%d' % second, b"")
        after = Position(rows[-1].generated_timestamp, rows[-1].id)
    return found


async def compare_stores(source: Store, theirs: Account, target: Store, ours: Account) -> dict[str, int]:
    """What differs: tickets that are missing, too many or in another state; those with a later second; records."""
    there, here = await positions_of(source, theirs), await positions_of(target, ours)
    both = there.keys() & here.keys()
    return {
        "tickets": len(there),
        "missing": len(there.keys() - here.keys()),
        "too many": len(here.keys() - there.keys()),
        "other bytes": sum(there[id][1] != here[id][1] for id in both),
        "earlier": sum(there[id][0] > here[id][0] for id in both),
        "later": sum(there[id][0] < here[id][0] for id in both),
        "other records": sum([await _differing(source, theirs, target, ours, kind) for kind in KINDS]),
    }


async def _differing(source: Store, theirs: Account, target: Store, ours: Account, kind: str) -> int:
    deleted = None if kind in ("users", "organizations", "groups", "brands") else False
    everything = Slice(limit=10**7)
    theirs_listed = list_batches(partial(source.list_records, theirs, kind, deleted=deleted), everything)
    ours_listed = list_batches(partial(target.list_records, ours, kind, deleted=deleted), everything)
    there = {row.id: row.body for row in await all_rows(theirs_listed)}
    here = {row.id: row.body for row in await all_rows(ours_listed)}
    return sum(there.get(id) != here.get(id) for id in there.keys() | here.keys())
