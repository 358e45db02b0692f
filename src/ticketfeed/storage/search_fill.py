"""Filling the search index of a store that was written before it had one, or by a release that indexed otherwise."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ticketfeed.protocol.model import INT64_MAX, Account
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.search_index import (
    INDEXED_KINDS,
    SEARCH_INDEX_VERSION,
    IndexedRow,
    SearchEntry,
    index_rows,
    indexed_record,
    indexed_ticket,
)
from ticketfeed.storage.search_changes import EntryKey
from ticketfeed.storage.sql_session import SqlSession

__all__ = ["account_entries", "build_search_index", "needs_search_index"]

# Rows read and entries added at once.
BATCH = 250

Entries = Mapping[EntryKey, SearchEntry | None]


def needs_search_index(session: SqlSession) -> bool:
    """Whether the index does not hold what this release puts into it."""
    return bool(session.value("read_search_index_version", {}) != str(SEARCH_INDEX_VERSION))


def build_search_index(session: SqlSession, add: Callable[[int, Entries], None]) -> None:
    """Make all entries anew, in constant memory. `add(account_id, entries)` adds some to the empty index."""
    session.execute("clear_search_index", {})
    for account in session.rows("list_accounts", Account, {"limit": INT64_MAX}):
        for entries in account_entries(session, account.account_id):
            add(account.account_id, entries)
    session.execute("write_search_index_version", {"value": str(SEARCH_INDEX_VERSION)})


def account_entries(session: SqlSession, account_id: int) -> Iterator[Entries]:
    """All entries of one account, made of its rows, some at a time."""
    yield from _ticket_entries(session, account_id)
    for kind in sorted(INDEXED_KINDS):
        yield from _record_entries(session, account_id, kind)


def _ticket_entries(session: SqlSession, account_id: int) -> Iterator[Entries]:
    second = id = -1
    while True:
        bindings = {"account_id": account_id, "after_timestamp": second, "after_id": id, "limit": BATCH}
        rows = session.fetch(session.queries["scan_tickets_after"], bindings)
        if not rows:
            return
        yield _entries([indexed_ticket(id, status, body) for _, id, status, body in rows])
        second, id, *_ = rows[-1]


def _record_entries(session: SqlSession, account_id: int, kind: str) -> Iterator[Entries]:
    id = -1
    while True:
        bindings = {"account_id": account_id, "kind": kind, "after_id": id, "limit": BATCH}
        rows = session.rows("scan_records_after", RecordRow, bindings)
        if not rows:
            return
        yield _entries([indexed_record(row) for row in rows])
        id = rows[-1].id


def _entries(rows: Iterable[IndexedRow | None]) -> Entries:
    entries = index_rows([row for row in rows if row is not None])
    return {(entry.kind, entry.id): entry for entry in entries if entry is not None}
