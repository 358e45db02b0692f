"""The connection of writes that share a transaction: few round trips, however many writes there are.

The connection is in pipeline mode: a statement without a result is sent, and its errors come with the next result that
is asked for. Rows of tickets, records and the search index are kept until there are many, or until a statement may
depend on them, so that those of several writes go into one statement. What they read is kept too: the account's row is
locked, so nobody else changes anything meanwhile.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.model import NEW_ID_MAX
from ticketfeed.protocol.rows import TicketRow, columns_of
from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.storage.postgres.search_index import write_entries
from ticketfeed.storage.postgres.session import ROWS_MAX, PostgresSession
from ticketfeed.storage.search_changes import EntryKey, SearchChanges

__all__ = ["WriteSession", "write_transaction"]

_TABLES = ("ticket", "record", "search_entry")
_TABLE = re.compile(r"\bticketfeed\.(\w+)")


class WriteSession(PostgresSession):
    """The session of writes of one account that share a transaction, or of one alone.

    `changes`: how many statements or rows have changed something. `newest_ids`: the largest id up to NEW_ID_MAX of a
    kind, for those that were asked for. `search_changes`: those of all the writes. `store_tickets`: set by the write
    that runs; it is given the rows of tickets that are to be stored now.
    """

    store_tickets: Callable[[list[TicketRow]], None]

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        pipeline: psycopg.Pipeline,
        account_id: int,
        *,
        is_shared: bool = False,
    ) -> None:
        super().__init__(connection)
        self._pipeline, self._account_id, self.is_shared = pipeline, account_id, is_shared
        self._rows: dict[str, dict[tuple[Any, ...], Any]] = {table: {} for table in _TABLES}
        self._row_types: dict[str, tuple[type[Any], tuple[str, ...]]] = {}
        self._kinds: set[str] = set()
        self._reads: dict[str, dict[tuple[Any, ...], list[Any]]] = {}
        self._new_tickets: set[int] = set()
        self.newest_ids: dict[str, int] = {}
        self.search_changes = SearchChanges(self._write_entries)
        self.changes = self.entry_count = 0

    def fetch(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        self._store_before(sql, bindings)
        kind = bindings.get("kind")
        if not self.is_shared or kind is None or tables_of(sql) != {"record"}:
            return super().fetch(sql, bindings)
        reads = self._reads.setdefault(kind, {})
        key = (sql, *(tuple(value) if isinstance(value, list) else value for value in bindings.values()))
        if key not in reads:
            reads[key] = super().fetch(sql, bindings)
        return reads[key]

    def run(self, sql: str, bindings: Mapping[str, Any]) -> None:
        self._change(sql, bindings)
        super().run(sql, bindings)

    def count(self, name: str, bindings: Mapping[str, Any]) -> int:
        self._change(self.queries[name], bindings)
        cursor = self.connection.execute(self.queries[name].encode(), bindings)
        self._pipeline.sync()
        return cursor.rowcount

    def put_rows(
        self, table: str, row_type: Any, account_id: int, rows: Sequence[Any], key: tuple[str, ...] = ()
    ) -> None:
        self.changes += len(rows)
        if table not in self._rows or not key:
            super().put_rows(table, row_type, account_id, rows, key)
            return
        columns = columns_of(row_type)
        places = [columns.index(name) for name in key]
        kept = self._rows[table]
        self._row_types[table] = row_type, key
        for row in rows:
            kept[account_id, *(row[place] for place in places)] = row
        if table == "record":
            for kind in {row.kind for row in rows}:
                self._kinds.add(kind)
                self._reads.pop(kind, None)
            self._note_ids((row.kind, row.id) for row in rows)
        elif table == "search_entry":
            self.entry_count += len(rows)
        if len(kept) >= ROWS_MAX:
            self._store(table)

    def keep_tickets(self, rows: Sequence[TicketRow]) -> None:
        """Keep rows of tickets, for `store_tickets`."""
        newest = self.newest_ids.get("tickets")
        if newest is not None:
            self._new_tickets |= {row.id for row in rows if newest < row.id <= NEW_ID_MAX}
            self._note_ids(("tickets", row.id) for row in rows)
        self.changes += len(rows)
        kept = self._rows["ticket"]
        for row in rows:
            kept[self._account_id, row.id] = row
        if len(kept) >= ROWS_MAX:
            self._store("ticket")

    @property
    def has_tickets(self) -> bool:
        """Whether tickets were put that are not stored yet."""
        return bool(self._rows["ticket"])

    def is_new_ticket(self, id: int) -> bool:
        """Whether it is known that there was no ticket with this id."""
        return id in self._new_tickets

    def store_kept_tickets(self) -> None:
        """Store the tickets that are kept."""
        self._store("ticket")

    def store_all(self) -> None:
        """Store all rows that are kept: those of tables first, so that the server works while entries are made."""
        self._store("ticket")
        self._store("record")
        self.search_changes.write()
        self._store("search_entry")

    def renewed(self, account_id: int, *, is_shared: bool = False) -> "WriteSession":
        """A session of the same transaction that has kept nothing."""
        return WriteSession(self.connection, self._pipeline, account_id, is_shared=is_shared)

    def roll_back_to(self, savepoint: str, error: Exception) -> None:
        """Undo all that was done since a savepoint, after an error. Raises it if that cannot be undone alone."""
        # A minute, or the time for locks: nobody waits for more of that.
        if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
            raise error
        if not _drain(self.connection, self._pipeline, error):
            raise psycopg.OperationalError("the connection was lost") from error
        self.connection.execute(f"ROLLBACK TO SAVEPOINT {savepoint}".encode())

    def sync(self) -> None:
        """Wait for all that was sent. Raises what failed of it."""
        self._pipeline.sync()

    def _write_entries(
        self,
        old: Mapping[EntryKey, SearchEntry | None],  # noqa: ARG002
        new: Mapping[EntryKey, SearchEntry | None],
    ) -> None:
        write_entries(self, self._account_id, new)

    def _note_ids(self, ids: Iterable[tuple[str, int]]) -> None:
        for kind, id in ids:
            if kind in self.newest_ids and self.newest_ids[kind] < id <= NEW_ID_MAX:
                self.newest_ids[kind] = id

    def _change(self, sql: str, bindings: Mapping[str, Any]) -> None:
        """Before a statement that may change anything in the tables that it names."""
        self._store_before(sql, bindings)
        self.changes += 1
        if tables_of(sql) & {"ticket", "record"}:
            self.newest_ids.clear()
            self._reads.clear()

    def _store_before(self, sql: str, bindings: Mapping[str, Any]) -> None:
        """Store the kept rows that a statement may depend on."""
        for table in tables_of(sql):
            if self._rows.get(table) and self._concerns(table, sql, bindings):
                self._store(table)

    def _concerns(self, table: str, sql: str, bindings: Mapping[str, Any]) -> bool:
        """Whether a statement may depend on the kept rows of a table: by their kind, or by their ids."""
        is_record = table == "record" and "kind" in bindings
        if is_record and bindings["kind"] not in self._kinds:
            return False
        if table not in ("ticket", "record") or " id = ANY (%(ids)s)" not in sql or (table == "record") != is_record:
            return True
        prefix = (bindings["account_id"], bindings["kind"]) if is_record else (bindings["account_id"],)
        return any((*prefix, id) in self._rows[table] for id in bindings["ids"])

    def _store(self, table: str) -> None:
        kept = self._rows[table]
        if not kept:
            return
        self._rows[table] = {}
        if table == "ticket":
            self.store_tickets(list(kept.values()))
            self._new_tickets.clear()
            return
        if table == "record":
            self._kinds.clear()
        by_account: dict[int, list[Any]] = {}
        for (account_id, *_), row in kept.items():
            by_account.setdefault(account_id, []).append(row)
        row_type, key = self._row_types[table]
        for account_id, rows in by_account.items():
            super().put_rows(table, row_type, account_id, rows, key)

    def insert_tickets(self, rows: Sequence[TicketRow]) -> None:
        """Insert or replace tickets now."""
        super().put_rows("ticket", TicketRow, self._account_id, rows, ("id",))


@lru_cache(maxsize=512)
def tables_of(sql: str) -> frozenset[str]:
    """The tables of ours that a statement names."""
    return frozenset(_TABLE.findall(sql))


@contextmanager
def write_transaction(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Pipeline]:
    """A transaction in pipeline mode. Raises StoreUnavailable if it was not committed, though nobody was told why."""
    with connection.pipeline() as pipeline:
        try:
            connection.execute("BEGIN")
            yield pipeline
            commit = connection.execute("COMMIT")
        except BaseException as error:
            _drain(connection, pipeline, error)
            raise
    # The end of the pipeline has waited for the commit.
    if commit.statusmessage != "COMMIT":
        raise StoreUnavailable("the store cannot serve: the transaction was rolled back")


def _drain(connection: psycopg.Connection[Any], pipeline: psycopg.Pipeline, error: BaseException) -> bool:
    """Wait for all that was sent, after an error; False if the connection is lost.

    Statements behind one that failed were not run, though the driver takes them to be prepared on the server: it
    prepares none any more on this connection. A statement that waited for a lock in vain was the last one.
    """
    has_failed = isinstance(error, psycopg.Error) and not isinstance(error, psycopg.errors.QueryCanceled)
    while not connection.broken:
        try:
            pipeline.sync()
        except psycopg.Error:  # of the first that failed; the others are still to come
            has_failed = True
            continue
        if has_failed:
            connection.prepare_threshold = None
        return True
    return False
