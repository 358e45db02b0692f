"""The account's row, which every write locks first: the states of its two feeds, as the engines store them."""

from typing import NamedTuple

from ticketfeed.protocol.model import FeedState
from ticketfeed.protocol.watermark import States

__all__ = ["StateRow"]


class StateRow(NamedTuple):
    """The columns of feed_state."""

    last_generated_timestamp: int
    watermark: int
    ticket_count: int
    invalidations: int
    record_changes: int
    record_last_timestamp: int
    record_watermark: int
    is_mirror: int

    @classmethod
    def of(cls, states: States) -> "StateRow":
        tickets, records = states
        return cls(
            tickets.last_generated_timestamp,
            tickets.watermark,
            tickets.ticket_count,
            tickets.invalidations,
            tickets.record_changes,
            records.last_generated_timestamp,
            records.watermark,
            int(tickets.is_mirror),
        )

    @property
    def tickets(self) -> FeedState:
        return FeedState(
            self.last_generated_timestamp,
            self.watermark,
            self.ticket_count,
            self.invalidations,
            self.record_changes,
            bool(self.is_mirror),
        )

    @property
    def records(self) -> FeedState:
        """Nothing of records is counted."""
        return FeedState(self.record_last_timestamp, self.record_watermark, is_mirror=bool(self.is_mirror))

    @property
    def states(self) -> States:
        return self.tickets, self.records
