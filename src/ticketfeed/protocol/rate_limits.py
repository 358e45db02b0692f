"""Rate limits: the number of requests of a kind that an account may make in a window of time, and their headers.

A window starts with the first request in it. A request counts against every limit that applies to it, or, if one of
them is exceeded, against none: a refused request is not counted.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "ACCOUNT",
    "RATE_LIMITS",
    "UNLIMITED",
    "RateLimit",
    "RateLimitKind",
    "RateLimitResult",
    "Window",
    "count_request",
    "headers_of",
]

# Reported where there is no limit: clients slow down by these figures, so there must be some.
UNLIMITED = 100_000


class RateLimitKind(NamedTuple):
    """A kind of requests. `header`: the suffix of its header's name; None for the account's limit, which has its own
    headers. `refusal`: the description of a 429.
    """

    period_seconds: int
    header: str | None
    refusal: str


_EXPORTS = "Number of allowed incremental export API requests per minute exceeded"
_REQUESTS = "Number of allowed API requests per minute exceeded"
ACCOUNT = "account_requests"

# By the name of the rule that sets the limit.
RATE_LIMITS: dict[str, RateLimitKind] = {
    ACCOUNT: RateLimitKind(60, None, _REQUESTS),
    "incremental_exports": RateLimitKind(60, "incremental-exports", _EXPORTS),
    "incremental_exports_cursor": RateLimitKind(60, "incremental-exports-cursor", _EXPORTS),
    "incremental_samples": RateLimitKind(1200, "incremental-exports-sample", _EXPORTS),
    "deleted_tickets": RateLimitKind(60, "deleted-tickets", _REQUESTS),
    "ticket_pages": RateLimitKind(60, "tickets-index", _REQUESTS),
}


class RateLimit(NamedTuple):
    """`limit` requests in `period_seconds`."""

    name: str
    limit: int
    period_seconds: int


class Window(NamedTuple):
    """The current window of a limit: its start in Unix seconds, and the requests counted in it."""

    started: int
    used: int


class RateLimitResult(NamedTuple):
    """Whether a request was counted. `refused`: the name of the exceeded limit, or None. `left`: (limit, remaining,
    seconds until reset) of each limit after the request.
    """

    refused: str | None
    left: dict[str, tuple[int, int, int]]


def count_request(
    windows: Mapping[str, Window], limits: Sequence[RateLimit], now: int
) -> tuple[dict[str, Window], RateLimitResult]:
    """Count one request at `now`; returns the windows after it, and the result."""
    after: dict[str, Window] = {}
    for name, _, period in limits:
        window = windows.get(name)
        is_running = window is not None and window.started <= now < window.started + period
        after[name] = window if window is not None and is_running else Window(now, 0)
    refused = next((name for name, limit, _ in limits if after[name].used >= limit), None)
    if refused is None:
        after = {name: Window(window.started, window.used + 1) for name, window in after.items()}
    left = {
        name: (limit, max(0, limit - after[name].used), after[name].started + period - now)
        for name, limit, period in limits
    }
    return after, RateLimitResult(refused, left)


def headers_of(left: Mapping[str, tuple[int, int, int]]) -> dict[str, str]:
    """The rate limit headers of a response."""
    headers: dict[str, str] = {}
    for name, (limit, remaining, resets) in left.items():
        header = RATE_LIMITS[name].header
        if header is None:
            headers |= {
                "x-rate-limit": str(limit),
                "x-rate-limit-remaining": str(remaining),
                "ratelimit-limit": str(limit),
                "ratelimit-remaining": str(remaining),
                "ratelimit-reset": str(resets),
            }
        else:
            headers[f"zendesk-ratelimit-{header}"] = f"total={limit}; remaining={remaining}; resets={resets}"
    return headers
