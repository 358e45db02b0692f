"""The command `ticketfeed`. Errors become one line on standard error and an exit code.

0 done, 1 a check found something wrong, 2 bad input or environment, 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence

import typer

from ticketfeed.cli import access, data, server
from ticketfeed.protocol.errors import TicketfeedError

__all__ = ["main"]

app = typer.Typer(
    name="ticketfeed",
    help="Store support tickets and serve Zendesk's incremental, cursor-based ticket export. "
    "Not affiliated with Zendesk.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (server, data, access):
    commands.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(arguments, prog_name="ticketfeed", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except TicketfeedError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        return _fail(error.format_message())
    except typer.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    return result if isinstance(result, int) else 0


def _fail(text: str) -> int:
    print(f"ticketfeed: {' '.join(text.split())}", file=sys.stderr)
    return 2
