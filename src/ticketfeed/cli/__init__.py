"""The command `ticketfeed`: one module for each command. Errors become one line on standard error and an exit code.

0 success, 1 a check failed, 2 bad input or environment, 130 interrupted; SIGTERM and SIGHUP end it by that signal.
`run` exits with the code of its command.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer

from ticketfeed.cli import config
from ticketfeed.cli.output import discard, print_err
from ticketfeed.cli.termination import INTERRUPTED, end_by_signal, handle_termination
from ticketfeed.protocol.errors import TicketfeedError

__all__ = ["main", "make_app"]

# The module of each command or group of commands, in the order of `ticketfeed --help`.
_MODULES = {
    "demo": "demo",
    "serve": "serve",
    "get": "get",
    "run": "run",
    "torture": "torture",
    "ca": "ca",
    "load": "load",
    "generate": "generate",
    "export": "export",
    "mirror": "mirror",
    "maintain": "maintain",
    "simulate": "simulate",
    "account": "account",
    "token": "token",
    "oauth": "oauth",
    "clock": "clock",
    "snapshot": "snapshot",
    "faults": "faults",
    "check": "check",
    "migrate": "migrate",
    "fence": "fence",
    "backup": "backup",
    "restore": "backup",
    "repair": "repair",
    "store": "store",
    "consumers": "consumers",
    "verdict": "verdict",
    "doctor": "doctor",
    "ready": "doctor",
    "config": "config",
}
# What follows their COMMAND belongs to it, with or without -- in front.
_WITH_COMMAND = ("run", "torture")


def make_app(names: Iterable[str] = tuple(_MODULES)) -> typer.Typer:
    """The command line with these commands, whose modules are imported: all of them take 0.3 s."""
    app = typer.Typer(
        name="ticketfeed",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        module = import_module(f"{__name__}.{_MODULES[name]}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(context_settings={"allow_interspersed_args": name not in _WITH_COMMAND})(getattr(module, name))
    return app


def _options(
    context: typer.Context,
    config_file: config.ConfigOption = None,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=lambda value: _print_version(value), help="Print the version."
        ),
    ] = False,
) -> None:
    """Store support tickets and serve Zendesk's incremental, cursor-based export. Not affiliated with Zendesk."""
    context.obj = config.read_config(config_file)


def _print_version(is_given: bool) -> None:
    if is_given:
        print(f"ticketfeed {version('ticketfeed')}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    handle_termination()
    code = _run(arguments)
    try:
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    if code == INTERRUPTED:
        end_by_signal()
    sys.exit(code)


def _run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _open_missing_streams()
    given = sys.argv[1:] if arguments is None else arguments
    root = typer.main.get_command(make_app(given[:1]) if given and given[0] in _MODULES else make_app())
    try:
        result = root.main(given, prog_name="ticketfeed", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except TicketfeedError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        return _fail(error.format_message()) if error.format_message() else 2  # without a message, help was printed
    except typer.Exit as error:
        return error.exit_code
    except (BrokenPipeError, SystemExit):  # typer turns the first into the second
        discard(sys.stdout)
        return 0
    except OSError as error:
        discard(sys.stdout)
        return _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except UnicodeError as error:
        return _fail(f"a name or value is not UTF-8 text: {error}")
    return result if isinstance(result, int) else 0


def _open_missing_streams() -> None:
    """Open the null device for each standard stream that is closed; else the next file opened would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - lives as long as the process


def _fail(text: str) -> int:
    print_err(f"ticketfeed: {' '.join(text.split())}")
    return 2
