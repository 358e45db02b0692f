"""Backup and restore of an SQLite store. Both end with one complete file, or none.

A copy is taken in one read transaction, so it is of one instant, and writers go on meanwhile. It is a single file,
without a write-ahead log. A restored store is checked, migrated and fenced before it gets its name: no process can open
it before.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from ticketfeed.atomic_file import atomic_file
from ticketfeed.clock import Clock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.migrations import refuse_newer
from ticketfeed.storage.sql_session import fence_copy
from ticketfeed.storage.sqlite.file import (
    APPLICATION_ID,
    PRIVATE_MODE,
    explain,
    prepare,
    put_file_id,
    read_applied,
    snapshot,
    transaction,
)
from ticketfeed.storage.sqlite.session import SqliteSession

__all__ = ["backup_sqlite", "delete_log", "restore_sqlite"]

BUSY_SECONDS = 10.0
# Copied between two reports of progress, which also are when an interrupt is noticed: some tens of megabytes.
PAGES_A_STEP = 1024


def backup_sqlite(path: Path, file: Path, advance: Callable[[int, int], None]) -> None:
    """Copy the store at `path` into the new `file`, which only its owner can read. Raises StoreError.

    `advance` is called with the pages copied so far, and how many there are.
    """
    _refuse_missing(path, "store")
    with atomic_file(file, PRIVATE_MODE) as part, _errors_of("back up", path):
        with _opened(path) as source, _opened(part) as copy:
            _refuse_foreign(source, path)
            _copy(source, copy, advance)
            with transaction(copy):
                put_file_id(copy, anew=True)
        delete_log(part)


def restore_sqlite(
    file: Path, path: Path, clock: Clock, clock_error_seconds: int, advance: Callable[[int, int], None]
) -> list[tuple[Account, FeedState]]:
    """Make the backup `file` the store at `path`, where none may be. Returns the accounts and their fenced rows.

    Raises StoreError.
    """
    _refuse_missing(file, "backup")
    with atomic_file(path, PRIVATE_MODE, may_be_empty=True) as part, _errors_of("restore", file):
        with _opened(file, apsw.SQLITE_OPEN_READONLY) as source, _opened(part) as copy:
            _refuse_foreign(source, file)
            _copy(source, copy, advance)
        prepare(part, BUSY_SECONDS)
        with _opened(part) as copy:
            _refuse_damaged(copy, file)
            fenced = _fence_copy(copy, clock, clock_error_seconds)
        delete_log(part)
    return fenced


def _fence_copy(connection: apsw.Connection, clock: Clock, clock_error_seconds: int) -> list[tuple[Account, FeedState]]:
    """Fence every account, and give the store an id of its own.

    From here on it may differ from the store it was copied from, and ETags are made of the store's id and positions:
    with the same id, two different pages could have one ETag.
    """
    with transaction(connection):
        fenced = fence_copy(SqliteSession(connection), clock(), clock_error_seconds)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'store_id'", (uuid.uuid4().hex,))
        put_file_id(connection, anew=True)
    return fenced


def _copy(source: apsw.Connection, copy: apsw.Connection, advance: Callable[[int, int], None]) -> None:
    """In one read transaction of the source: without it, each write of another process would start the copy again."""
    with snapshot(source):
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES_A_STEP)
                advance(backup.page_count - backup.remaining, backup.page_count)


def delete_log(part: Path) -> None:
    """Take the copy out of WAL mode; its first write puts it back."""
    with _opened(part) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        raise StoreError(f"{path} is not a ticketfeed store")
    refuse_newer("sqlite", *read_applied(connection))


def _refuse_damaged(connection: apsw.Connection, file: Path) -> None:
    result = connection.execute("PRAGMA quick_check(1)").get
    if result != "ok":
        raise StoreError(f"{file} is damaged: {' '.join(str(result).split())}")


def _refuse_missing(path: Path, what: str) -> None:
    if not path.is_file():
        raise StoreError(f"there is no {what} at {path}")


@contextlib.contextmanager
def _opened(path: Path, flags: int = apsw.SQLITE_OPEN_READWRITE) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _errors_of(verb: str, path: Path) -> Iterator[None]:
    """Translate SQLite's errors into StoreError, with the original as the cause."""
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"cannot {verb} {path}: {explain(error)}") from error
