"""A file of one account: an SQLite store that has this account alone, and in itself what the sidecar would have."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ticketfeed.atomic_file import atomic_file
from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol.errors import BadInput, StoreError
from ticketfeed.protocol.model import Account
from ticketfeed.storage.sql_accounts import SqlAccountStore

__all__ = ["open_account_file", "write_account_file"]


@contextlib.asynccontextmanager
async def write_account_file(file: Path, clock: Clock = system_clock) -> AsyncIterator[SqlAccountStore]:
    """A new store, to be filled, which becomes the file at the end, or nothing on any error. Raises StoreError."""
    from ticketfeed.storage.sqlite.backup import delete_log
    from ticketfeed.storage.sqlite.file import PRIVATE_MODE
    from ticketfeed.storage.sqlite.store import SqliteStore

    with atomic_file(file, PRIVATE_MODE) as part:
        store = SqliteStore.open(part, clock)
        try:
            yield store
        finally:
            await store.close()
        delete_log(part)


@contextlib.asynccontextmanager
async def open_account_file(file: Path, clock: Clock = system_clock) -> AsyncIterator[tuple[SqlAccountStore, Account]]:
    """The store that a file is, and its only account. Raises BadInput, StoreError."""
    from ticketfeed.storage.sqlite.store import SqliteStore

    if not file.is_file():
        raise StoreError(f"there is no file {file}")
    if not file.stat().st_size:
        raise StoreError(f"{file} is empty, not a file of an account")
    store = SqliteStore.open(file, clock, create=False)
    try:
        accounts = await store.list_accounts(limit=2)
        if len(accounts) != 1:
            raise BadInput(
                f"{file} holds {len(accounts)} accounts, not one; to copy one of several: ticketfeed account copy"
            )
        yield store, accounts[0]
    finally:
        await store.close()
