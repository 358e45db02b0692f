"""Rate limits: how many requests of a kind an account has in a window of time, and what the headers say of it.

A window begins with the first request in it. A request spends of every budget that it falls under, or, when one of
them is used up, of none: what is refused costs nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "ACCOUNT",
    "RATE_LIMITS",
    "UNLIMITED",
    "RateLimit",
    "RateLimitKind",
    "Spent",
    "Window",
    "headers_of",
    "spend",
]

# What an unlimited budget shows; clients read the figures to slow down, so they must find some.
UNLIMITED = 100_000


class RateLimitKind(NamedTuple):
    """One kind of requests. `header`: the end of the header's name that tells of it; the account's has its own."""

    period_seconds: int
    header: str | None
    refusal: str


_EXPORTS = "Number of allowed incremental export API requests per minute exceeded"
_REQUESTS = "Number of allowed API requests per minute exceeded"
ACCOUNT = "account_requests"

# By the name of the setting that limits it.
RATE_LIMITS: dict[str, RateLimitKind] = {
    ACCOUNT: RateLimitKind(60, None, _REQUESTS),
    "incremental_exports": RateLimitKind(60, "incremental-exports", _EXPORTS),
    "incremental_exports_cursor": RateLimitKind(60, "incremental-exports-cursor", _EXPORTS),
    "incremental_samples": RateLimitKind(1200, "incremental-exports-sample", _EXPORTS),
    "deleted_tickets": RateLimitKind(60, "deleted-tickets", _REQUESTS),
    "ticket_pages": RateLimitKind(60, "tickets-index", _REQUESTS),
}


class RateLimit(NamedTuple):
    """What a request spends of: `limit` requests in `period_seconds`."""

    name: str
    limit: int
    period_seconds: int


class Window(NamedTuple):
    """The running window of one budget: when it began, in Unix seconds, and how much of it is used."""

    started: int
    used: int


class Spent(NamedTuple):
    """How a request went. `refused`: the budget that was used up, or None. `left`: (limit, remaining, resets in
    seconds) of each budget, after it."""

    refused: str | None
    left: dict[str, tuple[int, int, int]]


def spend(windows: Mapping[str, Window], limits: Sequence[RateLimit], now: int) -> tuple[dict[str, Window], Spent]:
    """One request at `now`: the windows after it, and how it went."""
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
    return after, Spent(refused, left)


def headers_of(left: Mapping[str, tuple[int, int, int]]) -> dict[str, str]:
    """What every answer says of these budgets."""
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
