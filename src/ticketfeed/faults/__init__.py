"""The scenarios that are part of the package, one file each, and those of the user's own files."""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from ticketfeed.protocol.errors import BadInput, InvalidValue
from ticketfeed.protocol.scenarios import Scenario, parse_scenario, unknown_scenario

__all__ = ["find_scenario", "read_scenario_file", "shipped_scenarios"]


@cache
def shipped_scenarios() -> dict[str, Scenario]:
    """All scenarios of the package by name, in alphabetical order."""
    found = [
        parse_scenario(tomllib.loads(file.read_text("utf-8")))
        for file in files(__package__).iterdir()
        if file.name.endswith(".toml")
    ]
    return {scenario.name: scenario for scenario in sorted(found, key=lambda scenario: scenario.name)}


def find_scenario(name: str) -> Scenario:
    """The scenario of the package with this name. Raises InvalidValue, which suggests similar names."""
    scenario = shipped_scenarios().get(name)
    if scenario is None:
        raise unknown_scenario(name, shipped_scenarios())
    return scenario


def read_scenario_file(path: Path) -> Scenario:
    """The scenario of a TOML file. Raises BadInput, which names the file and the key."""
    try:
        return parse_scenario(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not TOML: {error}") from None
    except InvalidValue as error:
        raise BadInput(f"{path}: {error}") from None
