"""Moves the clock of an account."""

from ticketfeed.protocol.moved_clock import ClockMove, MovedClock, move_clock
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["move_account_clock"]


def move_account_clock(write: WriteTransaction, move: ClockMove, now: int) -> MovedClock:
    """The clock after a move at the machine's time `now`. Raises InvalidValue."""
    clock = move_clock(write.find_clock(), move, now)
    write.put_clock(clock)
    return clock
