"""Tickets that left a closed place: whoever keeps pages learns from them which of its pages have changed.

What stands at or before the watermark can only leave: nothing ever arrives there. So a page that is kept stays right
until a ticket leaves its range. Departures of an account are numbered without a gap by its row; the newest
INVALIDATIONS_MAX of them can be read. A reader that finds fewer than the numbers say forgets all it has kept.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from ticketfeed.protocol.model import FeedState, Position

__all__ = ["INVALIDATIONS_MAX", "InvalidationLog", "invalidations_of"]

INVALIDATIONS_MAX = 10_000


class InvalidationLog:
    """Those of one write, in bounded memory."""

    def __init__(self, state: FeedState) -> None:
        self._state = state
        self._newest: deque[Position] = deque(maxlen=INVALIDATIONS_MAX)
        self.count = 0

    def note(self, position: Position) -> None:
        """A ticket is taken from this place. An open place was given to nobody, and is not noted."""
        if position.generated_timestamp <= self._state.watermark:
            self.count += 1
            self._newest.append(position)

    @property
    def forgotten(self) -> int:
        """The newest number that need not be kept any longer."""
        return self._state.invalidations + self.count - INVALIDATIONS_MAX

    def numbered(self) -> list[tuple[int, int, int]]:
        """(number, generated_timestamp, id) of those to keep."""
        first = self._state.invalidations + self.count - len(self._newest) + 1
        return [(number, *position) for number, position in enumerate(self._newest, first)]


def invalidations_of(rows: Sequence[tuple[Any, ...]]) -> tuple[FeedState, list[Position]]:
    """What a store found: rows are the account row, and the second and id of a place, or nulls for none."""
    positions = [Position(second, id) for *_, second, id in rows if id is not None]
    return (FeedState(*rows[0][:-2]) if rows else FeedState()), positions
