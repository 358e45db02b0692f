"""The invalidation log: positions that tickets have left, from which page caches learn which pages have changed.

At or before the watermark nothing is ever added, and a ticket leaves only when it is changed. So a cached page is valid
until a ticket leaves its range. The entries of an account are numbered without gaps, by the count in its row; the
newest INVALIDATIONS_MAX are stored. A cache that finds fewer entries than the numbers say drops all its pages.
"""

from collections import deque
from typing import NamedTuple

from ticketfeed.protocol.model import FeedState, Position

__all__ = ["INVALIDATIONS_MAX", "Invalidation", "InvalidationLog"]

# A cache that polls once a second can follow 10,000 changes a second; all of them take half a megabyte.
INVALIDATIONS_MAX = 10_000


class Invalidation(NamedTuple):
    """An entry of the log."""

    number: int
    generated_timestamp: int
    id: int


class InvalidationLog:
    """The entries that one write adds, in bounded memory."""

    def __init__(self, state: FeedState) -> None:
        self._state = state
        self._newest: deque[Position] = deque(maxlen=INVALIDATIONS_MAX)
        self.count = 0

    def add(self, position: Position) -> None:
        """Log that a ticket leaves this position. No page holds one after the watermark, so that is not logged."""
        if position.generated_timestamp <= self._state.watermark:
            self.count += 1
            self._newest.append(position)

    @property
    def forgotten(self) -> int:
        """The number up to which stored entries can be deleted."""
        return self._state.invalidations + self.count - INVALIDATIONS_MAX

    def entries(self) -> list[Invalidation]:
        """The entries to store."""
        first = self._state.invalidations + self.count - len(self._newest) + 1
        return [
            Invalidation(number, position.generated_timestamp, position.id)
            for number, position in enumerate(self._newest, first)
        ]
