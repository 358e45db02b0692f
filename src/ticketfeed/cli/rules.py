"""Rules come from several places at once: each rule from the nearest one that says it.

The options `--rule NAME=NUMBER`, `--settle-seconds` and `--start-time-margin-seconds`; their environment variables; the
file; the profile, in this order.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import RULES

__all__ = ["OWN_OPTIONS", "RuleValue", "choose_rules", "set_file_rules"]

# Rules that have an option of their own.
OWN_OPTIONS = ("settle_seconds", "start_time_margin_seconds")


class RuleValue(NamedTuple):
    value: int
    origin: str


_of_file: dict[str, RuleValue] = {}


def set_file_rules(rules: Mapping[str, object], origin: str) -> None:
    """What the file says. Raises BadInput."""
    _of_file.clear()
    _of_file.update({name: RuleValue(_parse(name, str(number), origin), origin) for name, number in rules.items()})


def choose_rules(rules: Sequence[str] | None, options: Mapping[str, int | None]) -> dict[str, RuleValue]:
    """Each rule that is said anywhere. `rules` and `options` are what the command was given, by option or environment.

    Raises BadInput.
    """
    variables = _of_environment()
    texts = os.environ.get("TICKETFEED_RULE", "").split()
    chosen = {**_of_file, **variables}
    if rules is not None and list(rules) != texts:
        chosen |= {name: RuleValue(value, "--rule") for name, value in map(_parse_text, rules)}
    for name, value in options.items():
        is_variable = name.upper() in _variables() and variables[name].value == value
        if value is not None and not is_variable:
            chosen[name] = RuleValue(value, f"--{name.replace('_', '-')}")
    return chosen


def _of_environment() -> dict[str, RuleValue]:
    texts = os.environ.get("TICKETFEED_RULE", "").split()
    said = {name: RuleValue(value, "TICKETFEED_RULE") for name, value in map(_parse_text, texts)}
    for name in _variables():
        variable = f"TICKETFEED_{name}"
        said[name.lower()] = RuleValue(_parse(name.lower(), os.environ[variable].strip(), variable), variable)
    return said


def _variables() -> list[str]:
    return [name.upper() for name in OWN_OPTIONS if os.environ.get(f"TICKETFEED_{name.upper()}")]


def _parse_text(text: str) -> tuple[str, int]:
    name, separator, number = text.partition("=")
    if name in RULES and not separator:
        raise BadInput(f"--rule {text!r} needs a whole number, as in {name}=10")
    return name, _parse(name, number, "--rule")


def _parse(name: str, number: str, origin: str) -> int:
    if name not in RULES:
        raise BadInput(f"there is no rule {name!r}; there are: {', '.join(RULES)}")
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise BadInput(f"{origin} {name}={number} needs a whole number, as in {name}=10")
    return int(number)
