"""Tickets that left a closed place: whoever keeps pages learns from them which of its pages have changed.

What stands at or before the watermark can only leave: nothing ever arrives there. So a page that is kept stays right
until a ticket leaves its range. Departures of an account are numbered without a gap by its row; the newest
DEPARTURES_KEPT of them can be read. A reader that finds fewer than the numbers say forgets all it has kept.
"""

from collections import deque
from collections.abc import Sequence

from ticketfeed.protocol.model import FeedState, Position

__all__ = ["DEPARTURES_KEPT", "Departures", "departures_of"]

DEPARTURES_KEPT = 10_000


class Departures:
    """Those of one write, in bounded memory."""

    def __init__(self, state: FeedState) -> None:
        self._state = state
        self._newest: deque[Position] = deque(maxlen=DEPARTURES_KEPT)
        self.count = 0

    def note(self, position: Position) -> None:
        """A ticket is taken from this place. An open place was given to nobody, and is not noted."""
        if position.generated_timestamp <= self._state.watermark:
            self.count += 1
            self._newest.append(position)

    @property
    def forgotten(self) -> int:
        """The newest number that need not be kept any longer."""
        return self._state.departures + self.count - DEPARTURES_KEPT

    def numbered(self) -> list[tuple[int, int, int]]:
        """(number, generated_timestamp, id) of those to keep."""
        first = self._state.departures + self.count - len(self._newest) + 1
        return [(number, *position) for number, position in enumerate(self._newest, first)]


def departures_of(rows: Sequence[tuple[int, int | None, int | None]]) -> tuple[int, list[Position]]:
    """What a store found: the newest number, and the places behind the one asked for. Rows are (newest, place), with
    nulls for no place."""
    positions = [Position(second, id) for _, second, id in rows if second is not None and id is not None]
    return (rows[0][0] if rows else 0), positions
