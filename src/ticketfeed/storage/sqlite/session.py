"""Queries on a connection to SQLite, and how a write stores tickets there."""

from collections.abc import Iterable, Mapping
from typing import Any

import apsw

from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.search_index import SearchEntry, index_record, index_ticket
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.queries import SQLITE, Queries, build, insert_rows
from ticketfeed.storage.sql_session import SqlSession
from ticketfeed.storage.sql_transaction import EntryKey, SqlTransaction
from ticketfeed.storage.sqlite.search_index import write_entries

__all__ = ["QUERIES", "SqliteSession", "SqliteTransaction"]

QUERIES = Queries(SQLITE)
_INSERT_TICKET = insert_rows(SQLITE, "ticket", TicketRow)


class SqliteSession(SqlSession):
    """A connection inside a transaction."""

    queries = QUERIES

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def fetch(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        return self.connection.execute(sql, bindings).fetchall()

    def execute(self, name: str, bindings: Mapping[str, Any]) -> int:
        self.connection.execute(QUERIES[name], bindings)
        return self.connection.changes()

    def execute_many(self, sql: str, rows: Iterable[Any]) -> None:
        self.connection.executemany(sql, rows)


class SqliteTransaction(SqlTransaction):
    """A WriteTransaction on SQLite."""

    def __init__(self, session: SqliteSession, account: Account, states: States, now: int) -> None:
        super().__init__(session, account, states, now)
        self._connection = session.connection

    def _store_tickets(self, rows: list[TicketRow]) -> list[Position]:
        """The position is the key, so a changed ticket is deleted and inserted."""
        account_id, execute = self._account_id, self._connection.execute
        if len(rows) == 1:
            sql, bindings = QUERIES.select("find_position", Position), (account_id, rows[0].id)
            left = build(Position, execute(sql, bindings))
        else:
            left = self._rows("find_positions", Position, ids=self._list([row.id for row in rows]))
        old: dict[EntryKey, SearchEntry] = {}
        for position in left:
            for id, status, body in execute(QUERIES["delete_ticket"], (account_id, *position)):
                if entry := index_ticket(id, status, body):
                    old["tickets", id] = entry
        # In feed order: inserts into a clustered table in another order take twice the time.
        self._connection.executemany(_INSERT_TICKET, [(account_id, *row) for row in sorted(rows)])
        self._put_entries(old, {("tickets", row.id): index_ticket(row.id, row.status, row.body) for row in rows})
        return left

    def _find_entries(self, rows: Mapping[EntryKey, RecordRow]) -> dict[EntryKey, SearchEntry]:
        """Made of the rows that are stored, as the index does not have its words."""
        ids: dict[str, list[int]] = {}
        for kind, id in rows:
            ids.setdefault(kind, []).append(id)
        stored = [
            row
            for kind in ids
            for row in self._rows("find_record_rows", RecordRow, kind=kind, ids=self._list(ids[kind]))
        ]
        return {(row.kind, row.id): entry for row in stored if (entry := index_record(row))}

    def _put_entries(self, old: Mapping[EntryKey, SearchEntry], new: Mapping[EntryKey, SearchEntry | None]) -> None:
        write_entries(self._connection, QUERIES, self._account_id, old, new)
