"""The end of API tokens: which credential is accepted at what time, under which rule."""

from datetime import datetime

import pytest

from ticketfeed.protocol.api_tokens import (
    ApiTokenRule,
    accepts_api_tokens,
    creates_api_tokens,
    is_accepted,
    is_active,
    is_forgotten,
)
from ticketfeed.protocol.model import Identity

DAY = 86400


def at(date: str) -> int:
    return int(datetime.fromisoformat(f"{date}T00:00:00+00:00").timestamp())


@pytest.mark.parametrize(
    ("rule", "date", "allowed", "created"),
    [
        ("allowed", "2030-01-01", True, True),
        ("no-new", "2020-01-01", True, False),
        ("off", "2020-01-01", False, False),
        ("by-date", "2026-10-26", True, True),
        ("by-date", "2026-10-27", True, False),
        ("by-date", "2027-04-29", True, False),
        ("by-date", "2027-04-30", False, False),
    ],
)
def test_dates(rule: ApiTokenRule, date: str, allowed: bool, created: bool) -> None:
    """Each rule says whether API tokens are accepted, and whether new ones are created."""
    now = at(date)
    assert (accepts_api_tokens(rule, now), creates_api_tokens(rule, now)) == (allowed, created)
    assert is_accepted(rule, Identity(1, "", "admin", 1, "api_token", now), now) == allowed


@pytest.mark.parametrize(
    ("rule", "used", "days", "active", "forgotten"),
    [
        ("by-date", "2026-09-01", 29, True, False),
        ("by-date", "2026-09-01", 30, False, False),
        ("by-date", "2026-09-01", 89, False, False),
        ("by-date", "2026-09-01", 90, False, True),
        ("by-date", "2026-01-01", 200, True, False),  # before 2026-07-28
        ("by-date", "2026-01-01", 208, False, True),
        ("by-date", None, 400, True, False),
        ("allowed", "2026-09-01", 400, True, False),
        ("no-new", "2026-09-01", 400, True, False),
    ],
)
def test_idle_tokens(rule: ApiTokenRule, used: str | None, days: int, active: bool, forgotten: bool) -> None:
    """An API token that is not used for thirty days sleeps, and is gone sixty days later, where dates count."""
    used_at = None if used is None else at(used)
    now = at(used or "2026-09-01") + days * DAY
    assert (is_active(rule, used_at, now), is_forgotten(rule, used_at, now)) == (active, forgotten)
    identity = Identity(1, "", "admin", 1, "api_token", used_at)
    assert is_accepted(rule, identity, now) == (active and accepts_api_tokens(rule, now))


@pytest.mark.parametrize(
    ("rule", "date", "role", "is_right"),
    [
        ("by-date", "2026-01-21", "admin", True),
        ("by-date", "2026-01-22", "admin", False),
        ("by-date", "2026-01-22", "agent", False),
        ("by-date", "2030-01-01", "end-user", True),
        ("off", "2030-01-01", "admin", True),
    ],
)
def test_passwords(rule: ApiTokenRule, date: str, role: str, is_right: bool) -> None:
    """Passwords ended before API tokens, except those of end users."""
    assert is_accepted(rule, Identity(1, "", role, 1, "password"), at(date)) == is_right


def test_other_credentials() -> None:
    """Access tokens, and the local user, are accepted whatever the rule."""
    for kind in ("access_token", ""):
        assert is_accepted("off", Identity(1, "", "admin", 1, kind), at("2030-01-01"))  # type: ignore[arg-type]
