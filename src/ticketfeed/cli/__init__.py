"""The command `ticketfeed`: one module for each command. Errors become one line on standard error and an exit code.

0 success, 1 a check failed, 2 bad input or environment, 130 interrupted; `run` exits with the code of its command.
"""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from ticketfeed.cli import (
    account,
    backup,
    ca,
    check,
    clock,
    config,
    consumers,
    demo,
    doctor,
    export,
    faults,
    fence,
    generate,
    get,
    load,
    maintain,
    migrate,
    mirror,
    oauth,
    repair,
    run,
    serve,
    simulate,
    snapshot,
    store,
    token,
    torture,
    verdict,
)
from ticketfeed.cli.output import discard, print_err
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


# In the order of `ticketfeed --help`.
app.command()(demo.demo)
app.command()(serve.serve)
app.command()(get.get)
# What follows COMMAND belongs to it, with or without -- in front.
app.command(context_settings={"allow_interspersed_args": False})(run.run)
app.command(context_settings={"allow_interspersed_args": False})(torture.torture)
app.command()(ca.ca)
app.command()(load.load)
app.command()(generate.generate)
app.command()(export.export)
app.add_typer(mirror.app, name="mirror")
app.command()(maintain.maintain)
app.command()(simulate.simulate)
app.add_typer(account.app, name="account")
app.add_typer(token.app, name="token")
app.add_typer(oauth.app, name="oauth")
app.add_typer(clock.app, name="clock")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(faults.app, name="faults")
app.command()(check.check)
app.command()(migrate.migrate)
app.command()(fence.fence)
app.command()(backup.backup)
app.command()(backup.restore)
app.add_typer(repair.app, name="repair")
app.add_typer(store.app, name="store")
app.command()(consumers.consumers)
app.command()(verdict.verdict)
app.command()(doctor.doctor)
app.command()(doctor.ready)
app.add_typer(config.app, name="config")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    code = _run(arguments)
    try:
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)
    sys.exit(code)


def _run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
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
