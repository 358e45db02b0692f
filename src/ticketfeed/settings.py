"""What a server can be told, as plain frozen values: profiles are data, and every rule in them can be set alone."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["PROFILES", "ProfileName", "Settings"]

ProfileName = Literal["open", "zendesk"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The rules of one server.

    `settle_seconds`: how far behind now a page ends. `start_time_margin_seconds`: how old a start_time must be;
    0 allows any. `public_url`: scheme and host that `after_url` carries instead of the request's own; `{account}`
    in it stands for the account's name.
    """

    profile: ProfileName = "open"
    settle_seconds: int = 0
    start_time_margin_seconds: int = 0
    public_url: str | None = None

    @classmethod
    def of_profile(cls, profile: ProfileName, **rules: Any) -> "Settings":
        """The profile's rules, with those of `rules` that are not None in their place."""
        chosen = {name: value for name, value in rules.items() if value is not None}
        return cls(profile=profile, **{**PROFILES[profile], **chosen})


PROFILES: dict[ProfileName, dict[str, int]] = {
    # For serving your own data: a change can be read about a second after its commit.
    "open": {"settle_seconds": 0, "start_time_margin_seconds": 0},
    # For testing a connector against the rules it will meet: the last minute is withheld.
    "zendesk": {"settle_seconds": 60, "start_time_margin_seconds": 60},
}
