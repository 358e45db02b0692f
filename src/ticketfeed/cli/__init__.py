"""The command `ticketfeed`. Errors become one line on standard error and an exit code.

0 done, 1 a check found something wrong, 2 bad input or environment, 130 interrupted; `run` has its command's own.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from ticketfeed.cli import account, ca, check, config, consumers, doctor, load, maintain, serve
from ticketfeed.cli import run as run_command
from ticketfeed.cli.config import ConfigOption, use_config
from ticketfeed.protocol.errors import TicketfeedError

__all__ = ["main"]

app = typer.Typer(
    name="ticketfeed",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    context: typer.Context,
    config: ConfigOption = None,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda asked: _show_version(asked), help="Show it.")
    ] = False,
) -> None:
    """Store support tickets and serve Zendesk's incremental, cursor-based export. Not affiliated with Zendesk."""
    use_config(context, config)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"ticketfeed {version('ticketfeed')}")
        raise typer.Exit


for commands in (serve, run_command, ca, load, maintain, account, check, consumers, doctor, config):
    commands.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    _open_missing_streams()
    root = typer.main.get_command(app)
    try:
        result = root.main(arguments, prog_name="ticketfeed", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except TicketfeedError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        return _fail(error.format_message()) if error.format_message() else 2  # its help was shown
    except typer.Exit as error:
        return error.exit_code
    except (BrokenPipeError, SystemExit):  # typer makes the second of the first
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except UnicodeError as error:
        return _fail(f"a name or value is not UTF-8 text: {error}")
    return result if isinstance(result, int) else 0


def _open_missing_streams() -> None:
    """Put the null device where a standard stream is closed; the next file opened would take its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - lives as long as the process


def _drop_output() -> None:
    """What is still to be written goes nowhere: the interpreter would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str) -> int:
    print(f"ticketfeed: {' '.join(text.split())}", file=sys.stderr)
    return 2
