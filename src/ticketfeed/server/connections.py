"""The open connections of a server: how many there are, what each waits for, and which have to go.

Every connection is checked twice a second; nothing is done for a request. The connections of an address are in order
of age, those with credentials apart, so that the one that has to make room is found at once.
"""

import asyncio
import contextlib
import ctypes
import logging
from collections import Counter
from dataclasses import dataclass, field

from ticketfeed.server.connection import BoundedConnection
from ticketfeed.server.limits import DEFAULT_LIMITS, Limits
from ticketfeed.server.middleware.overload import Share

__all__ = ["Connections"]

LOOK_SECONDS = 0.5
_WARN_SECONDS = 60.0
# Parts of the unsent bytes of a share: above the first, slow readers are reset, until the second is reached.
_BUSY, _FREE = 0.75, 0.5

# Unsent bytes that are worth a few milliseconds to free.
_MUCH_UNSENT = 32 * 1024 * 1024

_log = logging.getLogger("ticketfeed.connections")


@dataclass(slots=True)
class _Group:
    """The connections of one address, oldest first."""

    anonymous: dict[BoundedConnection, None] = field(default_factory=dict)
    known: dict[BoundedConnection, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.anonymous) + len(self.known)

    def recognize(self, connection: BoundedConnection) -> None:
        del self.anonymous[connection]
        self.known[connection] = None

    def find_least(self) -> BoundedConnection | None:
        """The connection to close for another one."""
        while self.anonymous:
            connection = next(iter(self.anonymous))
            if not connection.is_known():
                return connection
            self.recognize(connection)
        return next((each for each in self.known if not each.is_in_progress()), None)


