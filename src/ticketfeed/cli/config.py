"""ticketfeed config show, and the configuration file: ticketfeed.toml, or the file that `--config` names."""

import json
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from ticketfeed.cli.options import SERVE_SETTINGS, with_values
from ticketfeed.cli.output import masked
from ticketfeed.cli.resolver import Source, Value, file_source
from ticketfeed.protocol.errors import BadInput

__all__ = ["ConfigOption", "app", "read_config"]

DEFAULT_FILE = Path("ticketfeed.toml")

# The only option that a file cannot set, so the only one whose variable is read by typer.
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="TICKETFEED_CONFIG", help=f"Read settings from this file. Default: {DEFAULT_FILE}"),
]

app = typer.Typer(help="Show the settings.", no_args_is_help=True)


def read_config(file: Path | None) -> Source:
    """The settings in the file; none if `file` is None and there is no default file. Raises BadInput."""
    if file is None and not DEFAULT_FILE.exists():
        return file_source({}, str(DEFAULT_FILE))
    file = file or DEFAULT_FILE
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is not TOML: {error}") from None
    return file_source(values, str(file))


@app.command()
@with_values(*SERVE_SETTINGS)
def show(
    values: dict[str, Value],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the settings that `serve` would use with the same options: name, value and origin of each.

    Passwords and tokens are shown as ***.
    """
    rows = [(name, masked(name, each.value), each.origin) for name, each in values.items()]
    if as_json:
        print(json.dumps([dict(zip(("name", "value", "origin"), row, strict=True)) for row in rows], indent=2))
        return
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
