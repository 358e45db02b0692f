"""Applies the numbered migrations of an engine, each recorded in the transaction that applied it.

A migration whose first line begins with `-- Additive:` leaves everything as an older release knows it, so that servers
of both can use the store at the same time. A store keeps the numbers of those; a release that does not know one of the
others is refused.
"""

import re
from collections.abc import Callable, Iterator

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.queries import load_migrations

__all__ = [
    "CREATE_MIGRATION_TABLE",
    "additive_numbers",
    "apply_migrations",
    "is_additive",
    "is_current",
    "migration_problems",
    "parse_additive",
    "pending_migrations",
    "refuse_newer",
]

# In the forms of `queries.py`.
CREATE_MIGRATION_TABLE = (
    "CREATE TABLE IF NOT EXISTS ticketfeed.migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL)"
)
_ADDITIVE = re.compile(r"-- Additive: \S")


def is_additive(sql: str) -> bool:
    """Whether releases that do not know a migration can use a store that has it. One that does not say so is not."""
    return _ADDITIVE.match(sql) is not None


def additive_numbers(dialect: str, applied: set[int], additive: set[int]) -> str:
    """Those of the applied migrations that a release may lack, as a store keeps them. `additive`: what it kept."""
    known = {number for number, _, sql in load_migrations(dialect) if is_additive(sql)}
    return " ".join(map(str, sorted((known | additive) & applied)))


def parse_additive(value: str | None) -> set[int]:
    """What a store keeps; None for nothing."""
    return {int(number) for number in (value or "").split() if number.isascii() and number.isdecimal()}


def is_current(dialect: str, applied: set[int], additive: set[int]) -> bool:
    """Whether a store lacks nothing that this release knows, and can be used by it."""
    known = _known(dialect)
    return known <= applied <= known | additive


def refuse_newer(dialect: str, applied: set[int], additive: set[int]) -> None:
    """Raise StoreError for a store with migrations that this release does not know, unless all of them are additive."""
    known = _known(dialect)
    if not applied <= known | additive:
        raise StoreError(
            f"the store was written by a newer ticketfeed (its schema is {max(applied)}, "
            f"this release knows up to {max(known)}); upgrade ticketfeed"
        )


def apply_migrations(
    dialect: str, applied: set[int], additive: set[int], apply: Callable[[int, str, str], None]
) -> None:
    """Call `apply(number, name, sql)` for each migration not yet in `applied`. `additive`: which a release may lack.

    The caller holds the store's migration lock and one transaction, and stores the new `additive_numbers`. Raises
    StoreError for a newer store.
    """
    refuse_newer(dialect, applied, additive)
    for number, name, sql in load_migrations(dialect):
        if number not in applied:
            apply(number, name, sql)


def migration_problems(dialect: str, recorded: list[tuple[int, str]], additive: set[int]) -> Iterator[str]:
    """Describe what is wrong with the migrations that a store has recorded."""
    known = [(number, name) for number, name, _ in load_migrations(dialect)]
    for number, name in known:
        if (number, name) not in recorded:
            yield f"migration {number} ({name}) is not recorded as applied"
    for number, name in recorded:
        if (number, name) not in known and number not in additive - _known(dialect):
            yield f"migration {number} ({name}) is recorded, but unknown to this release"


def pending_migrations(dialect: str, applied: set[int], additive: set[int]) -> list[tuple[str, bool]]:
    """The names of those that a store lacks, and whether each is additive. Raises StoreError for a newer store."""
    refuse_newer(dialect, applied, additive)
    return [(name, is_additive(sql)) for number, name, sql in load_migrations(dialect) if number not in applied]


def _known(dialect: str) -> set[int]:
    return {number for number, _, _ in load_migrations(dialect)}
