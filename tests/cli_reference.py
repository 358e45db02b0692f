"""The page docs/reference/cli.md, generated from the commands: `python -m tests.references`."""

from typing import Any

import typer

from ticketfeed.cli import make_app
from ticketfeed.cli.options import RULE_HELP
from ticketfeed.cli.resolver import RULE
from ticketfeed.settings import SETTINGS, variable_name

HEAD = """# Command line

Exit codes: 0 success, 1 a check failed, 2 bad input or environment (one line on standard error), 130 interrupted by ^C.
SIGTERM and SIGHUP interrupt a command as ^C does, and end it by that signal.

An option with an environment variable can also be set in [the configuration file](settings.md). The option takes
precedence over the variable, the variable over the file. This page is generated from the commands by
`python -m tests.references`.
"""


def render() -> str:
    """The page, from the same objects that parse the command line."""
    return "\n".join([HEAD, *_commands("ticketfeed", typer.main.get_command(make_app()))])


def _commands(name: str, command: Any) -> list[str]:
    if hasattr(command, "commands"):
        return [line for sub, child in command.commands.items() for line in _commands(f"{name} {sub}", child)]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help" and not p.hidden]
    usage = " ".join([name, *(p.make_metavar(None) if not p.metavar else p.metavar for p in arguments)])
    lines = [f"## `{usage}`", "", " ".join(command.help.split()), ""]
    if options:
        lines += ["| option | default | environment | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in options]
        lines.append("")
    return lines


def _row(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    default, environment, help = _text(option.default), "", option.help or ""
    if option.name == RULE:
        environment, help = f"`{variable_name(RULE)}`", RULE_HELP
    elif "env var" in help:  # it is a setting, and not an option of the same name
        row = SETTINGS[option.name]
        environment, help = f"`{row.variable}`", row.help
        default = "from the profile" if row.is_rule else _text(row.default)
    return f"| {names} | {default} | {environment} | {help} |"


def _text(default: Any) -> str:
    return "" if default is None or isinstance(default, bool | tuple) else f"`{default}`"
