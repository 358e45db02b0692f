"""A write transaction on PostgreSQL, of one work among those that share it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ticketfeed.protocol.invalidations import InvalidationLog
from ticketfeed.protocol.model import NEW_ID_MAX, Account, FeedState, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.postgres.search_index import write_entries
from ticketfeed.storage.postgres.write_session import WriteSession
from ticketfeed.storage.search_changes import EntryKey
from ticketfeed.storage.sql_transaction import SqlTransaction

__all__ = ["NeedsOwnTransaction", "PostgresTransaction"]

# Kinds that get an id each when a ticket is made.
_KINDS_OF_NEW = ("tickets", "audits", "ticket_metric_events")
# A transaction of so many entries makes new statistics, without which some searches are planned badly; by itself
# PostgreSQL makes them a minute later.
_ANALYZED_ENTRIES = 5000


class NeedsOwnTransaction(Exception):
    """A work needs a transaction in which no other work has put anything that is not stored yet."""


class PostgresTransaction(SqlTransaction):
    """A WriteTransaction. Tickets are stored, and counted, when somebody depends on them: maybe after the work.

    So the counts in `_state` may lack those of earlier works that share the transaction, until somebody asks for them.
    """

    _session: WriteSession

    def __init__(self, session: WriteSession, account: Account, states: States, now: int) -> None:
        super().__init__(session, account, states, now)
        self._write_session = session
        self._search_changes = session.search_changes
        self._lacks_counts = session.has_tickets
        session.store_tickets = self._store_kept

    @property
    def state(self) -> FeedState:
        if self._lacks_counts:
            self._count_earlier()
        return self._state

    def finish_last(self) -> States:
        """Store all that the works have put, this one too. `finish` for the last one."""
        session = self._write_session
        session.store_all()
        if session.entry_count >= _ANALYZED_ENTRIES:
            self._execute("analyze_search_index")
        return self.finish()

    def next_id(self, kind: str) -> int:
        newest = self._write_session.newest_ids
        if kind not in newest:
            if kind in _KINDS_OF_NEW:
                names = ("tickets", "audits", "ticket_metric_events")
                (found,) = self._fetch("max_ids_of_new", id_max=NEW_ID_MAX)
                newest.update(zip(names, map(int, found), strict=True))
            else:
                newest[kind] = super().next_id(kind) - 1
        return newest[kind] + 1

    def _count_earlier(self) -> None:
        """Store what earlier works have put, and count it."""
        if self._newest is not None:
            raise NeedsOwnTransaction
        self._write_session.store_kept_tickets()
        self._write_invalidations()
        self._state = replace(
            self._state,
            ticket_count=self._state.ticket_count + self._added,
            invalidations=self._state.invalidations + self._invalidations.count,
        )
        self._invalidations, self._added, self._lacks_counts = InvalidationLog(self._state), 0, False

    def _start_alone(self) -> None:
        if self._write_session.is_shared:
            raise NeedsOwnTransaction
        self._write_session.store_kept_tickets()

    def _store_tickets(self, rows: list[TicketRow]) -> None:
        self._write_session.keep_tickets(rows)

    def _store_kept(self, rows: list[TicketRow]) -> None:
        session = self._write_session
        ids = [row.id for row in rows if not session.is_new_ticket(row.id)]
        left = self._rows("find_positions", Position, ids=ids) if ids else []
        session.insert_tickets(rows)
        self._count_stored(len(rows), left)

    def _find_indexed(self, keys: Iterable[EntryKey]) -> list[RecordRow]:  # noqa: ARG002
        return []

    def _write_entries(
        self, old: Mapping[EntryKey, SearchEntry | None], new: Mapping[EntryKey, SearchEntry | None]
    ) -> None:
        raise NotImplementedError  # the session writes those of all works

    def _add_entries(self, account_id: int, entries: Mapping[EntryKey, SearchEntry | None]) -> None:
        write_entries(self._write_session, account_id, entries)

    def _write_search_changes(self) -> None:
        """They are written with those of the other works."""
