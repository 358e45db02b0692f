"""The end of API tokens and passwords: which of them are accepted below `/api/v2`, by a rule and the account's clock.

Zendesk's dates: passwords ended on 2026-01-22, except those of end users; since 2026-07-28 an API token that is unused
for 30 days is deactivated, and deleted 60 days later; since 2026-10-27 there are no new ones; on 2027-04-30 all end.
"""

from typing import Literal

from ticketfeed.protocol.model import Identity

__all__ = ["ApiTokenRule", "accepts_api_tokens", "creates_api_tokens", "is_accepted", "is_active", "is_forgotten"]

ApiTokenRule = Literal["allowed", "no-new", "off", "by-date"]

PASSWORDS_END = 1_769_040_000
IDLENESS_BEGINS = 1_785_196_800
NEW_TOKENS_END = 1_793_059_200
TOKENS_END = 1_809_043_200
IDLE_SECONDS_MAX = 30 * 86400
FORGOTTEN_SECONDS = 60 * 86400


def accepts_api_tokens(rule: ApiTokenRule, now: int) -> bool:
    """Whether API tokens are accepted at all."""
    return rule != "off" and not (rule == "by-date" and now >= TOKENS_END)


def creates_api_tokens(rule: ApiTokenRule, now: int) -> bool:
    """Whether the API creates new API tokens."""
    return rule == "allowed" or (rule == "by-date" and now < NEW_TOKENS_END)


def is_active(rule: ApiTokenRule, used_at: int | None, now: int) -> bool:
    """Whether an API token has been used lately. `used_at`: None if that is not known."""
    return not _is_idle(rule, used_at, now, IDLE_SECONDS_MAX)


def is_forgotten(rule: ApiTokenRule, used_at: int | None, now: int) -> bool:
    """Whether an API token was inactive for so long that it is deleted."""
    return _is_idle(rule, used_at, now, IDLE_SECONDS_MAX + FORGOTTEN_SECONDS)


def _is_idle(rule: ApiTokenRule, used_at: int | None, now: int, seconds: int) -> bool:
    return rule == "by-date" and now >= IDLENESS_BEGINS and used_at is not None and now - used_at >= seconds


def is_accepted(rule: ApiTokenRule, identity: Identity, now: int) -> bool:
    """Whether the API accepts the credential that says who is asking."""
    if identity.kind == "api_token":
        return accepts_api_tokens(rule, now) and is_active(rule, identity.used_at, now)
    if identity.kind == "password":
        return rule != "by-date" or now < PASSWORDS_END or identity.role == "end-user"
    return True
