"""The budget of requests that the processes of a store share."""

import random

import pytest

from ticketfeed.protocol.rate_limits import RateLimit, Window, count_request
from ticketfeed.protocol.request_budget import (
    OTHERS_SECONDS,
    RequestBudget,
    RequestWindow,
    count_sent,
    learn_refusal,
    learn_window,
    request_limit,
    take_request,
)

NOW = 1_800_000_000.0


def spent(count: int, since: float = NOW) -> RequestBudget:
    return RequestBudget(sent=tuple(since for _ in range(count)))


@pytest.mark.parametrize(
    ("allowed", "wanted", "limit"),
    [
        (None, None, 10),
        (None, 5, 5),
        (None, 0, None),
        (30, None, 30),
        (10, 30, 10),
        (30, 10, 10),
        (10, 0, 10),
        (100_000, None, None),
        (100_000, 10, 10),
    ],
)
def test_the_limit(allowed: int | None, wanted: int | None, limit: int | None) -> None:
    """What an operator set, but never more than the source's own figure, which holds where nothing was set."""
    assert request_limit(RequestBudget(allowed=allowed), wanted, NOW) == limit


def test_a_spent_budget_says_when_the_next_request_fits() -> None:
    """Ten requests are counted at once; the eleventh waits until the first is a minute old, and it is said why."""
    budget = RequestBudget()
    for _ in range(10):
        budget, seconds, reason = take_request(budget, None, NOW)
        assert (seconds, reason) == (0.0, "")
    same, seconds, reason = take_request(budget, None, NOW + 20)
    assert same is budget
    assert (seconds, reason) == (41.0, "the budget of 10 requests a minute is spent")
    assert take_request(budget, 11, NOW + 20)[1] == 0.0
    assert take_request(budget, None, NOW + 61)[1] == 0.0
    assert take_request(budget, None, NOW - 86_400)[1] == 0.0  # a clock that was set back keeps nobody waiting
    assert (count_sent(budget, NOW + 59), count_sent(budget, NOW + 60)) == (10, 0)


@pytest.mark.parametrize("seed", range(20))
def test_no_request_too_many(seed: int) -> None:
    """A source that counts in windows, wherever they begin and however late requests arrive, refuses none; and while
    there is always something to ask for, 95 % of its budget is used."""
    chance = random.Random(seed)
    budget, now, windows, limit = (
        RequestBudget(),
        NOW + chance.random() * 60,
        {"x": Window(0, 0)},
        RateLimit("x", 10, 60),
    )
    began, sent = now, 0
    while now < began + 3600:
        budget, seconds, _ = take_request(budget, None, now)
        if seconds:
            now += seconds
            continue
        arrived = now + chance.random() * 0.9
        windows, result = count_request(windows, [limit], int(arrived))
        assert result.refused is None
        sent, now = sent + 1, arrived + chance.random()
    assert sent >= 0.95 * 600


def test_what_the_source_says_counts_more() -> None:
    """Its total replaces the default, nothing left closes the budget until its window ends, a 429 for as long as it
    says."""
    budget = learn_window(spent(1), RequestWindow(30, 29, 60), NOW)
    assert (budget.allowed, budget.others) == (30, 0)
    budget = learn_window(spent(10), RequestWindow(10, 0, 17), NOW)
    assert take_request(budget, None, NOW) == (budget, 17.0, "the source's rate limit is spent")
    budget = learn_refusal(spent(11), 93.0, NOW)
    assert take_request(budget, 0, NOW + 3)[1] == 90.0
    assert learn_window(RequestBudget(), RequestWindow(20, 19, 60, is_of_exports=False), NOW).allowed is None


def test_others_are_noticed_and_left_what_they_use() -> None:
    """Requests that the source counts and nobody here sent are others', and so is a 429 that was not earned. They are
    left one more, and ours are sent apart; some minutes later they are forgotten."""
    budget = learn_window(spent(3, NOW - 10), RequestWindow(10, 3, 40), NOW)
    assert budget.others == 4
    assert (request_limit(budget, None, NOW + 1), request_limit(budget, 4, NOW + 1)) == (5, 4)
    budget, seconds, _ = take_request(budget, None, NOW + 3)
    assert seconds == 0
    _, seconds, reason = take_request(budget, None, NOW + 3)
    assert (round(seconds, 1), reason) == (12.2, "others send 4 requests a minute, which leaves 5")
    assert request_limit(budget, None, NOW + OTHERS_SECONDS) == 10
    assert learn_refusal(spent(11), 5, NOW).others == 0
    refused = learn_refusal(spent(3), 5, NOW)
    assert refused.others == 8
    assert request_limit(refused, None, NOW) == 1
    assert request_limit(learn_refusal(spent(1), 5, NOW), None, NOW) == 1  # never nothing
