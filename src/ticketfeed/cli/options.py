"""Options that several commands share, each with its environment variable, and what they resolve to."""

import asyncio
import os
import re
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer

from ticketfeed.protocol.errors import BadInput, NotFound
from ticketfeed.protocol.model import Account
from ticketfeed.storage import Store, open_store

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_STORE",
    "AccountOption",
    "StoreOption",
    "choose_account",
    "note",
    "opened",
    "run_async",
]

T = TypeVar("T")

DEFAULT_STORE = "sqlite:///ticketfeed.db"
DEFAULT_ACCOUNT = "demo"
INTERRUPTED_SECONDS_MAX = 2.0

StoreOption = Annotated[
    str,
    typer.Option(
        "--store", envvar="TICKETFEED_STORE", help="Where the tickets are: sqlite:///FILE, postgresql://..., or memory:"
    ),
]
AccountOption = Annotated[
    str | None,
    typer.Option(
        "--account",
        envvar="TICKETFEED_ACCOUNT",
        help="The account's name; otherwise the only one there is, otherwise demo.",
    ),
]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    return asyncio.run(work)


@asynccontextmanager
async def opened(store_url: str, *, read_urls: Sequence[str] = (), create: bool = True) -> AsyncIterator[Store]:
    """The store, closed at the end."""
    store = await open_store(store_url, read_urls=read_urls, create=create)
    try:
        yield store
    except asyncio.CancelledError:
        # A write under way ends at its next record, which may never come from a standard input that stays silent.
        # A transaction that is cut off leaves nothing behind.
        ending = threading.Timer(INTERRUPTED_SECONDS_MAX, os._exit, (130,))
        ending.daemon = True
        ending.start()
        raise
    finally:
        await store.close()


async def choose_account(store: Store, name: str | None, *, create: bool = False) -> Account:
    """The account meant by `--account`. Raises NotFound, unless `create` makes it."""
    accounts = {account.subdomain: account for account in await store.list_accounts()}
    if name is None:
        name = next(iter(accounts)) if len(accounts) == 1 else DEFAULT_ACCOUNT
    if name in accounts:
        return accounts[name]
    if not create:
        known = f"; there are: {', '.join(accounts)}" if accounts else ""
        raise NotFound(f"there is no account {name!r}{known}; make it with: ticketfeed account create {name}")
    return await store.create_account(checked_name(name))


def checked_name(name: str) -> str:
    """A name that can be the first label of a host. Raises BadInput."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot be an account: use 1 to 63 of a-z, 0-9 and -, not first or last")
    return name


def note(text: str) -> None:
    """Tell the person at the terminal something; standard output is for results."""
    print(text, file=sys.stderr)
