"""The request budget as it is stored with a mirror, where all processes of the store count their requests."""

from collections.abc import Callable

import msgspec

from ticketfeed.client.retry import rate_windows, retry_after
from ticketfeed.client.steps import Answer
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.request_budget import RequestBudget, learn_refusal, learn_window, take_request
from ticketfeed.storage.contract import Store
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = ["PAUSED", "StoredBudget"]

PAUSED = "paused by an operator"
# Between two looks whether an operator has resumed it.
PAUSE_SECONDS = 1.0
# A 429 that does not say how long.
REFUSED_SECONDS = 60.0


class StoredBudget:
    """A SharedBudget (client/drivers.py) of an account that is a mirror. `mirror`: as it was last read."""

    def __init__(self, store: Store, account: Account, clock: Callable[[], float]) -> None:
        self._store, self._account, self._clock = store, account, clock
        self.mirror: Mirror | None = None

    async def take(self, now: float) -> tuple[float, str]:
        mirror = self.mirror = await self._store.read_mirror(self._account)
        if mirror is None:
            return 0.0, ""
        if mirror.settings.is_paused:
            return PAUSE_SECONDS, PAUSED
        wanted = mirror.settings.requests_per_minute
        _, seconds, reason = take_request(mirror.budget, wanted, now)
        if seconds:
            return seconds, reason

        def work(transaction: WriteTransaction) -> tuple[float, str]:
            """Another process may have taken the last one meanwhile."""
            stored = transaction.mirror
            if stored is None:
                return 0.0, ""
            after, seconds, reason = take_request(stored.budget, wanted, now)
            _put(transaction, stored, after)
            return seconds, reason

        return await self._store.write(self._account, work, mirror=True)

    async def report(self, answer: Answer) -> None:
        mirror, now = await self._store.read_mirror(self._account), self._clock()
        if mirror is None or _learned(mirror.budget, answer, now) == mirror.budget:
            return

        def work(transaction: WriteTransaction) -> None:
            if stored := transaction.mirror:
                _put(transaction, stored, _learned(stored.budget, answer, now))

        await self._store.write(self._account, work, mirror=True)


def _learned(budget: RequestBudget, answer: Answer, now: float) -> RequestBudget:
    if answer.status == 429:
        budget = learn_refusal(budget, retry_after(answer.headers, now) or REFUSED_SECONDS, now)
    for window in rate_windows(answer.headers):
        budget = learn_window(budget, window, now)
    return budget


def _put(transaction: WriteTransaction, mirror: Mirror, budget: RequestBudget) -> None:
    if budget != mirror.budget:
        transaction.put_mirror(msgspec.structs.replace(mirror, budget=budget))
