"""Backup and restore of an SQLite store. Both end with one whole file, or leave nothing behind.

A copy is taken in one read transaction, so it is of one instant, and writers go on meanwhile. It needs no log
beside it. A restored store is checked, migrated and fenced before it gets its name: nobody can open it earlier.
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
from ticketfeed.storage.migrations import apply_migrations
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sqlite.file import APPLICATION_ID, explain, prepare, snapshot, transaction
from ticketfeed.storage.sqlite.transaction import fence_account

__all__ = ["backup_sqlite", "restore_sqlite"]

BUSY_SECONDS = 10.0
# Copied between two looks at the keyboard: some tens of megabytes.
PAGES_A_STEP = 1024

Q = load_queries("sqlite")


def backup_sqlite(path: Path, file: Path, advance: Callable[[int, int], None]) -> None:
    """Copy the store at `path` into the new `file`, as readable as the store. Raises StoreError.

    `advance` is called with the pages copied so far, and how many there are.
    """
    with atomic_file(file, _mode(path, "store")) as part, _told("back up", path):
        with _opened(path) as source, _opened(part) as copy:
            _refuse_foreign(source, path)
            _copy(source, copy, advance)
        _leave_no_log(part)


def restore_sqlite(
    file: Path, path: Path, clock: Clock, clock_error_seconds: int, advance: Callable[[int, int], None]
) -> list[tuple[Account, FeedState]]:
    """Make the backup `file` the store at `path`, where none may be. Returns the accounts and their fenced rows.

    Raises StoreError.
    """
    with atomic_file(path, _mode(file, "backup"), may_be_empty=True) as part, _told("restore", file):
        with _opened(file, apsw.SQLITE_OPEN_READONLY) as source, _opened(part) as copy:
            _refuse_foreign(source, file)
            _copy(source, copy, advance)
        prepare(part, BUSY_SECONDS)
        with _opened(part) as copy:
            _refuse_damaged(copy, file)
            fenced = _start_anew(copy, clock, clock_error_seconds)
        _leave_no_log(part)
    return fenced


def _start_anew(connection: apsw.Connection, clock: Clock, clock_error_seconds: int) -> list[tuple[Account, FeedState]]:
    """Fence every account, and give the store an id of its own.

    From here on it may go another way than the store it was copied from, and ETags are made of the store's id and
    positions: with the old id, two different pages could carry one ETag.
    """
    fenced = []
    with transaction(connection):
        for account in [Account(*row) for row in connection.execute(Q["list_accounts"])]:
            fenced.append((account, fence_account(connection, account, clock(), clock_error_seconds)))
        connection.execute("UPDATE meta SET value = ? WHERE name = 'store_id'", (uuid.uuid4().hex,))
    return fenced


def _copy(source: apsw.Connection, copy: apsw.Connection, advance: Callable[[int, int], None]) -> None:
    """In one read transaction of the source: without it, each write of another process would start the copy again."""
    with snapshot(source):
        source.execute("SELECT count(*) FROM sqlite_master").fetchall()
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(PAGES_A_STEP)
                advance(backup.page_count - backup.remaining, backup.page_count)


def _leave_no_log(part: Path) -> None:
    with _opened(part) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _refuse_foreign(connection: apsw.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").get != APPLICATION_ID:
        raise StoreError(f"{path} is not a ticketfeed store")
    applied = {number for (number,) in connection.execute("SELECT number FROM migration")}
    apply_migrations("sqlite", applied, lambda _number, _name, _sql: None)  # refuses a newer store


def _refuse_damaged(connection: apsw.Connection, file: Path) -> None:
    result = connection.execute("PRAGMA quick_check(1)").get
    if result != "ok":
        raise StoreError(f"{file} is damaged: {' '.join(str(result).split())}")


def _mode(path: Path, what: str) -> int:
    if not path.is_file():
        raise StoreError(f"there is no {what} at {path}")
    return path.stat().st_mode & 0o666


@contextlib.contextmanager
def _opened(path: Path, flags: int = apsw.SQLITE_OPEN_READWRITE) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(round(BUSY_SECONDS * 1000))
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _told(verb: str, path: Path) -> Iterator[None]:
    """SQLite's errors become ours, the cause kept."""
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"cannot {verb} {path}: {explain(error)}") from error
