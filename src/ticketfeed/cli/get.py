"""ticketfeed get: answer one GET request without a server."""

import logging
import sys
from dataclasses import replace
from typing import Annotated

import typer

from ticketfeed.cli.options import choose_account, opened, run_async, with_settings
from ticketfeed.cli.output import print_err
from ticketfeed.inprocess import Answer, call_app
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, Identity
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings

__all__ = ["get"]


@with_settings("account", "store", "profile")
def get(
    settings: Settings,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Such as '/api/v2/incremental/tickets/cursor?start_time=0'")
    ],
) -> int:
    """Answer one GET request without a server, as an admin of the account, and print the body.

    Exit code 0: success. 1: the response is an error, with a status of 400 or more.
    """
    if not path.startswith("/"):
        raise BadInput(f"{path!r} is not a path: it must begin with /, as in /api/v2/tickets")
    _log_on_one_line()
    answer = run_async(_answer(path, settings))
    sys.stdout.buffer.write(answer.body + b"\n")
    if answer.status >= 400:
        print_err(f"ticketfeed: the response status is {answer.status}")
        return 1
    return 0


async def _answer(path: str, settings: Settings) -> Answer:
    async with opened(settings.store, create=False) as store:
        account = await choose_account(store, settings.account)
        app = create_app(replace(settings, page_cache_mib=0), store, authenticate=_authenticate)
        return await call_app(app, path, host=f"{account.subdomain}.localhost")


async def _authenticate(_account: Account, _authorization: str | None, _client: object) -> Identity:
    """An admin: anyone who can open the store can read all of it anyway."""
    return Identity(0, "", "admin")


def _log_on_one_line() -> None:
    """Print what the server logs as plain lines without tracebacks: the reader is a person at a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    handler.setLevel(logging.WARNING)
    logging.getLogger().addHandler(handler)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() + (f": {type(error).__name__}: {error}" if error else "")
        return f"ticketfeed: {' '.join(text.split())}"
