"""Refuses writes while the clock of the machine is wrong, as far as that can be known.

A write carries the second of the clock, and none after it can carry an earlier one. So a clock that jumps ahead would
take every account that is written with it into the future, out of reach of readers until that time has come. This is
about the machine's own clock, whatever clock an account is read and written by.
"""

from ticketfeed.clock import ClockWatch, system_instant
from ticketfeed.protocol.errors import StoreUnavailable

__all__ = ["ERROR_SECONDS_MAX", "ClockCheck"]

# More than clocks that are kept right ever differ, or are set forward by.
ERROR_SECONDS_MAX = 300.0
_UNTIL = "writes are refused until it is right, or accepted with --accept-clock"


class ClockCheck:
    """`is_accepted`: an operator says that the clock is right, whatever it was before."""

    def __init__(self, watch: ClockWatch | None = None, *, is_accepted: bool = False) -> None:
        self._watch, self._is_accepted = watch or ClockWatch(), is_accepted
        self._difference = 0.0

    def compare(self, instant: float) -> None:
        """Note the time of the database server, in Unix seconds."""
        self._difference = system_instant() - instant

    def newest(self, now: int) -> int:
        """The later of this machine's time `now` and the database server's, as they differed when compared last."""
        return now + max(0, round(-self._difference))

    def problem(self) -> str | None:
        """Why writes are refused; None if they are not."""
        if self._is_accepted:
            return None
        if (step := self._watch.step()) > ERROR_SECONDS_MAX:
            return f"the clock of this machine was set forward by {step:,.0f} s while the process ran: {_UNTIL}"
        if abs(self._difference) > ERROR_SECONDS_MAX:
            side = "ahead of" if self._difference > 0 else "behind"
            return f"the clock of this machine is {abs(self._difference):,.0f} s {side} PostgreSQL's: {_UNTIL}"
        return None

    def refuse(self) -> None:
        """Raise StoreUnavailable if there is a problem."""
        if problem := self.problem():
            raise StoreUnavailable(problem)
