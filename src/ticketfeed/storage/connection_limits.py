"""How a process connects to a PostgreSQL server."""

from typing import Literal, NamedTuple

__all__ = ["DEFAULT_CONNECTIONS", "ConnectionLimits", "Prepared"]

# Which statements are prepared on the server: those of writes where it is reached without a pooler; all; none.
Prepared = Literal["auto", "always", "never"]


class ConnectionLimits(NamedTuple):
    """At most so many connections to each server for `reads`, and to the primary for `writes`.

    Of reads a third, of writes half are for those which are quick (storage/shares.py); ten more are for snapshots.
    """

    reads: int = 24
    writes: int = 16
    prepared: Prepared = "auto"

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
