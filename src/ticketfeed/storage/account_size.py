"""How large an account is. It is measured now and then: an exact count reads all of its rows."""

from typing import NamedTuple

__all__ = ["AccountSize"]


class AccountSize(NamedTuple):
    """What an account held at the second `measured_at`: rows, and the bytes of their bodies as the wire has them.

    What they take on disk is more, with indexes, or less, where the engine compresses them.
    """

    tickets: int
    ticket_bytes: int
    records: int
    record_bytes: int
    measured_at: int
