"""Budgets: a window begins with its first request, holds as many as its limit, and a refused one costs nothing."""

from hypothesis import given
from hypothesis import strategies as st

from ticketfeed.protocol.rate_limits import RATE_LIMITS, RateLimit, Window, count_request, headers_of
from ticketfeed.settings import PROFILES, RULES

NOON = 1_700_000_000
TEN = RateLimit("exports", 10, 60)


@given(st.lists(st.integers(0, 200), max_size=200), st.integers(1, 12))
def test_never_more_than_the_limit_in_a_window(steps: list[int], limit: int) -> None:
    """However requests are spread, those allowed since a window began are at most the limit, and a fresh window
    allows again."""
    windows: dict[str, Window] = {}
    allowed: list[int] = []
    now = NOON
    for step in steps:
        now += step
        after, result = count_request(windows, [RateLimit("a", limit, 60)], now)
        if result.refused is None:
            windows = after
            allowed.append(now)
            assert after["a"].started <= now < after["a"].started + 60
            assert sum(moment >= after["a"].started for moment in allowed) == after["a"].used <= limit
        else:
            assert windows["a"].used == limit
            assert now < windows["a"].started + 60


def test_a_refused_request_spends_nothing() -> None:
    """With one budget used up, none of the others is touched."""
    windows = {"exports": Window(NOON, 10), "all": Window(NOON, 3)}
    after, result = count_request(windows, [RateLimit("all", 100, 60), TEN], NOON + 5)
    assert result.refused == "exports"
    assert after == windows
    assert result.left == {"all": (100, 97, 55), "exports": (10, 0, 55)}


def test_the_first_answer_of_a_window() -> None:
    """A fresh window has its whole period before it: total=10; remaining=9; resets=60."""
    _, result = count_request({}, [TEN], NOON)
    assert result.left == {"exports": (10, 9, 60)}
    assert headers_of({"incremental_exports": (10, 9, 60)}) == {
        "zendesk-ratelimit-incremental-exports": "total=10; remaining=9; resets=60"
    }


def test_a_window_ends_with_its_period() -> None:
    """Its last second counts to it; the one after begins the next."""
    windows = {"exports": Window(NOON, 10)}
    assert count_request(windows, [TEN], NOON + 59)[1] == ("exports", {"exports": (10, 0, 1)})
    assert count_request(windows, [TEN], NOON + 60)[1] == (None, {"exports": (10, 9, 60)})


def test_a_clock_that_steps_back_opens_a_window() -> None:
    """A window of the future is none: after a step back nobody is locked out."""
    _, result = count_request({"exports": Window(NOON, 10)}, [TEN], NOON - 1)
    assert result.refused is None


def test_every_budget_is_a_rule() -> None:
    """What is limited can be set, is unlimited in the open profile and limited in the other."""
    assert set(RATE_LIMITS) == {name for name, rule in RULES.items() if "minute" in rule.unit}
    assert all(PROFILES["open"][name] == 0 < PROFILES["zendesk"][name] for name in RATE_LIMITS)
