"""The page docs/reference/cli.md, made from the commands themselves: `python -m tests.cli_reference`."""

from typing import Any

import typer

from ticketfeed.cli import app

HEAD = """# Command line

Store: `--store`, otherwise `TICKETFEED_STORE`, otherwise `sqlite:///ticketfeed.db` in the current folder. An option
wins over its environment variable, that over [the file](settings.md). Exit codes: 0 done, 1 a check found something
wrong, 2 bad input or environment (one line on standard error), 130 interrupted. This page is made from the commands
by `python -m tests.references`.
"""


def render() -> str:
    """The page, from the same objects that parse the command line."""
    return "\n".join([HEAD, *_commands("ticketfeed", typer.main.get_command(app))])


def _commands(name: str, command: Any) -> list[str]:
    if hasattr(command, "commands"):
        return [line for sub, child in command.commands.items() for line in _commands(f"{name} {sub}", child)]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([name, *(p.make_metavar(None) if not p.metavar else p.metavar for p in arguments)])
    lines = [f"## `{usage}`", "", " ".join(command.help.split()), ""]
    if options:
        lines += ["| option | default | environment | meaning |", "|---|---|---|---|"]
        lines += [_row(option) for option in options]
        lines.append("")
    return lines


def _row(option: Any) -> str:
    default = "" if option.default in (None, False, True) else f"`{option.default}`"
    environment = f"`{option.envvar}`" if option.envvar else ""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"| {names} | {default} | {environment} | {option.help or ''} |"
