"""How a process connects to a PostgreSQL server."""

from typing import NamedTuple

__all__ = ["DEFAULT_CONNECTIONS", "ConnectionLimits"]


class ConnectionLimits(NamedTuple):
    """At most so many connections to each server for `reads`, and to the primary for `writes`.

    Of reads a third, of writes half are for those which are quick (storage/shares.py); five more are for snapshots.
    `has_prepared`: whether statements are prepared on the server, which a pooler in transaction mode may not allow.
    """

    reads: int = 24
    writes: int = 16
    has_prepared: bool = False

    @property
    def quick_reads(self) -> int:
        return max(1, self.reads // 3)

    @property
    def quick_writes(self) -> int:
        return max(1, self.writes // 2)

    @property
    def reads_of_account(self) -> int:
        """How many of the quick reads one account may have at once."""
        return max(1, self.quick_reads // 2)


DEFAULT_CONNECTIONS = ConnectionLimits()
