"""Every setting once: name, type, default, bounds, aliases, description, and its value in each profile.

A row is a field of `Settings`; the options of the command line, the environment variables, the keys of ticketfeed.toml
and docs/reference/settings.md are made from it. `cli/resolver.py` decides which value wins. A setting that differs
between profiles is called a rule, and can be set with `--rule NAME=VALUE`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from ticketfeed.protocol.api_tokens import ApiTokenRule
from ticketfeed.protocol.credentials import TOKEN_CHARS_MIN
from ticketfeed.protocol.errors import BadInput

__all__ = [
    "PROFILES",
    "RULES",
    "SESSION_KEY_CHARS_MIN",
    "SETTINGS",
    "ProfileName",
    "Setting",
    "Settings",
    "parse_value",
]

# `open` is for serving your own data: a change is readable within about a second, without rate limits.
# `zendesk` is for testing a connector against the rules that it will meet.
ProfileName = Literal["open", "zendesk"]

SESSION_KEY_CHARS_MIN = 32
# Scheme, host, port, and the path prefix under which a reverse proxy publishes the server.
_PUBLIC_URL = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE
)
_INTEGER = re.compile(r"-?[0-9]{1,9}")  # so that a product with seconds in a day fits into 64 bits
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


class Setting(NamedTuple):
    """One row. `kind`: the type of the value, or of each item if `is_list`. `choices`: the values that are allowed.

    `aliases`: former names, still accepted everywhere. `has_option`: false for a rule that only `--rule` sets.
    `problem`: says what is wrong with a value, or nothing.
    """

    name: str
    kind: type
    is_list: bool
    choices: tuple[str, ...]
    default: Any
    help: str
    minimum: int | None
    maximum: int | None
    aliases: tuple[str, ...]
    profiles: Mapping[ProfileName, Any]
    unit: str
    has_option: bool
    is_secret: bool
    problem: Callable[[str], str | None] | None

    @property
    def option(self) -> str:
        return option_name(self.name)

    @property
    def variable(self) -> str:
        return variable_name(self.name)

    @property
    def is_rule(self) -> bool:
        return bool(self.profiles)


def option_name(name: str) -> str:
    """The option of the command line that sets a setting."""
    return f"--{name.replace('_', '-')}"


def variable_name(name: str) -> str:
    """The environment variable that sets a setting."""
    return f"TICKETFEED_{name.upper()}"


def _setting(
    default: Any,
    help: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    aliases: tuple[str, ...] = (),
    profiles: Mapping[ProfileName, Any] | None = None,
    unit: str = "",
    has_option: bool = True,
    is_secret: bool = False,
    problem: Callable[[str], str | None] | None = None,
) -> Any:
    row = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "aliases": aliases,
        "profiles": profiles or {},
        "unit": unit,
        "has_option": has_option,
        "is_secret": is_secret,
        "problem": problem,
    }
    return field(default=default, repr=not is_secret, metadata=row)


def _rule(open: Any, zendesk: Any, unit: str, help: str, *, has_option: bool = False) -> Any:
    """A setting whose value depends on the profile. 0 disables a rate limit."""
    profiles: dict[ProfileName, Any] = {"open": open, "zendesk": zendesk}
    return _setting(open, help, profiles=profiles, unit=unit, has_option=has_option, minimum=0)


def _length_problem(chars_min: int) -> Callable[[str], str | None]:
    return lambda secret: f"too short: use {chars_min} characters or more" if len(secret) < chars_min else None


def _url_problem(url: str) -> str | None:
    is_valid = _PUBLIC_URL.fullmatch(url.replace("{account}", "account"))
    return None if is_valid else f"{url!r} is not a URL such as https://tickets.example.com"


def _network_problem(text: str) -> str | None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return f"{text!r} is not an address or network such as 10.0.0.0/8"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A value for every setting. The defaults are those of the profile `open`.

    `create_app` reads the settings from `profile` on. Those before it concern the command line: where the store is, and
    which address to serve.
    """

    store: str = _setting("sqlite:///ticketfeed.db", "Store URL: sqlite:///FILE, postgresql://..., or memory:")
    read_store: tuple[str, ...] = _setting(
        (), "URL of a PostgreSQL replica to read pages from. Repeatable; separated by spaces in the environment."
    )
    read_connections: int = _setting(
        24,
        "Connections of one process to each PostgreSQL server for reads; a third of them are for quick ones.",
        minimum=2,
        maximum=1000,
    )
    write_connections: int = _setting(
        16,
        "Connections of one process to the PostgreSQL primary for writes; half of them are for quick ones.",
        minimum=2,
        maximum=1000,
    )
    prepared_statements: Literal["auto", "always", "never"] = _setting(
        "auto",
        "Prepare statements on the PostgreSQL server. auto: those of writes, unless there is a pooler in between. "
        "always: all, which saves time with each page; not behind a pooler in transaction mode that cannot.",
    )
    account: str | None = _setting(
        None, "Account name. Default: the default account of the store; demo in an empty store."
    )
    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 picks a free one.", minimum=0, maximum=65535)
    workers: int = _setting(1, "Number of server processes.", minimum=1, maximum=1000)
    connections: int = _setting(
        4000,
        "Open connections of each process. Beyond, the oldest one without credentials is closed for a new one.",
        minimum=10,
    )
    trusted_proxy: tuple[str, ...] = _setting(
        (),
        "Address or network of a reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are believed. Repeatable; "
        "separated by spaces in the environment.",
        problem=_network_problem,
    )
    tls: bool = _setting(
        False,
        "Serve https for localhost, its subdomains and *.zendesk.com, with certificates of the local authority. "
        "See: ticketfeed ca",
    )
    tls_cert: Path | None = _setting(None, "Serve https with this certificate (PEM, including the chain).")
    tls_key: Path | None = _setting(None, "Private key of --tls-cert (PEM). Default: in the same file.")
    ca_dir: Path | None = _setting(
        None, "Private directory of the local certificate authority. Default: $XDG_STATE_HOME/ticketfeed"
    )
    allow_host: tuple[str, ...] = _setting(
        (), "Another host that COMMAND may reach, or *.DOMAIN. Repeatable; separated by spaces in the environment."
    )
    isolate: Literal["auto", "always", "never"] = _setting(
        "auto",
        "Run COMMAND in Linux namespaces of its own, so that programs without proxy support reach the store too. auto: "
        "where the system allows it.",
    )
    host_port: tuple[str, ...] = _setting(
        (),
        "Port of this machine that an isolated COMMAND can reach at 127.0.0.1, besides those that are in use when it "
        "starts. Repeatable; separated by spaces in the environment.",
    )
    profile: ProfileName = _setting(
        "open",
        "open: changes are readable within a second, no rate limits. zendesk: the last minute is withheld, and "
        "Zendesk's rate limits apply.",
    )
    public_url: str | None = _setting(
        None,
        "Scheme and host of the URLs in responses, for a server behind a reverse proxy. {account} stands for the "
        "account's name.",
        problem=_url_problem,
    )
    page_cache_mib: int = _setting(
        2048,
        "Disk space, in MiB, of each process's cache of encoded pages; 0 disables the cache.",
        minimum=0,
        aliases=("kept_pages_mib",),
    )
    dashboard: bool = _setting(True, "Serve the admin dashboard at /_ticketfeed/.", aliases=("page",))
    metrics_token: str | None = _setting(
        None,
        "Bearer token that gives access to the metrics of all accounts. Admins see metrics for their own account only.",
        is_secret=True,
        problem=_length_problem(TOKEN_CHARS_MIN),
    )
    session_key: str | None = _setting(
        None,
        "Key that signs dashboard sessions, the same for all servers of a PostgreSQL store. Default: that in the file "
        "FILE-session-key of an SQLite store; else one for each start of a server.",
        is_secret=True,
        problem=_length_problem(SESSION_KEY_CHARS_MIN),
    )
    accept_clock: bool = _setting(
        False,
        "Write although this machine's clock was set forward by more than five minutes, or differs by more from "
        "PostgreSQL's.",
    )
    test_clock: bool = _setting(
        False,
        "Go by the clocks of accounts that were moved, and let admins move them. For tests: see ticketfeed clock",
    )
    mirror: str | None = _setting(
        None,
        "Mirror this source while serving: https://NAME.zendesk.com, or another base address. Its credentials are read "
        "from where ticketfeed mirror has them.",
    )
    faults: bool = _setting(
        False,
        "Let admins switch on scenarios that make requests fail. For tests, with one worker: see ticketfeed faults",
    )
    telemetry: bool = _setting(False, "Export OpenTelemetry traces, as configured by the OTEL_* variables.")
    mirror_fresh_seconds: int = _setting(
        0,
        "Not ready while a mirror of the store is further behind its source than so many seconds; 0 for no such "
        "condition.",
        minimum=0,
    )
    settle_seconds: int = _rule(
        0, 60, "seconds", "How far behind the current time the feed is served.", has_option=True
    )
    start_time_margin_seconds: int = _rule(
        0, 60, "seconds", "Minimum age of start_time; 0 accepts any.", has_option=True
    )
    account_requests: int = _rule(0, 700, "a minute", "All requests to an account.")
    incremental_exports: int = _rule(
        0, 10, "a minute", "All incremental exports of an account, except user cursor exports and samples."
    )
    incremental_exports_cursor: int = _rule(0, 20, "a minute", "The cursor export of users.")
    incremental_samples: int = _rule(0, 10, "in 20 minutes", "The sample exports.")
    deleted_tickets: int = _rule(0, 10, "a minute", "The list of deleted tickets.")
    close_solved_days: int = _rule(0, 0, "days", "Close tickets this long after they were solved; 0 disables it.")
    archive_days: int = _rule(0, 0, "days", "Hide tickets from lists this long after they were closed; 0 disables it.")
    scrub_deleted_days: int = _rule(
        0, 0, "days", "Erase the content of tickets this long after they were deleted; 0 disables it."
    )
    ticket_pages: int = _rule(0, 50, "a minute", "The list of tickets, from page 501 on.")
    api_tokens: ApiTokenRule = _rule(
        "allowed",
        "by-date",
        "",
        "Whether /api/v2 accepts API tokens: allowed, no-new (it creates none), off, or by-date: passwords, unused API "
        "tokens and then all of them end on Zendesk's dates.",
    )
    oauth_expires_in: Literal["always", "when_asked"] = _rule(
        "always", "always", "", "Whether a new access token that expires says so although the request did not ask."
    )
    oauth_token_format: Literal["opaque", "jwt"] = _rule(
        "opaque", "opaque", "", "Access tokens of 64 hex digits, or JWTs of about 1 KB."
    )
    oauth_reuse: Literal["refuse", "revoke_family"] = _rule(
        "refuse",
        "refuse",
        "",
        "What a refresh token or code does that was used before: only fail, or revoke all tokens renewed from it.",
    )
    oauth_success_status: Literal["200", "201"] = _rule("200", "200", "", "The status of a new access token.")

    @classmethod
    def of_profile(cls, profile: ProfileName, **values: Any) -> "Settings":
        """The profile's rules, overridden by those of `values` that are not None."""
        overrides = {name: value for name, value in values.items() if value is not None}
        return cls(profile=profile, **{**PROFILES[profile], **overrides})


