"""Named queries from .sql files, translated for an engine when they are loaded; and numbered migrations.

`sql/queries.sql` holds what both engines run; `sql/sqlite.sql` and `sql/postgres.sql` what only one of them can. A
query begins with `-- name: NAME`, followed by comments. Its text is PostgreSQL's, apart from these forms:

    :name               a parameter: `%(name)s` for PostgreSQL
    = ANY (:names)      a parameter that is a list: for SQLite a JSON array, `IN (SELECT value FROM json_each(:names))`
    position(:name IN column)  for SQLite `instr(column, :name)`
    ticketfeed.TABLE    a table: SQLite has no schemas, so only TABLE
    {row}, {alias.row}  the columns of the class that its rows are read into, see `Queries.select`
    {StateRow}          the columns of that class, with an alias or without

A query whose text depends on more than its parameters is made by a function: `insert_rows` and `orphans_sql` here,
lists in `list_query.py`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from ticketfeed.protocol.rows import columns_of, make_rows
from ticketfeed.storage.account_row import StateRow

__all__ = [
    "ACCOUNT_TABLES",
    "POSTGRES",
    "SQLITE",
    "Dialect",
    "Queries",
    "build",
    "copy_rows_sql",
    "delete_rows_sql",
    "insert_rows",
    "list_rows_sql",
    "load_migrations",
    "orphans_sql",
    "page_sql",
    "split_statements",
    "translate",
]

T = TypeVar("T")

# The tables that belong to accounts, but those of the sidecar. On Citus they are distributed by account.
ACCOUNT_TABLES = (
    "feed_state",
    "account_clock",
    "account_quota",
    "account_size",
    "mirror",
    "kind_state",
    "ticket",
    "invalidation",
    "record",
    "job",
    "job_item",
    "idempotent_answer",
    "search_entry",
    "credential",
    "oauth_client",
    "oauth_token",
    "oauth_code",
)

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):(\w+)")  # and not the type behind a `::`
_LIST = re.compile(r"= ANY \(:(\w+)\)")
_POSITION = re.compile(r"position\((:\w+) IN (\w+)\)")
_SCHEMA = re.compile(r"\bticketfeed\.")
_STATEMENT_END = re.compile(r";\s*$", re.MULTILINE)
_ROW = re.compile(r"\{(?:(\w+)\.)?row\}")
_STATE_ROW = re.compile(r"\{(?:(\w+)\.)?StateRow\}")


class Dialect(NamedTuple):
    """An engine's SQL. `placeholder`: a parameter without a name. `bind_list`: a list as a parameter is bound to it."""

    name: str
    placeholder: str
    bind_list: Callable[[Sequence[Any]], Any]


SQLITE = Dialect("sqlite", "?", lambda values: msgspec.json.encode(list(values)).decode())
POSTGRES = Dialect("postgres", "%s", list)


