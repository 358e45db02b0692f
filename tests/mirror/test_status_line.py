"""The line that a terminal shows of a mirror."""

from typing import Any

import pytest

from ticketfeed.cli.mirror_progress import status_line

VALUES: dict[str, Any] = {
    "source": "https://acme.zendesk.com",
    "state": "copying",
    "reason": "the budget of 10 requests a minute is spent",
    "copied": 250_700,
    "applied": 250_699,
    "behind_seconds": 7804 * 3600,
    "behind_changes": 750_000,
    "requests_per_minute": 10,
    "requests_used": 10,
    "eta_seconds": 4500,
    "last_error": None,
    "verified_at": None,
    "differences": None,
}


@pytest.mark.parametrize(
    ("changes", "wait", "line"),
    [
        (
            {},
            3.2,
            "copying 25%, left 1 h 15 min; behind 325 days, 750,000 changes; 10/10 requests a minute; copied 250,700, "
            "applied 250,699; waiting 3 s: the budget of 10 requests a minute is spent",
        ),
        (
            {"state": "following", "reason": None, "behind_seconds": 7, "behind_changes": 0, "eta_seconds": 0},
            0,
            "following; behind 7 s; 10/10 requests a minute; copied 250,700, applied 250,699",
        ),
        (
            {"state": "stopped", "reason": "the process has ended", "behind_seconds": None, "requests_per_minute": 0}
            | {"eta_seconds": None, "requests_used": 0},
            0,
            "stopped; 0/unlimited requests a minute; copied 250,700, applied 250,699; the process has ended",
        ),
    ],
)
def test_status_line(changes: dict[str, Any], wait: float, line: str) -> None:
    """State, share, time left, behind, budget, counts and the reason for waiting, as far as they are known."""
    assert status_line({**VALUES, **changes}, 1_000_000, wait) == line
