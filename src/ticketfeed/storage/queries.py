"""Loads the SQL that stands in .sql files: named queries, and numbered migrations.

A query begins with `-- name: the_name`. The dialects keep the same names, so that they can be compared.
"""

import re
from functools import cache
from importlib.resources import files

__all__ = ["load_migrations", "load_queries"]

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load_queries(dialect: str) -> dict[str, str]:
    """Name -> SQL of one dialect's queries.sql."""
    text = files(__package__).joinpath("sql", dialect, "queries.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def load_migrations(dialect: str) -> list[tuple[int, str, str]]:
    """(number, name, SQL) in order; file names begin with their number."""
    folder = files(__package__).joinpath("sql", dialect, "migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name, folder.joinpath(name).read_text("utf-8")) for name in names]
