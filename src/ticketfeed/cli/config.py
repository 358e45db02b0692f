"""config, and the file behind it: an option wins over its environment variable, that over the file, that over the
default.

The file is ticketfeed.toml in the current folder, or what `--config` names. Whatever has an environment variable can
stand in it, under the variable's name without TICKETFEED_ and in small letters; rules stand in a table, `[rules]`.
"""

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ticketfeed.cli.rules import OWN_OPTIONS, choose_rules, set_file_rules
from ticketfeed.cli.serve import make_settings, serve
from ticketfeed.protocol.errors import BadInput
from ticketfeed.settings import RULES

__all__ = ["DEFAULT_FILE", "ConfigOption", "masked", "register", "use_config"]

DEFAULT_FILE = Path("ticketfeed.toml")
_PREFIX = "TICKETFEED_"
_MASK = "***"
# The password of a URL, wherever a URL can have it; where it has signs of its own, rather too much than too little.
_USER_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*@")
_QUERY_PASSWORD = re.compile(r"(?i)([?&](?:password|sslpassword)=)[^&#]*")
_SECRETS = frozenset({"metrics_token"})

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="TICKETFEED_CONFIG", help="Read settings from this file. [ticketfeed.toml]"),
]

config = typer.Typer(help="Show the settings.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config")


def use_config(context: typer.Context, file: Path | None) -> None:
    """Make what stands in the file the defaults of every command. Raises BadInput."""
    values = _read(file) if file is not None else _read(DEFAULT_FILE) if DEFAULT_FILE.exists() else {}
    known = {key for _, parameters in _commands(context.command) for key in parameters} - {"rule"}
    own = {name: values.pop(name) for name in OWN_OPTIONS if name in values}
    set_file_rules({**values.pop("rules", {}), **own}, str(file or DEFAULT_FILE))
    unknown = sorted(values.keys() - known)
    if unknown:
        raise BadInput(f"{file or DEFAULT_FILE} has {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    defaults: dict[str, Any] = {}
    for path, parameters in _commands(context.command):
        found = defaults
        for name in path:
            found = found.setdefault(name, {})
        found.update({parameters[key]: value for key, value in values.items() if key in parameters})
    context.default_map = defaults


def _read(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not TOML: {error}") from None
    if not isinstance(values.get("rules", {}), dict):
        raise BadInput(f"{file}: rules is a table, as in [rules]")
    wrong = [name for name, value in values.items() if isinstance(value, dict) and name != "rules"]
    if wrong:
        raise BadInput(f"{file}: {wrong[0]} cannot be a table; settings stand at the top, rules in [rules]")
    return values


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Every command by its path, with what can be set of it: key in the file -> parameter."""
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))
    if path and not hasattr(command, "commands"):
        yield path, {key: parameter.name for parameter in command.params if (key := _key(parameter))}


def _key(parameter: Any) -> str | None:
    variable = parameter.envvar
    return variable.removeprefix(_PREFIX).lower() if isinstance(variable, str) else None


def show(context: typer.Context, json_: bool = False, **given: Any) -> None:
    """Print every setting of `serve` as it would be: its value, and where that came from. It takes the same options.

    Passwords and tokens are shown as ***.
    """
    rows = list(_rows(context, given))
    if json_:
        print(json.dumps([dict(zip(("name", "value", "origin"), row, strict=True)) for row in rows], indent=2))
        return
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


def _rows(context: typer.Context, given: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for parameter in context.command.params:
        key = _key(parameter) or str(parameter.name)
        if parameter.name in given and key not in ("rule", *RULES):
            yield key, masked(key, given[parameter.name]), _origin(context, parameter)
    said = choose_rules(given["rule"], {name: given[name] for name in OWN_OPTIONS})
    settings = make_settings(given["profile"], None, *(given[name] for name in (*OWN_OPTIONS, "rule")))
    for name in RULES:
        origin = said[name].origin if name in said else f"profile {settings.profile}"
        yield name, str(getattr(settings, name)), origin


def _origin(context: typer.Context, parameter: Any) -> str:
    source = context.get_parameter_source(parameter.name)
    origins = {"COMMANDLINE": parameter.opts[0], "ENVIRONMENT": parameter.envvar}
    root = context.find_root()
    origins["DEFAULT_MAP"] = str(root.params.get("config") or DEFAULT_FILE)
    return str(origins.get(source.name if source else "", "default"))


def masked(name: str, value: Any) -> str:
    """A setting as it may be shown."""
    if value is None:
        return "-"
    if name in _SECRETS:
        return _MASK
    if isinstance(value, list | tuple):
        return " ".join(masked(name, each) for each in value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _QUERY_PASSWORD.sub(rf"\1{_MASK}", _USER_PASSWORD.sub(rf"\1:{_MASK}@", text))


def _with_options_of(command: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """`own` with the options of another command behind its own."""
    taken, others = inspect.signature(own), inspect.signature(command)
    kept = [p for p in taken.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    # A function's type does not know the attribute that inspect, and so typer, looks for.
    own.__signature__ = taken.replace(parameters=[*kept, *others.parameters.values()])  # type: ignore[attr-defined]
    own.__annotations__ = {**command.__annotations__, **own.__annotations__}
    return own


JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
show.__annotations__["json_"] = JsonOption
config.command("show")(_with_options_of(serve, show))
