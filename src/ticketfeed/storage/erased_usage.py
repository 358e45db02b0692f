"""Usage records of erased content: what a store forgets after a write that erased, and does not take afterwards.

A request may carry what was erased, as the words of a search do, and a process buffers its requests for a second. So
a store drops the requests from before an erasure, also those that reach it later, and the consumers of erased users.
Those that other processes have buffered are dropped by `server/ops/usage_tracker.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ticketfeed.protocol.consumers import RequestRecord, UsageUpdate
from ticketfeed.protocol.model import Account

__all__ = ["ErasedUsage", "with_erasure"]

T = TypeVar("T")
Usage = tuple[Mapping[str, UsageUpdate], Sequence[RequestRecord]]


def with_erasure(work: Callable[[Any], T]) -> tuple[Callable[[Any], T], list[set[int]]]:
    """The work of a write, and a list that holds the ids of the users that it erased once it has erased anything."""
    erased: list[set[int]] = []

    def watched(transaction: Any) -> T:
        result = work(transaction)
        erased[:] = [] if transaction.erased_users is None else [transaction.erased_users]
        return result

    return watched, erased


class ErasedUsage:
    """The erasures of one process."""

    def __init__(self) -> None:
        self._seconds: dict[int, int] = {}
        self._users: dict[int, set[int]] = {}

    def add(self, account: Account, now: int, user_ids: set[int]) -> None:
        """Something of this account was erased at `now`, the users with these ids among it."""
        self._seconds[account.account_id] = now
        self._users.setdefault(account.account_id, set()).update(user_ids)

    def remaining(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord]
    ) -> Usage:
        """Those of these records that may be stored."""
        second, users = self._seconds.get(account.account_id), self._users.get(account.account_id, set())
        if second is None:
            return consumers, requests
        kept = {key: update for key, update in consumers.items() if update.consumer.user_id not in users}
        return kept, [request for request in requests if request.at >= second + 1]
