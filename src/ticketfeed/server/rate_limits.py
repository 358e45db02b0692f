"""What a request may still spend, and what its answer says of it. Where nothing is limited, no store is asked."""

from collections.abc import Sequence

from ticketfeed.protocol.budgets import ACCOUNT, BUDGETS, UNLIMITED, Allowance, headers_of
from ticketfeed.protocol.errors import APIRateLimitExceeded
from ticketfeed.protocol.model import Account
from ticketfeed.settings import Settings
from ticketfeed.storage.base import Store

__all__ = ["BUDGET_HEADERS", "RateLimits"]

# Where in its scope a request carries what its answer will say.
BUDGET_HEADERS = "ticketfeed.budget_headers"


class RateLimits:
    """The budgets of a server's settings, kept in the store that all its processes share."""

    def __init__(self, settings: Settings) -> None:
        limits = {name: getattr(settings, name) for name in BUDGETS}
        self._limited = {
            name: Allowance(name, limit, BUDGETS[name].period_seconds) for name, limit in limits.items() if limit
        }
        self._untouched = {
            name: (limit or UNLIMITED, limit or UNLIMITED, BUDGETS[name].period_seconds)
            for name, limit in limits.items()
        }
        self.is_limited = bool(self._limited)
        # What an answer says that spent nothing.
        self.unspent = headers_of({ACCOUNT: self._untouched[ACCOUNT]})

    async def spend(self, store: Store, account: Account, budgets: Sequence[str], now: int) -> dict[str, str]:
        """Spend one request of the account's budget and of `budgets`; the headers of its answer.

        Raises APIRateLimitExceeded.
        """
        names = (ACCOUNT, *budgets)
        limited = [self._limited[name] for name in names if name in self._limited]
        left = {name: self._untouched[name] for name in names}
        if not limited:
            return headers_of(left)
        spent = await store.spend(account, limited, now)
        left |= spent.left
        if spent.refused is not None:
            budget = BUDGETS[spent.refused]
            raise APIRateLimitExceeded(budget.refusal, spent.left[spent.refused][2], headers_of(left))
        return headers_of(left)
