"""Backup and restore by store URL, whose scheme names the engine as in `open_store`."""

from collections.abc import Callable
from pathlib import Path

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage import needs_driver, sqlite_path

__all__ = ["Advance", "backup_store", "restore_store"]

# Called with the pages copied so far, and how many there are; PostgreSQL does not report them.
Advance = Callable[[int, int], None]


def backup_store(url: str, file: Path, advance: Advance) -> None:
    """Copy the store into the new `file`, all of one instant, while writers go on. Raises StoreError."""
    if url.startswith("sqlite:///"):
        from ticketfeed.storage.sqlite.backup import backup_sqlite

        return backup_sqlite(sqlite_path(url), file, advance)
    if url.startswith(("postgresql://", "postgres://")):
        with needs_driver():
            from ticketfeed.storage.postgres.backup import backup_postgres

        return backup_postgres(url, file)
    raise _no_backup(url)


def restore_store(
    url: str, file: Path, clock_error_seconds: int, advance: Advance, clock: Clock = system_clock
) -> list[tuple[Account, FeedState]]:
    """Create a store from the backup `file` where there is none, fenced before any process can use it.

    Returns every account with its state. Raises StoreError, and then nothing was created.
    """
    if url.startswith("sqlite:///"):
        from ticketfeed.storage.sqlite.backup import restore_sqlite

        return restore_sqlite(file, sqlite_path(url), clock, clock_error_seconds, advance)
    if url.startswith(("postgresql://", "postgres://")):
        with needs_driver():
            from ticketfeed.storage.postgres.backup import restore_postgres

        return restore_postgres(file, url, clock, clock_error_seconds)
    raise _no_backup(url)


def _no_backup(url: str) -> StoreError:
    if url == "memory:":
        return StoreError("a store in memory has no backup: it ends with its process")
    return StoreError(f"unknown store URL scheme {url.partition(':')[0]!r}; use sqlite:///FILE or postgresql://...")
