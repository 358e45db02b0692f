"""Queries on a connection to PostgreSQL, and how rows are put there: many in one statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any

import psycopg

from ticketfeed.storage.dedup import batches
from ticketfeed.storage.queries import POSTGRES, Queries, insert_rows
from ticketfeed.storage.sql_session import SqlSession

__all__ = ["QUERIES", "ROWS_MAX", "PostgresSession"]

QUERIES = Queries(POSTGRES)
# Rows of one statement: some hundred kilobytes, and a few thousand parameters of the 65,535 that there can be.
ROWS_MAX = 250
# Of a statement that may be prepared: each number of rows makes another one, whose plan takes 5 kB a row of the server,
# and to plan many rows is little beside storing them.
PREPARED_ROWS_MAX = 32


class PostgresSession(SqlSession):
    """A connection inside a transaction."""

    queries = QUERIES

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def fetch(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        return self.connection.execute(sql.encode(), bindings, binary=True).fetchall()

    def count(self, name: str, bindings: Mapping[str, Any]) -> int:
        return self.connection.execute(QUERIES[name].encode(), bindings).rowcount

    def run(self, sql: str, bindings: Mapping[str, Any]) -> None:
        self.connection.execute(sql.encode(), bindings)

    def put_rows(
        self, table: str, row_type: Any, account_id: int, rows: Sequence[Any], key: tuple[str, ...] = ()
    ) -> None:
        for batch in batches(rows, ROWS_MAX):
            values = [value for row in batch for value in (account_id, *row)]
            sql = _numbered_insert(table, row_type, key, len(batch))
            prepare = None if len(batch) <= PREPARED_ROWS_MAX else False
            psycopg.RawCursor(self.connection).execute(sql, values, prepare=prepare)


@lru_cache(maxsize=256)
def _numbered_insert(table: str, row_type: Any, key: tuple[str, ...], rows: int) -> bytes:
    """With numbered parameters: to look for thousands of names in a text takes as long as to store the rows."""
    numbers = count(1)
    head, *rest = insert_rows(POSTGRES, table, row_type, key=key, count=rows).split("%s")
    return "".join([head, *(f"${next(numbers)}{text}" for text in rest)]).encode()
