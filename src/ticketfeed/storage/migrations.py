"""Applies the numbered migrations of an engine, each recorded in the transaction that applied it.

A store that was written by a newer release is refused.
"""

from collections.abc import Callable, Iterator

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.queries import load_migrations

__all__ = ["CREATE_MIGRATION_TABLE", "apply_migrations", "migration_problems"]

# In the forms of `queries.py`.
CREATE_MIGRATION_TABLE = (
    "CREATE TABLE IF NOT EXISTS ticketfeed.migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"
)


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


def migration_problems(dialect: str, recorded: list[tuple[int, str]]) -> Iterator[str]:
    """Describe what is wrong with the migrations that a store has recorded."""
    known = [(number, name) for number, name, _ in load_migrations(dialect)]
    for number, name in known:
        if (number, name) not in recorded:
            yield f"migration {number} ({name}) is not recorded as applied"
    for number, name in recorded:
        if (number, name) not in known:
            yield f"migration {number} ({name}) is recorded, but unknown to this release"
