"""What a request may still spend, and what its answer says of it. Where nothing is limited, no store is asked."""

from collections.abc import Sequence

from ticketfeed.protocol.errors import APIRateLimitExceeded
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import ACCOUNT, RATE_LIMITS, UNLIMITED, RateLimit, headers_of
from ticketfeed.settings import Settings
from ticketfeed.storage.contract import Store

__all__ = ["RATE_LIMIT_HEADERS", "RateLimiter"]

# Where in its scope a request carries what its answer will say.
RATE_LIMIT_HEADERS = "ticketfeed.budget_headers"


class RateLimiter:
    """The budgets of a server's settings, kept in the store that all its processes share."""

    def __init__(self, settings: Settings) -> None:
        limits = {name: getattr(settings, name) for name in RATE_LIMITS}
        self._limited = {
            name: RateLimit(name, limit, RATE_LIMITS[name].period_seconds) for name, limit in limits.items() if limit
        }
        self._untouched = {
            name: (limit or UNLIMITED, limit or UNLIMITED, RATE_LIMITS[name].period_seconds)
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
            budget = RATE_LIMITS[spent.refused]
            raise APIRateLimitExceeded(budget.refusal, spent.left[spent.refused][2], headers_of(left))
        return headers_of(left)