class Connections:
    """The connections of a server in one process."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._groups: dict[str, _Group] = {}
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._shares: set[Share] = set()
        self._most_unsent = 0
        # Why connections were closed since the last line in the log.
        self._closed: Counter[str] = Counter()
        self._warned_at = float("-inf")

    def add(self, connection: BoundedConnection) -> None:
        """Add a new connection; another one is closed if there are too many."""
        if self._count >= self.limits.connections:
            largest = max(self._groups.values(), key=len)
            self._close(largest.find_least() or connection, "too many connections")
        group = self._groups.setdefault(_network(connection.address), _Group())
        group.anonymous[connection] = None
        self._count += 1
        if self._timer is None:
            self._timer = connection.loop.call_later(LOOK_SECONDS, self._look, connection.loop)

    def remove(self, connection: BoundedConnection) -> None:
        """Forget a connection that is closed."""
        name = _network(connection.address)
        group = self._groups.get(name)
        if group is None or (connection not in group.anonymous and connection not in group.known):
            return
        group.anonymous.pop(connection, None)
        group.known.pop(connection, None)
        self._count -= 1
        if not group:
            del self._groups[name]

    def _close(self, connection: BoundedConnection, reason: str) -> None:
        self._closed[reason] += 1
        self.remove(connection)  # at once: its place is taken
        connection.reset()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for share in self._shares:
            share.kernel_bytes = 0
        readers: list[BoundedConnection] = []
        senders: list[BoundedConnection] = []
        for group in list(self._groups.values()):
            for connection in [*group.anonymous, *group.known]:
                if connection in group.anonymous and connection.is_known():
                    group.recognize(connection)
                self._check(connection, now, readers, senders)
        self._free_memory(loop)
        for share in self._shares:
            if share.unsent_bytes() > _BUSY * share.unsent_bytes_max:
                self._make_room(share, readers, now)
        if sum([connection.sent_bytes() for connection in senders]) > self.limits.received_bytes:
            self._close_senders(senders, now)
        self._warn(now)
        is_needed = self._count or any(share.kernel_bytes for share in self._shares)
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop) if is_needed else None

    def _check(
        self,
        connection: BoundedConnection,
        now: float,
        readers: list[BoundedConnection],
        senders: list[BoundedConnection],
    ) -> None:
        """Close a connection that is too slow.

        Add it to `readers` if it has something to receive, and to `senders` if it has sent a part of something.
        """
        if connection.is_gone():
            return
        limits, elapsed = self.limits, now - connection.since
        is_reader = connection.has_unsent and self._has_unsent(connection, now)
        if is_reader:
            readers.append(connection)
        if connection.is_sending():
            seconds_max = limits.head_seconds if connection.is_head else limits.body_seconds
            is_slow = elapsed > limits.send_grace_seconds and (
                connection.sent_since() < elapsed * limits.send_bytes_per_second
            )
            if elapsed > seconds_max or is_slow:
                self._closed["slow sender"] += 1
                connection.refuse(408)
            else:
                senders.append(connection)
        elif not is_reader and not connection.is_in_progress() and now - connection.since > limits.idle_seconds:
            connection.transport.close()

    def _has_unsent(self, connection: BoundedConnection, now: float) -> bool:
        """Whether the reader has not received everything yet. Closes the connection of a slow one."""
        connection.trust_reader()
        in_kernel = connection.kernel_bytes()
        unsent = in_kernel + connection.buffered_bytes()
        if not unsent:
            connection.mark = connection.busy_mark = None
            if not connection.is_in_progress() and connection.has_unsent:
                connection.has_unsent = connection.is_head  # then this head is not answered yet
                connection.since = connection.since if connection.is_head else now
            return False
        if connection.place is not None:
            share = connection.place.share
            self._shares.add(share)
            share.kernel_bytes += in_kernel
        mark = connection.make_mark(now)
        if connection.mark is None:
            connection.mark = connection.busy_mark = mark
        elif now - connection.mark.when >= self.limits.read_seconds:
            if mark.is_late(connection.mark, self.limits.read_bytes_per_second):
                self._close(connection, "slow reader")
                return False
            connection.mark = mark
        return True

    def _make_room(self, share: Share, readers: list[BoundedConnection], now: float) -> None:
        """Close the slowest readers."""
        slow = []
        for connection in readers:
            last = connection.busy_mark
            if connection.place is None or connection.place.share is not share or last is None:
                continue
            if now - last.when >= self.limits.busy_read_seconds:
                connection.busy_mark = mark = connection.make_mark(now)
                if mark.is_late(last, self.limits.busy_read_bytes_per_second):
                    slow.append((mark.received - last.received, connection))
        slow.sort(key=lambda each: each[0])
        for _, connection in slow:
            if share.unsent_bytes() <= _FREE * share.unsent_bytes_max:
                break
            share.kernel_bytes -= connection.kernel_bytes()
            share.stalled.discard(connection)
            if connection.place is not None:
                connection.place.hold(0)
            self._close(connection, "slow reader")

    def _close_senders(self, senders: list[BoundedConnection], now: float) -> None:
        """Refuse the slowest senders until half of the limit is free."""
        senders.sort(key=lambda each: each.sent_bytes() / max(now - each.begun, LOOK_SECONDS))
        size = sum([connection.sent_bytes() for connection in senders])
        for connection in senders:
            if size <= _FREE * self.limits.received_bytes:
                break
            size -= connection.sent_bytes()
            self._closed["slow sender"] += 1
            connection.refuse(408)

    def _free_memory(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give memory back to the system once many unsent bytes are gone; the allocator keeps it otherwise."""
        unsent = sum(share.unsent_bytes() for share in self._shares)
        self._most_unsent = max(self._most_unsent, unsent)
        if self._most_unsent > _MUCH_UNSENT and unsent < _MUCH_UNSENT / 8:
            self._most_unsent = 0
            loop.run_in_executor(None, _trim)

    def _warn(self, now: float) -> None:
        """Log once a minute: a line for each would add to the load."""
        if self._closed and now - self._warned_at > _WARN_SECONDS:
            self._warned_at = now
            reasons = ", ".join(f"{count} of {reason}" for reason, count in sorted(self._closed.items()))
            _log.warning("connections closed: %s", reasons)
            self._closed.clear()


def _trim() -> None:
    """Call malloc_trim, which only glibc has."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _network(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits belongs to one client."""
    return ":".join(address.split(":")[:4]) if ":" in address else address
