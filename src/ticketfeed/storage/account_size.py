"""How large an account is, and may become. It is measured now and then: an exact count reads all of its rows."""

from typing import NamedTuple

__all__ = ["AccountQuota", "AccountSize"]


class AccountSize(NamedTuple):
    """What an account held at the second `measured_at`: rows, and the bytes of their bodies as the wire has them.

    What they take on disk is more, with indexes, or less, where the engine compresses them.
    """

    tickets: int
    ticket_bytes: int
    records: int
    record_bytes: int
    measured_at: int

    @property
    def bytes(self) -> int:
        """Of the bodies of tickets and records together."""
        return self.ticket_bytes + self.record_bytes


class AccountQuota(NamedTuple):
    """How many tickets and how many bytes an account may hold; None: any number."""

    tickets_max: int | None = None
    bytes_max: int | None = None

    def is_reached(self, tickets: int, size: AccountSize | None) -> bool:
        """Whether the account may hold no more. `tickets`: how many it has now."""
        has_tickets = self.tickets_max is not None and tickets >= self.tickets_max
        return has_tickets or (self.bytes_max is not None and size is not None and size.bytes >= self.bytes_max)
