"""Which value a setting has, and where it comes from: the nearest of option, environment, file, profile and default.

Rules are decided one by one: `--rule deleted_tickets=3` overrides that rule and no other. Within one source the rule's
own spelling (`--settle-seconds`, TICKETFEED_SETTLE_SECONDS, settle_seconds in the file) wins over the list of rules
(`--rule`, TICKETFEED_RULE, the table [rules]).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import PROFILES, RULES, SETTINGS, Setting, Settings, option_name, parse_value, variable_name

__all__ = ["RULE", "Source", "Value", "environment_source", "file_source", "make_settings", "option_source", "resolve"]

# The option and the variable that take a list of rules are named as if it were a setting.
RULE = "rule"


class Value(NamedTuple):
    """A setting's value, and the option, variable, file or profile that it comes from."""

    value: Any
    origin: str


class Source(NamedTuple):
    """Where settings are given. `values`: by the setting's name or an alias. `spell`: how the source writes a name.

    `rules`: those of its list of rules, which `rules_origin` names. `origin`: None when it is the spelling itself.
    """

    values: Mapping[str, object]
    rules: Mapping[str, object]
    rules_origin: str
    spell: Callable[[str], str]
    origin: str | None = None


def option_source(options: Mapping[str, Any]) -> Source:
    """The options of a command line, by parameter name; None for those that are absent. Raises BadInput."""
    given = {name: value for name, value in options.items() if value is not None and value != []}
    origin = option_name(RULE)
    return Source(given, _split_rules(given.pop(RULE, ()), origin), origin, option_name)


def environment_source(environ: Mapping[str, str]) -> Source:
    """Environment variables; an empty one counts as absent. Raises BadInput."""
    names = [name for row in SETTINGS.values() if row.has_option for name in (row.name, *row.aliases)]
    variables = {name: text for name in names if (text := environ.get(variable_name(name), "").strip())}
    origin = variable_name(RULE)
    return Source(variables, _split_rules(environ.get(origin, "").split(), origin), origin, variable_name)


def file_source(values: Mapping[str, Any], file: str) -> Source:
    """What a configuration file holds. Raises BadInput for a key that is no setting."""
    rules = values.get("rules", {})
    if not isinstance(rules, dict):
        raise BadInput(f"{file}: rules must be a table, as in [rules]")
    keys = {name: value for name, value in values.items() if name != "rules"}
    for name, value in keys.items():
        if isinstance(value, dict):
            raise BadInput(f"{file}: {name} cannot be a table; put settings at top level, rules under [rules]")
    known = [row.name for row in SETTINGS.values() if row.has_option]
    aliases = {alias for row in SETTINGS.values() for alias in row.aliases}
    if unknown := sorted(keys.keys() - aliases - set(known)):
        raise BadInput(f"{file}: unknown setting {', '.join(unknown)}; available settings: {', '.join(sorted(known))}")
    _check_rule_names(rules, file)
    return Source(keys, rules, file, lambda name: f"{name} in {file}", file)


def resolve(names: Iterable[str], sources: Sequence[Source]) -> dict[str, Value]:
    """The values of these settings, and of every rule when `profile` is among them. The first source wins.

    Raises BadInput.
    """
    plain = [SETTINGS[name] for name in names if name not in RULES and name != RULE]
    values = {row.name: _nearest(row, sources) or Value(row.default, "default") for row in plain}
    if "profile" in values:
        profile = values["profile"].value
        for name, row in RULES.items():
            values[name] = _nearest(row, sources) or Value(PROFILES[profile][name], f"profile {profile}")
    return values


def make_settings(values: Mapping[str, Value]) -> Settings:
    """The settings with these values, and defaults for the others."""
    return Settings(**{name: each.value for name, each in values.items()})


def _nearest(setting: Setting, sources: Sequence[Source]) -> Value | None:
    for source in sources:
        spellings = [name for name in (setting.name, *setting.aliases) if name in source.values]
        if len(spellings) > 1:
            first, second = map(source.spell, spellings)
            raise BadInput(f"{second} is the former name of {first}: set only one of them")
        for name in spellings:
            place = source.spell(name)
            return Value(parse_value(setting, source.values[name], place), source.origin or place)
        if setting.name in source.rules:
            place = f"{setting.name} in {source.rules_origin}"
            return Value(parse_value(setting, source.rules[setting.name], place), source.rules_origin)
    return None


def _split_rules(texts: Iterable[str], origin: str) -> dict[str, str]:
    rules = {}
    for text in texts:
        name, separator, value = text.partition("=")
        _check_rule_names([name], origin)
        if not separator:
            raise BadInput(f"{origin} {text}: expected NAME=VALUE, as in {name}={RULES[name].profiles['zendesk']}")
        rules[name] = value
    return rules


def _check_rule_names(names: Iterable[str], origin: str) -> None:
    for name in names:
        if name not in RULES:
            raise BadInput(f"{origin}: there is no rule {name!r}; available rules: {', '.join(RULES)}")