def _rows() -> dict[str, Setting]:
    hints = get_type_hints(Settings)
    rows = {}
    for each in fields(Settings):
        kind, is_list, choices = _kind(hints[each.name])
        rows[each.name] = Setting(each.name, kind, is_list, choices, each.default, **each.metadata)
    return rows


def _kind(hint: Any) -> tuple[type, bool, tuple[str, ...]]:
    """The type of a value or item, whether it is a list, and what a Literal allows."""
    if get_origin(hint) is Literal:
        return str, False, get_args(hint)
    if get_origin(hint) is tuple:
        return get_args(hint)[0], True, ()
    (kind,) = set(get_args(hint) or (hint,)) - {NoneType}
    return kind, False, ()


SETTINGS: dict[str, Setting] = _rows()
RULES: dict[str, Setting] = {name: row for name, row in SETTINGS.items() if row.is_rule}
PROFILES: dict[ProfileName, dict[str, Any]] = {
    profile: {name: rule.profiles[profile] for name, rule in RULES.items()} for profile in get_args(ProfileName)
}


def parse_value(setting: Setting, raw: object, place: str) -> Any:
    """Convert what was given on the command line, in a variable or in the file. `place` names it in errors.

    Raises BadInput.
    """
    try:
        if setting.is_list:
            return tuple(_parse(setting, item) for item in _split_list(raw))
        return _parse(setting, raw)
    except ValueError as error:
        raise BadInput(f"invalid value for {place}: {error}") from None


