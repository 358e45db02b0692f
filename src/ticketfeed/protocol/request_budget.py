"""How many requests a mirror may send to its source: a budget that all processes of a store share.

It is part of the account's mirror, and every process that sends a request counts it there first. What the source
says in its headers counts more than what is counted here: how many it allows, and how many others have used.
"""

import msgspec

__all__ = [
    "REQUESTS_PER_MINUTE",
    "RequestBudget",
    "RequestWindow",
    "count_sent",
    "learn_refusal",
    "learn_window",
    "request_limit",
    "take_request",
]

# What the source allows all incremental exports of an account together, unless its headers say otherwise.
REQUESTS_PER_MINUTE = 10
# A minute, and how much later a request may arrive than it was sent, twice: no minute of the source has one too many.
SPAN_SECONDS = 61.0
# A budget above this is not limited by waits: it is what a source without limits says.
LIMIT_MAX = 1000
# So many are counted where nothing limits them.
COUNTED_MAX = 100
# How long it is believed that others use the source as they did.
OTHERS_SECONDS = 300.0
# And so many more are left to them: those that they were refused cannot be seen.
OTHERS_MORE = 1
# Nobody is told to wait for longer: a clock may have been set.
CLOSED_SECONDS_MAX = 3600.0


class RequestBudget(msgspec.Struct, frozen=True, omit_defaults=True):
    """`sent`: when the last requests were sent, in Unix seconds, oldest first. `allowed`: requests a minute, as the
    source says; None if it does not. `others`: requests a minute that others send, believed until `others_until`.
    `closed_until`: the source asked to wait until then.
    """

    sent: tuple[float, ...] = ()
    allowed: int | None = None
    others: int = 0
    others_until: float = 0.0
    closed_until: float = 0.0


class RequestWindow(msgspec.Struct, frozen=True):
    """What a header of the source says of its own count: `Zendesk-RateLimit-*: total=10; remaining=9; resets=42`.

    `is_of_exports`: of all incremental exports together. Only that one tells how many may be sent, and what others use;
    any other that is spent has to be waited for.
    """

    total: int
    remaining: int
    resets_seconds: float
    is_of_exports: bool = True


def request_limit(budget: RequestBudget, wanted: int | None, now: float) -> int | None:
    """Requests a minute that may be sent; None for no limit.

    `wanted`: what an operator set; 0 for no limit of ours, None for what the source allows. The source's own figure
    holds where it is lower. What others use is left to them, but for one request a minute.
    """
    others = budget.others + OTHERS_MORE if budget.others and now < budget.others_until else 0
    limits = [wanted] if wanted else []
    if budget.allowed or others or wanted is None:
        limits.append((budget.allowed or REQUESTS_PER_MINUTE) - others)
    limit = min(limits, default=LIMIT_MAX + 1)
    return None if limit > LIMIT_MAX else max(1, limit)


def take_request(budget: RequestBudget, wanted: int | None, now: float) -> tuple[RequestBudget, float, str]:
    """Count a request at `now`; returns the budget after it, 0 and no reason.

    Where none may be sent, the budget as it is, for how many seconds to wait, and why.
    """
    closed = min(budget.closed_until - now, CLOSED_SECONDS_MAX)
    if closed > 0:
        return budget, closed, "the source's rate limit is spent"
    limit = request_limit(budget, wanted, now)
    sent = _lately(budget, now)
    reason, wait = f"the budget of {limit} requests a minute is spent", 0.0
    if limit is not None and len(sent) >= limit:
        wait = sent[-limit] + SPAN_SECONDS - now
    if limit is not None and sent and budget.others and now < budget.others_until:
        # Apart, so that what others use is seen all the time, and not only where a window begins.
        wait = max(wait, sent[-1] + SPAN_SECONDS / limit - now)
        reason = f"others send {budget.others} requests a minute, which leaves {limit}"
    if wait > 0:
        return budget, wait, reason
    return _with(budget, sent=(*sent, now)[-(limit or COUNTED_MAX) :]), 0.0, ""


def count_sent(budget: RequestBudget, now: float) -> int:
    """How many requests were sent in the last minute."""
    return sum(now - 60.0 < moment <= now for moment in budget.sent)


def learn_window(budget: RequestBudget, window: RequestWindow, now: float) -> RequestBudget:
    """The budget after an answer with such a header."""
    if window.remaining <= 0:
        budget = _with(budget, closed_until=max(budget.closed_until, now + min(window.resets_seconds, 60.0)))
    if not window.is_of_exports or window.total <= 0:
        return budget
    budget = _with(budget, allowed=window.total)
    if window.total > LIMIT_MAX:
        return budget
    # Two seconds more, as the source counts in whole seconds of its own clock.
    began = now - 60.0 + min(window.resets_seconds, 60.0) - 2.0
    ours = sum(moment >= began for moment in budget.sent)
    return _learn_others(budget, window.total - max(0, window.remaining) - ours, now)


def learn_refusal(budget: RequestBudget, wait_seconds: float, now: float) -> RequestBudget:
    """The budget after a 429: closed for as long as it says. One that was not earned was caused by others."""
    budget = _with(budget, closed_until=max(budget.closed_until, now + min(wait_seconds, CLOSED_SECONDS_MAX)))
    allowed = budget.allowed or REQUESTS_PER_MINUTE
    if allowed > LIMIT_MAX:
        return budget
    ours = count_sent(budget, now) - 1  # without the one that was refused
    return _learn_others(budget, allowed - ours, now)


def _learn_others(budget: RequestBudget, others: int, now: float) -> RequestBudget:
    """Believe the larger figure while it holds; a new one holds from now on."""
    if others <= 0:
        return budget
    believed = budget.others if now < budget.others_until else 0
    if others < believed:
        return budget
    return _with(budget, others=others, others_until=now + OTHERS_SECONDS)


def _lately(budget: RequestBudget, now: float) -> tuple[float, ...]:
    """The requests that still count; those of a clock that was set back do not."""
    return tuple(moment for moment in budget.sent if now - SPAN_SECONDS < moment <= now + 1.0)


def _with(budget: RequestBudget, **changes: object) -> RequestBudget:
    return msgspec.structs.replace(budget, **changes)
