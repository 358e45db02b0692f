"""The clocks of a store's accounts, as one process goes by them: by default all show the machine's time."""

from collections.abc import Mapping

from ticketfeed.protocol.model import Account
from ticketfeed.protocol.moved_clock import MovedClock

__all__ = ["AccountClocks"]


class AccountClocks:
    """Used by all threads of a process: the mapping is replaced, never changed."""

    def __init__(self) -> None:
        self._moved: Mapping[int, MovedClock] = {}

    @property
    def are_moved(self) -> bool:
        """Whether the clock of any account was moved."""
        return bool(self._moved)

    def at(self, account: Account, now: int) -> int:
        """The account's time when the machine's is `now`."""
        moved = self._moved.get(account.account_id)
        return now if moved is None else moved.time(now)

    def is_frozen(self, account: Account) -> bool:
        """Whether the account's clock stands."""
        return self._moved.get(account.account_id, MovedClock()).frozen_at is not None

    def replace(self, moved: Mapping[int, MovedClock]) -> bool:
        """Go by these clocks, by account_id, from now on. Whether any of them differs from before."""
        before, self._moved = self._moved, moved
        return before != moved
