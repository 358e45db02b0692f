"""Queries on a connection to PostgreSQL, and how a write stores tickets there."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.postgres.search_index import write_entries
from ticketfeed.storage.queries import POSTGRES, Queries, insert_rows
from ticketfeed.storage.search_changes import EntryKey
from ticketfeed.storage.sql_session import SqlSession
from ticketfeed.storage.sql_transaction import SqlTransaction

__all__ = ["QUERIES", "PostgresSession", "PostgresTransaction"]

QUERIES = Queries(POSTGRES)
# A write of so many entries makes new statistics, without which some searches are planned badly; by itself PostgreSQL
# makes them a minute later.
_ANALYZED_ENTRIES = 5000


class PostgresSession(SqlSession):
    """A connection inside a transaction."""

    queries = QUERIES

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def fetch(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        return self.connection.execute(sql.encode(), bindings, binary=True).fetchall()

    def execute(self, name: str, bindings: Mapping[str, Any]) -> int:
        return self.connection.execute(QUERIES[name].encode(), bindings).rowcount

    def run(self, sql: str, bindings: Mapping[str, Any]) -> None:
        self.connection.execute(sql.encode(), bindings)

    def execute_many(self, sql: str, rows: Iterable[Any]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql.encode(), list(rows))


class PostgresTransaction(SqlTransaction):
    """A WriteTransaction on PostgreSQL."""

    def __init__(self, session: PostgresSession, account: Account, states: States, now: int) -> None:
        super().__init__(session, account, states, now)
        self._connection = session.connection
        self._entry_count = 0

    def _store_tickets(self, rows: list[TicketRow]) -> list[Position]:
        left = self._rows("find_positions", Position, ids=self._list([row.id for row in rows]))
        sql = insert_rows(POSTGRES, "ticket", TicketRow, key=("id",), count=len(rows))
        parameters = [value for row in rows for value in (self._account_id, *row)]
        self._connection.execute(sql.encode(), parameters)
        return left

    def _find_indexed(self, keys: Iterable[EntryKey]) -> list[RecordRow]:  # noqa: ARG002
        return []

    def _write_entries(
        self,
        old: Mapping[EntryKey, SearchEntry | None],  # noqa: ARG002
        new: Mapping[EntryKey, SearchEntry | None],
    ) -> None:
        write_entries(self._session, self._account_id, new)
        self._entry_count += len(new)

    def _add_entries(self, account_id: int, entries: Mapping[EntryKey, SearchEntry | None]) -> None:
        write_entries(self._session, account_id, entries)
        self._entry_count += len(entries)

    def finish(self) -> States:
        states = super().finish()
        if self._entry_count >= _ANALYZED_ENTRIES:
            self._execute("analyze_search_index")
        return states
