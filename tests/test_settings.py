"""Settings: the table, the types of its values, and which source wins, as tables of cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from ticketfeed.cli.output import masked
from ticketfeed.cli.resolver import (
    RULE,
    Value,
    environment_source,
    file_source,
    make_settings,
    option_source,
    resolve,
)
from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import PROFILES, RULES, SETTINGS, ProfileName, Setting, Settings, parse_value

FILE = "ticketfeed.toml"


def resolved(
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
    names: tuple[str, ...] = tuple(SETTINGS),
) -> dict[str, Value]:
    sources = [option_source(options or {}), environment_source(environ or {}), file_source(file or {}, FILE)]
    return resolve(names, sources)


# setting, options, variables, file -> value, origin
PRECEDENCE: list[tuple[str, dict[str, Any], dict[str, str], dict[str, Any], Any, str]] = [
    ("port", {}, {}, {}, 8080, "default"),
    ("port", {}, {}, {"port": 1}, 1, FILE),
    ("port", {}, {}, {"port": "1"}, 1, FILE),
    ("port", {}, {"TICKETFEED_PORT": "2"}, {"port": 1}, 2, "TICKETFEED_PORT"),
    ("port", {"port": "3"}, {"TICKETFEED_PORT": "2"}, {"port": 1}, 3, "--port"),
    ("port", {"port": None}, {"TICKETFEED_PORT": " "}, {"port": 1}, 1, FILE),
    ("port", {"port": "3"}, {"TICKETFEED_PORT": "x"}, {"port": "y"}, 3, "--port"),
    ("port", {"port": "0"}, {}, {}, 0, "--port"),
    ("port", {"port": "65535"}, {}, {}, 65535, "--port"),
    ("store", {}, {"TICKETFEED_STORE": "memory:"}, {}, "memory:", "TICKETFEED_STORE"),
    ("account", {}, {}, {"account": 7}, "7", FILE),
    ("ca_dir", {"ca_dir": "here"}, {}, {}, Path("here"), "--ca-dir"),
    ("tls", {"tls": True}, {"TICKETFEED_TLS": "0"}, {}, True, "--tls"),
    ("tls", {}, {"TICKETFEED_TLS": "Yes"}, {"tls": False}, True, "TICKETFEED_TLS"),
    ("tls", {}, {}, {"tls": True}, True, FILE),
    ("read_store", {"read_store": []}, {}, {}, (), "default"),
    ("read_store", {"read_store": ["a", "b"]}, {"TICKETFEED_READ_STORE": "c"}, {}, ("a", "b"), "--read-store"),
    ("read_store", {}, {"TICKETFEED_READ_STORE": " c  d "}, {}, ("c", "d"), "TICKETFEED_READ_STORE"),
    ("read_store", {}, {}, {"read_store": ["e"]}, ("e",), FILE),
    ("read_store", {}, {}, {"read_store": "e f"}, ("e", "f"), FILE),
    ("profile", {"profile": "zendesk"}, {"TICKETFEED_PROFILE": "open"}, {}, "zendesk", "--profile"),
    # Former names.
    ("page_cache_mib", {"kept_pages_mib": "1"}, {"TICKETFEED_PAGE_CACHE_MIB": "2"}, {}, 1, "--kept-pages-mib"),
    ("page_cache_mib", {}, {"TICKETFEED_KEPT_PAGES_MIB": "2"}, {"page_cache_mib": 3}, 2, "TICKETFEED_KEPT_PAGES_MIB"),
    ("page_cache_mib", {}, {}, {"kept_pages_mib": 3}, 3, FILE),
    ("dashboard", {"page": False}, {}, {}, False, "--page"),
    ("dashboard", {}, {"TICKETFEED_PAGE": "false"}, {}, False, "TICKETFEED_PAGE"),
    ("dashboard", {}, {}, {"page": False}, False, FILE),
    # Rules: each from the nearest source; within a source, the rule's own spelling wins over the list.
    ("settle_seconds", {}, {}, {}, 0, "profile open"),
    ("settle_seconds", {"profile": "zendesk"}, {}, {}, 60, "profile zendesk"),
    ("settle_seconds", {}, {}, {"profile": "zendesk", "rules": {"settle_seconds": 1}}, 1, FILE),
    ("settle_seconds", {}, {}, {"settle_seconds": 2, "rules": {"settle_seconds": 1}}, 2, FILE),
    ("settle_seconds", {}, {"TICKETFEED_RULE": "settle_seconds=3"}, {"settle_seconds": 2}, 3, "TICKETFEED_RULE"),
    (
        "settle_seconds",
        {},
        {"TICKETFEED_RULE": "settle_seconds=3", "TICKETFEED_SETTLE_SECONDS": "4"},
        {},
        4,
        "TICKETFEED_SETTLE_SECONDS",
    ),
    ("settle_seconds", {RULE: ["settle_seconds=5"]}, {"TICKETFEED_SETTLE_SECONDS": "4"}, {}, 5, "--rule"),
    ("settle_seconds", {RULE: ["settle_seconds=5"], "settle_seconds": "6"}, {}, {}, 6, "--settle-seconds"),
    ("deleted_tickets", {RULE: ["ticket_pages=1"]}, {"TICKETFEED_RULE": "deleted_tickets=2"}, {}, 2, "TICKETFEED_RULE"),
    ("deleted_tickets", {RULE: ["deleted_tickets=1", "deleted_tickets=2"]}, {}, {}, 2, "--rule"),
]


@pytest.mark.parametrize(("name", "options", "environ", "file", "value", "origin"), PRECEDENCE)
def test_precedence(
    name: str, options: dict[str, Any], environ: dict[str, str], file: dict[str, Any], value: Any, origin: str
) -> None:
    """An option wins over its variable, that over the file, that over the profile or the default."""
    found = resolved(options, environ, file)[name]
    assert (found, type(found.value)) == ((value, origin), type(value) if name != "ca_dir" else type(Path()))


# options, variables, file -> what the error says
REFUSED: list[tuple[dict[str, Any], dict[str, str], dict[str, Any], str]] = [
    ({"port": "x"}, {}, {}, "invalid value for --port: 'x' is not an integer"),
    ({"port": "1e3"}, {}, {}, "invalid value for --port: '1e3' is not an integer"),
    ({"port": "70000"}, {}, {}, "invalid value for --port: 70000 is greater than 65535"),
    ({}, {"TICKETFEED_WORKERS": "0"}, {}, "invalid value for TICKETFEED_WORKERS: 0 is less than 1"),
    ({}, {"TICKETFEED_TLS": "maybe"}, {}, "invalid value for TICKETFEED_TLS: 'maybe' is not a boolean"),
    ({}, {}, {"port": True}, "invalid value for port in ticketfeed.toml: 'true' is not an integer"),
    ({}, {}, {"port": 1.5}, "'1.5' is not an integer"),
    ({}, {}, {"port": [1]}, "[1] is not a single value"),
    ({}, {}, {"read_store": [["a"]]}, "invalid value for read_store in ticketfeed.toml: ['a'] is not a single value"),
    ({"profile": "other"}, {}, {}, "invalid value for --profile: 'other' is not one of open, zendesk"),
    ({"public_url": "ftp://x"}, {}, {}, "invalid value for --public-url: 'ftp://x' is not a URL such as https://"),
    ({"metrics_token": "abc"}, {}, {}, "invalid value for --metrics-token: too short: use 16 characters or more"),
    ({"trusted_proxy": "10.0.0.1/8"}, {}, {}, "'10.0.0.1/8' is not an address or network such as 10.0.0.0/8"),
    ({"trusted_proxy": "proxy.example.com"}, {}, {}, "'proxy.example.com' is not an address or network"),
    ({"session_key": "abc"}, {}, {}, "invalid value for --session-key: too short: use 32 characters or more"),
    (
        {},
        {},
        {"prt": 1, "a": 2},
        "ticketfeed.toml: unknown setting a, prt; available settings: accept_clock, account, allow_host",
    ),
    ({}, {}, {"deleted_tickets": 1}, "unknown setting deleted_tickets"),
    ({}, {}, {"serve": {"port": 1}}, "serve cannot be a table; put settings at top level, rules under [rules]"),
    ({}, {}, {"rules": 3}, "rules must be a table"),
    ({}, {}, {"rules": {"nothing": 3}}, "ticketfeed.toml: there is no rule 'nothing'; available rules: settle_seconds"),
    ({}, {"TICKETFEED_RULE": "nothing=3"}, {}, "TICKETFEED_RULE: there is no rule 'nothing'"),
    ({RULE: ["deleted_tickets"]}, {}, {}, "--rule deleted_tickets: expected NAME=VALUE, as in deleted_tickets=10"),
    ({RULE: ["deleted_tickets=x"]}, {}, {}, "invalid value for deleted_tickets in --rule: 'x' is not an integer"),
    ({RULE: ["deleted_tickets=-1"]}, {}, {}, "invalid value for deleted_tickets in --rule: -1 is less than 0"),
    ({RULE: ["deleted_tickets=9999999999"]}, {}, {}, "'9999999999' is not an integer"),
    ({}, {}, {"page": True, "dashboard": True}, "page in ticketfeed.toml is the former name of dashboard in"),
    ({"kept_pages_mib": "1", "page_cache_mib": "1"}, {}, {}, "--kept-pages-mib is the former name of --page-cache-mib"),
]


@pytest.mark.parametrize(("options", "environ", "file", "problem"), REFUSED)
def test_refused(options: dict[str, Any], environ: dict[str, str], file: dict[str, Any], problem: str) -> None:
    """A value that cannot be used is refused, and the error names its place: the option, variable or key."""
    with pytest.raises(BadInput) as error:
        resolved(options, environ, file)
    assert problem in str(error.value)


def test_only_the_settings_of_a_command() -> None:
    """Only settings that a command uses are read; a command that uses the profile uses every rule."""
    assert set(resolved(environ={"TICKETFEED_PORT": "x"}, names=("store", "account"))) == {"store", "account"}
    assert set(resolved(names=("profile",))) == {"profile", *RULES}


def test_settings_of_nothing() -> None:
    """Without any source the settings are their defaults, and those of the profile `open`."""
    assert make_settings(resolved()) == Settings() == Settings.of_profile("open")


def test_settings_of_a_profile() -> None:
    """A profile decides every rule; a value that is given overrides it, and None does not."""
    settings = Settings.of_profile("zendesk", settle_seconds=3, account_requests=None)
    assert settings == make_settings(resolved({"profile": "zendesk", RULE: ["settle_seconds=3"]}))
    assert {name: getattr(settings, name) for name in RULES} == PROFILES["zendesk"] | {"settle_seconds": 3}
    assert set(PROFILES) == set(get_args(ProfileName))


def test_names_are_unique() -> None:
    """No former name is that of another setting, and each row has a description that is a sentence."""
    names = [name for row in SETTINGS.values() for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))
    assert RULE not in names
    assert not [row.name for row in SETTINGS.values() if not row.help[0].isalpha()]


def test_a_rule_with_a_list_of_values() -> None:
    """A rule's value is an integer, or one of a list."""
    rule = Setting(
        name="api_tokens",
        kind=str,
        is_list=False,
        choices=("allowed", "no-new", "off"),
        default="allowed",
        help="Whether API tokens are accepted.",
        minimum=0,
        maximum=None,
        aliases=(),
        profiles={"open": "allowed", "zendesk": "no-new"},
        unit="",
        has_option=False,
        is_secret=False,
        problem=None,
    )
    assert parse_value(rule, "no-new", "api_tokens in --rule") == "no-new"
    with pytest.raises(BadInput, match="'on' is not one of allowed, no-new, off"):
        parse_value(rule, "on", "api_tokens in --rule")


def test_secrets_are_not_shown() -> None:
    """Neither the text of the settings nor a masked value holds a token or a password."""
    settings = Settings(metrics_token="a-secret-of-16-characters")
    assert "a-secret" not in repr(settings)
    assert masked("metrics_token", settings.metrics_token) == "***"
    assert masked("read_store", ("postgresql://me:s3cret@host/db", "memory:")) == "postgresql://me:***@host/db memory:"
    assert (masked("dashboard", True), masked("tls_key", None), masked("read_store", ())) == ("true", "-", "-")
