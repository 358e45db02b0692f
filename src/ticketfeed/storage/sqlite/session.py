"""Queries on a connection to SQLite, and how a write stores tickets there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.search_index import WORDLESS_KINDS, SearchEntry, indexed_ticket
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.queries import SQLITE, Queries, build, insert_rows
from ticketfeed.storage.search_changes import EntryKey
from ticketfeed.storage.sql_session import SqlSession
from ticketfeed.storage.sql_transaction import SqlTransaction
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

    def count(self, name: str, bindings: Mapping[str, Any]) -> int:
        self.connection.execute(QUERIES[name], bindings)
        return self.connection.changes()

    def run(self, sql: str, bindings: Mapping[str, Any]) -> None:
        self.connection.execute(sql, bindings)

    def put_rows(
        self, table: str, row_type: Any, account_id: int, rows: Sequence[Any], key: tuple[str, ...] = ()
    ) -> None:
        sql = insert_rows(SQLITE, table, row_type, key=key)
        self.connection.executemany(sql, [(account_id, *row) for row in rows])


class SqliteTransaction(SqlTransaction):
    """A WriteTransaction on SQLite."""

    def __init__(self, session: SqliteSession, account: Account, states: States, now: int) -> None:
        super().__init__(session, account, states, now)
        self._connection = session.connection

    def _store_tickets(self, rows: list[TicketRow]) -> None:
        """The position is the key, so a changed ticket is deleted and inserted."""
        account_id, execute = self._account_id, self._connection.execute
        if len(rows) == 1:
            sql, bindings = QUERIES.select("find_position", Position), (account_id, rows[0].id)
            left = build(Position, execute(sql, bindings))
        else:
            left = self._rows("find_positions", Position, ids=self._list([row.id for row in rows]))
        for position in left:
            for id, status, body in execute(QUERIES["delete_ticket"], (account_id, *position)):
                self._search_changes.add_stored(("tickets", id), indexed_ticket(id, status, body))
        # In feed order: inserts into a clustered table in another order take twice the time.
        self._connection.executemany(_INSERT_TICKET, [(account_id, *row) for row in sorted(rows)])
        self._count_stored(len(rows), left)

    def _start_alone(self) -> None:
        pass

    def _find_indexed(self, keys: Iterable[EntryKey]) -> list[RecordRow]:
        """To remove the words of an entry, which the index does not have, they are made again."""
        ids: dict[str, list[int]] = {}
        for kind, id in keys:
            if kind not in WORDLESS_KINDS:
                ids.setdefault(kind, []).append(id)
        return [
            row
            for kind, wanted in ids.items()
            for row in self._rows("find_record_rows", RecordRow, kind=kind, ids=self._list(wanted))
        ]

    def _write_entries(
        self, old: Mapping[EntryKey, SearchEntry | None], new: Mapping[EntryKey, SearchEntry | None]
    ) -> None:
        write_entries(self._connection, QUERIES, self._account_id, old, new)

    def _add_entries(self, account_id: int, entries: Mapping[EntryKey, SearchEntry | None]) -> None:
        write_entries(self._connection, QUERIES, account_id, {}, entries)