class Queries:
    """The queries of one engine."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.bind_list = dialect.bind_list
        self._texts = {name: translate(dialect, sql) for name, sql in _load(dialect).items()}
        self._selects: dict[tuple[str, type[Any]], str] = {}

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def select(self, name: str, row_type: type[Any]) -> str:
        """A query whose rows are read into `row_type`: a NamedTuple or dataclass, which names their columns."""
        key = name, row_type
        if key not in self._selects:
            self._selects[key] = _ROW.sub(lambda match: _columns(row_type, match[1]), self._texts[name])
        return self._selects[key]


@cache
def translate(dialect: Dialect, sql: str) -> str:
    """A query in the forms of the module's docstring, as `dialect` spells it."""
    sql = _STATE_ROW.sub(lambda match: _columns(StateRow, match[1]), sql)
    if dialect is SQLITE:
        sql = _POSITION.sub(r"instr(\2, \1)", sql)
        return _SCHEMA.sub("", _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", sql))
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


@cache
def page_sql(dialect: Dialect, sql: str, order: str, columns: tuple[str, ...]) -> str:
    """A translated query of rows with bodies, without those that follow the first one that is more than a page.

    `order`: its own, by names of `columns`. SQLite's rows come one by one: whoever fetches them stops there.
    """
    if dialect is SQLITE:
        return sql
    row = ", ".join(columns)
    return f"""
        SELECT {row} FROM (
            SELECT {row}, sum(octet_length(body)) OVER (
                ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING
            ) AS bytes_before
            FROM ({sql}) AS every
        ) AS bounded
        WHERE coalesce(bytes_before, 0) <= %(page_bytes_max)s
        ORDER BY {order}"""


@cache
def insert_rows(dialect: Dialect, table: str, row_type: type[Any], *, key: tuple[str, ...] = (), count: int = 1) -> str:
    """An INSERT of `count` rows with parameters without names: of each its account_id, then the columns of `row_type`.

    With `key`, the columns that identify a row within its account, a row that exists is updated.
    """
    columns = columns_of(row_type)
    row = f"({', '.join([dialect.placeholder] * (1 + len(columns)))})"
    sql = f"INSERT INTO ticketfeed.{table} (account_id, {', '.join(columns)}) VALUES {', '.join([row] * count)}"
    if key:
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
        sql += f" ON CONFLICT (account_id, {', '.join(key)}) DO UPDATE SET {updates}"
    return _SCHEMA.sub("", sql) if dialect is SQLITE else sql


@cache
def copy_rows_sql(dialect: Dialect, table: str, columns: tuple[str, ...]) -> str:
    """An INSERT that copies the rows of account `:source` to account `:target`."""
    values = (":target" if column == "account_id" else column for column in columns)
    sql = f"INSERT INTO ticketfeed.{table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM ticketfeed.{table}"
    return translate(dialect, f"{sql} WHERE account_id = :source")


@cache
def list_rows_sql(dialect: Dialect, table: str, columns: tuple[str, ...]) -> str:
    """A SELECT of the rows of an account."""
    return translate(dialect, f"SELECT {', '.join(columns)} FROM ticketfeed.{table} WHERE account_id = :account_id")


@cache
def delete_rows_sql(dialect: Dialect, table: str) -> str:
    """A DELETE of the rows of an account."""
    return translate(dialect, f"DELETE FROM ticketfeed.{table} WHERE account_id = :account_id")


@cache
def of_accounts_sql(dialect: Dialect, sql: str) -> str:
    """A query whose rows begin with account_id, of the accounts `:ids` alone."""
    return f"SELECT * FROM ({sql}) AS every WHERE {translate(dialect, 'account_id = ANY (:ids)')}"


@cache
def orphans_sql(dialect: Dialect) -> str:
    """A query of (table, account_id, rows) for rows whose account is missing."""
    counts = (
        f"SELECT '{table}', account_id, count(*) FROM ticketfeed.{table}"
        " WHERE account_id NOT IN (SELECT account_id FROM ticketfeed.account) GROUP BY account_id"
        for table in ACCOUNT_TABLES
    )
    return translate(dialect, " UNION ALL ".join(counts))


def build(row_type: type[T], rows: Iterable[tuple[Any, ...]]) -> list[T]:
    """The rows of a query that was selected with `row_type`."""
    if not hasattr(row_type, "_fields"):
        return [row_type(*row) for row in rows]
    return cast(list[T], make_rows(cast(type[Any], row_type), rows))


def load_migrations(dialect: str) -> list[tuple[int, str, str]]:
    """(number, name, SQL) in order; file names begin with their number."""
    folder = files(__package__).joinpath("sql", dialect, "migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name, folder.joinpath(name).read_text("utf-8")) for name in names]


def split_statements(sql: str) -> list[str]:
    """The statements of a migration, without comments. Each ends at the end of a line."""
    return [part.strip() for part in _STATEMENT_END.split(_COMMENT.sub("", sql)) if part.strip()]


def _load(dialect: Dialect) -> dict[str, str]:
    queries: dict[str, str] = {}
    for name in ("queries.sql", f"{dialect.name}.sql"):
        text = files(__package__).joinpath("sql", name).read_text("utf-8")
        _, *parts = _NAME.split(text)
        for query, sql in zip(parts[::2], parts[1::2], strict=True):
            if query in queries:
                raise ValueError(f"the query {query} is defined twice, the second time in {name}")
            queries[query] = _COMMENT.sub("", sql).strip()
    return queries


def _columns(row_type: type[Any], alias: str | None) -> str:
    return ", ".join(f"{alias}.{column}" if alias else column for column in columns_of(row_type))
