"""Applies the numbered migrations of a dialect, each recorded in the transaction that made it.

A store that was written by a newer release is refused, never guessed at.
"""

from collections.abc import Callable

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.queries import load_migrations

__all__ = ["CREATE_MIGRATION_TABLE", "apply_migrations"]

CREATE_MIGRATION_TABLE = "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"


def apply_migrations(dialect: str, applied: set[int], apply: Callable[[int, str, str], None]) -> None:
    """Call `apply(number, name, sql)` for each migration not yet in `applied`.

    The caller holds the store's migration lock and one transaction. Raises StoreError for a newer store.
    """
    known = load_migrations(dialect)
    unknown = applied - {number for number, _, _ in known}
    if unknown:
        newest = max(number for number, _, _ in known)
        raise StoreError(
            f"the store was written by a newer ticketfeed (its schema is {max(unknown)}, "
            f"this release knows up to {newest}); upgrade ticketfeed"
        )
    for number, name, sql in known:
        if number not in applied:
            apply(number, name, sql)