def _parse(setting: Setting, raw: object) -> Any:
    if isinstance(raw, bool):
        text = "true" if raw else "false"
    elif isinstance(raw, str | int | float):
        text = str(raw)
    else:
        raise ValueError(f"{raw!r} is not a single value")
    if setting.kind is bool:
        return _parse_boolean(text)
    if setting.kind is int:
        return _parse_integer(setting, text)
    if setting.choices and text not in setting.choices:
        raise ValueError(f"{text!r} is not one of {', '.join(setting.choices)}")
    if setting.problem and (problem := setting.problem(text)):
        raise ValueError(problem)
    return setting.kind(text)


def _split_list(raw: object) -> list[object]:
    if isinstance(raw, str):
        return list(raw.split())
    return raw if isinstance(raw, list) else [raw]


def _parse_boolean(text: str) -> bool:
    if text.strip().lower() not in _BOOLEANS:
        raise ValueError(f"{text!r} is not a boolean (true or false)")
    return _BOOLEANS[text.strip().lower()]


def _parse_integer(setting: Setting, text: str) -> int:
    if not _INTEGER.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not an integer")
    number = int(text)
    if setting.minimum is not None and number < setting.minimum:
        raise ValueError(f"{number} is less than {setting.minimum}")
    if setting.maximum is not None and number > setting.maximum:
        raise ValueError(f"{number} is greater than {setting.maximum}")
    return number
