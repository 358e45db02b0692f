"""What a server can be told, as plain frozen values: profiles are data, and every rule in them can be set alone."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

__all__ = ["DEFAULT_KEPT_PAGES_MIB", "PROFILES", "RULES", "ProfileName", "Rule", "Settings"]

ProfileName = Literal["open", "zendesk"]

DEFAULT_KEPT_PAGES_MIB = 2048


class Rule(NamedTuple):
    """One rule of a profile, a whole number: its value in each, its unit, what it does."""

    open: int
    zendesk: int
    unit: str
    help: str


# `open` is for serving your own data: a change can be read about a second after its commit, as often as wanted.
# `zendesk` is for testing a connector against the rules that it will meet. A budget of 0 never runs out.
RULES: dict[str, Rule] = {
    "settle_seconds": Rule(0, 60, "seconds", "How far behind now a page ends."),
    "start_time_margin_seconds": Rule(0, 60, "seconds", "How old a start_time must be; 0 allows any."),
    "account_requests": Rule(0, 700, "a minute", "All requests to an account together."),
    "incremental_exports": Rule(0, 10, "a minute", "All incremental exports of an account but the next two."),
    "incremental_exports_cursor": Rule(0, 20, "a minute", "The export of users by cursor."),
    "incremental_samples": Rule(0, 10, "in 20 minutes", "The samples of the exports."),
    "deleted_tickets": Rule(0, 10, "a minute", "The list of deleted tickets."),
    "close_solved_days": Rule(0, 0, "days", "Solved tickets are closed after this long; 0 never."),
    "archive_days": Rule(0, 0, "days", "Closed tickets are no longer listed after this long; 0 never."),
    "scrub_deleted_days": Rule(0, 0, "days", "Deleted tickets lose their content after this long; 0 never."),
    "ticket_pages": Rule(0, 50, "a minute", "The list of tickets, from page 501 on."),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules of one server; see RULES for each.

    `public_url`: scheme and host that `after_url` carries instead of the request's own; `{account}` in it stands for
    the account's name. `kept_pages_mib`: the disk that a process may use to keep pages as they were sent. `page`:
    whether people can look in with a browser. `metrics_token`: who has it is told the metrics of all accounts.
    `telemetry`: whether traces are sent to where OpenTelemetry's own variables say.
    """

    profile: ProfileName = "open"
    public_url: str | None = None
    kept_pages_mib: int = DEFAULT_KEPT_PAGES_MIB
    page: bool = True
    metrics_token: str | None = field(default=None, repr=False)
    telemetry: bool = False
    settle_seconds: int = 0
    start_time_margin_seconds: int = 0
    account_requests: int = 0
    incremental_exports: int = 0
    incremental_exports_cursor: int = 0
    incremental_samples: int = 0
    deleted_tickets: int = 0
    ticket_pages: int = 0
    close_solved_days: int = 0
    archive_days: int = 0
    scrub_deleted_days: int = 0

    @classmethod
    def of_profile(cls, profile: ProfileName, **rules: Any) -> "Settings":
        """The profile's rules, with those of `rules` that are not None in their place."""
        chosen = {name: value for name, value in rules.items() if value is not None}
        return cls(profile=profile, **{**PROFILES[profile], **chosen})


PROFILES: dict[ProfileName, dict[str, int]] = {
    "open": {name: rule.open for name, rule in RULES.items()},
    "zendesk": {name: rule.zendesk for name, rule in RULES.items()},
}
_OTHERS = {"profile", "public_url", "kept_pages_mib", "page", "metrics_token", "telemetry"}
assert {each.name for each in fields(Settings)} == _OTHERS | RULES.keys()
