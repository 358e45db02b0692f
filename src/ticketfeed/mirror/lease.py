"""The lease of a mirror: one process at a time walks, whatever is started where."""

import os
import secrets
import socket

import msgspec

from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.mirrors import LEASE_SECONDS, Lease, Mirror

__all__ = ["LOST", "LeaseHolder", "is_alive", "refuse_running"]

LOST = "another process has taken over this mirror"
# The owners of the leases that this process holds: a process that was started again may have the same number.
_HELD: set[str] = set()
# And after a restart of the machine any other program may have it: a lease this old is nobody's.
_REUSED_SECONDS = 600.0


class LeaseHolder:
    """One who may hold a lease, from when it is made until `end`."""

    def __init__(self, now: float) -> None:
        self.owner, self._started_at = secrets.token_hex(8), now
        _HELD.add(self.owner)

    def lease(self, now: float) -> Lease:
        """The lease as it is stored, taken or renewed at `now`."""
        return Lease(self.owner, socket.gethostname(), os.getpid(), self._started_at, now)

    def renewed(self, mirror: Mirror | None, now: float) -> Mirror:
        """The mirror with the lease renewed. Raises BadInput where another process has it now."""
        if mirror is None or mirror.lease is None or mirror.lease.owner != self.owner:
            raise BadInput(LOST)
        return msgspec.structs.replace(mirror, lease=self.lease(now))

    def end(self) -> None:
        """Hold nothing any more."""
        _HELD.discard(self.owner)


def is_alive(lease: Lease, now: float) -> bool:
    """Whether the process of a lease still runs: here it is looked for, elsewhere the lease's age has to tell."""
    age = now - lease.renewed_at
    if lease.host != socket.gethostname():
        return age < LEASE_SECONDS
    if lease.pid == os.getpid():
        return lease.owner in _HELD
    if age >= _REUSED_SECONDS:
        return False
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def refuse_running(mirror: Mirror, now: float) -> None:
    """Raises BadInput while a process walks."""
    lease = mirror.lease
    if lease is not None and is_alive(lease, now):
        raise BadInput(f"this account is mirrored already, by process {lease.pid} on {lease.host}")
