"""How long to wait: Retry-After in all its forms, backoff with jitter, and a budget of requests a minute."""

from collections import deque
from collections.abc import Callable, Mapping

from ticketfeed.protocol.request_budget import RequestWindow
from ticketfeed.protocol.retry_after import parse_retry_after

__all__ = ["BACKOFF_SECONDS_MAX", "Pace", "backoff", "rate_windows", "retry_after", "window_reset"]

BACKOFF_SECONDS_MAX = 60.0
MINUTE = 60.0
EXPORTS_HEADER = "zendesk-ratelimit-incremental-exports"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by `Retry-After`, a number or a date; None where it is missing or makes no sense.

    At least one second: a source that sends 0, or a time in the past, must not cause a tight loop.
    """
    seconds = parse_retry_after(headers.get("retry-after", ""), now)
    return None if seconds is None else max(1.0, seconds)


def backoff(attempt: int, random: Callable[[], float]) -> float:
    """Seconds before attempt 1, 2, ...: doubled each time, up to a minute; half of it left to chance, so that many
    clients that failed together do not come back together."""
    whole = min(BACKOFF_SECONDS_MAX, 2.0 ** min(attempt - 1, 10))
    return whole * (0.5 + 0.5 * random())


def rate_windows(headers: Mapping[str, str]) -> list[RequestWindow]:
    """What the headers of an answer say of the source's own counts: `Zendesk-RateLimit-incremental-exports: total=10;
    remaining=0; resets=42` and others like it, and those of the whole account."""
    windows = []
    for name, text in headers.items():
        if name.startswith("zendesk-ratelimit-"):
            parts = dict(part.strip().partition("=")[::2] for part in text.split(";"))
            total, remaining, resets = (_number(parts.get(key)) for key in ("total", "remaining", "resets"))
            if remaining is not None and resets is not None:
                windows.append(RequestWindow(total or 0, remaining, min(resets, MINUTE), name == EXPORTS_HEADER))
    total, remaining = _number(headers.get("x-rate-limit")), _number(headers.get("x-rate-limit-remaining"))
    if total is not None and remaining is not None:
        resets = _number(headers.get("ratelimit-reset"))
        seconds = MINUTE if resets is None else min(resets, MINUTE)
        windows.append(RequestWindow(total, remaining, seconds, is_of_exports=False))
    return windows


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else None


def window_reset(headers: Mapping[str, str]) -> float:
    """Seconds until the endpoint's budget is renewed, where a header shows that nothing of it is left; otherwise 0."""
    spent = [window.resets_seconds for window in rate_windows(headers) if window.remaining == 0]
    return max(spent, default=0.0)


class Pace:
    """A budget of requests in any span of a minute; None for none."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self._sent: deque[float] | None = deque(maxlen=requests_per_minute) if requests_per_minute else None

    def wait_seconds(self, now: float) -> float:
        """How long until another request fits. Never more than a minute, whatever the clock does."""
        sent = self._sent
        if sent is None or len(sent) < (sent.maxlen or 0):
            return 0.0
        return min(MINUTE, max(0.0, sent[0] + MINUTE - now))

    def sent(self, now: float) -> None:
        if self._sent is not None:
            self._sent.append(now)
