"""The rate limiter: counts requests in the store and makes the rate limit headers.

Without limits, no query is made.
"""

from collections.abc import Sequence
from functools import cache

from ticketfeed.protocol.errors import APIRateLimitExceeded
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rate_limits import ACCOUNT, RATE_LIMITS, UNLIMITED, RateLimit, headers_of
from ticketfeed.settings import Settings
from ticketfeed.storage.sidecar_contract import SidecarStore

__all__ = ["RATE_LIMIT_HEADERS", "RateLimiter"]

# The key in a request's scope under which the headers of its response are stored.
RATE_LIMIT_HEADERS = "ticketfeed.rate_limit_headers"


class RateLimiter:
    """The rate limits of a server's settings, counted in the store, which all its processes share."""

    def __init__(self, settings: Settings) -> None:
        limits = {name: getattr(settings, name) for name in RATE_LIMITS}
        self._limited = {
            name: RateLimit(name, limit, RATE_LIMITS[name].period_seconds) for name, limit in limits.items() if limit
        }
        self._full = {
            name: (limit or UNLIMITED, limit or UNLIMITED, RATE_LIMITS[name].period_seconds)
            for name, limit in limits.items()
        }
        self.is_limited = bool(self._limited)
        # The headers of a response where nothing is limited: always the same.
        self._unlimited_headers = cache(lambda names: headers_of({n: self._full[n] for n in (ACCOUNT, *names)}))
        # The headers of a response to a request that was not counted.
        self.full_headers = headers_of({ACCOUNT: self._full[ACCOUNT]})

    async def count_request(
        self, store: SidecarStore, account: Account, limit_names: Sequence[str], now: int
    ) -> dict[str, str]:
        """Count one request against the account's limit and those named; returns the headers of its response.

        Raises APIRateLimitExceeded.
        """
        if not self.is_limited:
            return self._unlimited_headers(tuple(limit_names))
        names = (ACCOUNT, *limit_names)
        limited = [self._limited[name] for name in names if name in self._limited]
        left = {name: self._full[name] for name in names}
        if not limited:
            return headers_of(left)
        result = await store.count_request(account, limited, now)
        left |= result.left
        if result.refused is not None:
            kind = RATE_LIMITS[result.refused]
            raise APIRateLimitExceeded(kind.refusal, result.left[result.refused][2], headers_of(left))
        return headers_of(left)
