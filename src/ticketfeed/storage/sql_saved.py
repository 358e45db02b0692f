"""Saved accounts on an engine with SQL: accounts of their own, whose names no host has.

Saving copies every row of an account. Rewinding puts back what has changed since: every change carries a later second
than the watermark at that time, so it is found by the index of the feed. That holds for an account that is still the
same line of changes; one that was rewound to an earlier one has left the line of the later ones, and then everything is
compared.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ticketfeed.protocol import watermark
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.protocol.resources import RESOURCES
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.saved_accounts import (
    SavedAccount,
    account_exists,
    check_saved_name,
    find_saved,
    forked_states,
    rewound_states,
    saved_subdomain,
)
from ticketfeed.protocol.search_index import SearchEntry
from ticketfeed.protocol.watermark import States
from ticketfeed.storage.dedup import batches
from ticketfeed.storage.queries import copy_rows_sql, delete_rows_sql
from ticketfeed.storage.search_changes import EntryKey
from ticketfeed.storage.search_fill import account_entries
from ticketfeed.storage.sql_session import SqlSession, create_account, lock_states, write_states

__all__ = ["SavedRow", "SqlSavedWrites"]

BATCH = 250
# Tables that are put back as a whole: they have few rows.
_SMALL = (
    *("credential", "oauth_client", "oauth_token", "oauth_code", "job", "job_item", "idempotent_answer"),
    "account_clock",
)
_COPIED = ("ticket", "record", *_SMALL)
_EVERYTHING = -1


class SavedRow(NamedTuple):
    """A row of list_saved. `value` is four numbers: the second when it was saved; 1 if the account is still on its
    line, else 0; and the watermarks of tickets and of records then, which a fence of all accounts does not move."""

    account_id: int
    subdomain: str
    value: str

    @property
    def is_on_line(self) -> bool:
        return self._numbers[1] == 1

    @property
    def watermarks(self) -> tuple[int, int]:
        """Changes since carry later seconds, as long as the account is on its line."""
        return self._numbers[2], self._numbers[3]

    @property
    def _numbers(self) -> list[int]:
        return [int(number) for number in self.value.split()]

    def moved(self, *, is_on_line: bool) -> "SavedRow":
        """The row of one that is on the line, or is not."""
        saved_at, _, *watermarks = self._numbers
        return self._replace(value=" ".join(map(str, (saved_at, int(is_on_line), *watermarks))))

    def saved(self, state: FeedState) -> SavedAccount:
        """What the row says, with the state of the saved account's tickets."""
        name = self.subdomain.partition("@")[2]
        return SavedAccount(name, self._numbers[0], state.ticket_count, Account(self.account_id, self.subdomain))


class SqlSavedWrites(ABC):
    """The part of a write transaction that saves, rewinds and forks its account."""

    _state: FeedState
    now: int
    _record_state: FeedState
    _session: SqlSession

    def __init__(self, account: Account) -> None:
        self._account = account
        self._rewound: States | None = None

    @abstractmethod
    def _check_writable(self) -> None:
        """Raises AccountIsMirror."""

    @abstractmethod
    def _start_alone(self) -> None:
        """Called before the account's row is changed otherwise than by what is put."""

    @abstractmethod
    def _put_tickets(self, rows: list[TicketRow]) -> None:
        """Store rows of different tickets as they are."""

    @abstractmethod
    def _store_records(self, rows: Sequence[RecordRow]) -> None:
        """Store rows as they are."""

    @abstractmethod
    def _remove_tickets(self, ids: Sequence[int]) -> int:
        """Delete tickets as if they had never been."""

    @abstractmethod
    def _remove_records(self, kind: str, ids: Sequence[int]) -> int:
        """Delete records as if they had never been."""

    @abstractmethod
    def _add_entries(self, account_id: int, entries: Mapping[EntryKey, SearchEntry | None]) -> None:
        """Add to the search index of an account, where they are not yet."""

    def list_saved(self) -> list[SavedAccount]:
        return [row.saved(self._saved_states(row)[0]) for row in self._saved_rows()]

    def save_account(self, name: str) -> SavedAccount:
        self._check_writable()
        self._start_alone()
        check_saved_name(name, self.list_saved())
        states = watermark.close_states((self._state, self._record_state), self.now)
        if states is not None:
            self._state, self._record_state = states
        account, _ = create_account(self._session, saved_subdomain(self._account, name))
        self._copy(self._account.account_id, account.account_id, _COPIED)
        write_states(self._session, account, (self._state, self._record_state))
        watermarks = f"{self._state.watermark} {self._record_state.watermark}"
        row = SavedRow(account.account_id, account.subdomain, f"{self.now} 1 {watermarks}")
        self._session.execute("put_meta", {"name": _key(row), "value": row.value})
        return row.saved(self._state)

    def rewind_account(self, name: str, *, fences: bool) -> None:
        self._check_writable()
        self._start_alone()
        saved = self._find_row(name)
        states = self._saved_states(saved)
        tickets_after, records_after = saved.watermarks if saved.is_on_line else (_EVERYTHING, _EVERYTHING)
        self._rewind_tickets(saved.account_id, tickets_after)
        for kind in RESOURCES:
            self._rewind_records(saved.account_id, kind, records_after)
        for table in _SMALL:
            self._delete(self._account.account_id, table)
        self._copy(saved.account_id, self._account.account_id, _SMALL)
        self._session.execute("write_scrubbed", {"account_id": self._account.account_id, "until": -1})
        self._leave_saved(keep=saved)
        self._rewound = rewound_states((self._state, self._record_state), states, fences=fences)

    def fork_account(self, name: str, subdomain: str) -> None:
        saved = self._find_row(name)
        if self._session.rows("find_account", Account, {"subdomain": subdomain}):
            raise account_exists(subdomain)
        account, _ = create_account(self._session, subdomain)
        self._copy(saved.account_id, account.account_id, _COPIED)
        fenced_at = int(self._session.value("read_fenced_at", {}))
        write_states(self._session, account, forked_states(self._saved_states(saved), fenced_at))
        for entries in account_entries(self._session, account.account_id):
            self._add_entries(account.account_id, entries)

    def delete_saved(self, name: str) -> SavedAccount:
        row = self._find_row(name)
        saved = row.saved(self._saved_states(row)[0])
        for table in ("feed_state", *_COPIED):
            self._delete(row.account_id, table)
        self._session.execute("forget_meta", {"name": _key(row)})
        self._session.execute("delete_account", {"account_id": row.account_id})
        return saved

    def _leave_saved(self, keep: SavedRow | None = None) -> None:
        """Note that the account is on the line of those saved no later than `keep`, and of no other; if it was not on
        the line of that one, of that one alone."""
        for row in self._saved_rows():
            is_before = keep is not None and keep.is_on_line and row.account_id <= keep.account_id and row.is_on_line
            moved = row.moved(is_on_line=row == keep or is_before)
            if moved != row:
                self._session.execute("put_meta", {"name": _key(row), "value": moved.value})

    def _rewind_tickets(self, saved_id: int, after: int) -> None:
        changed = self._changed("list_ticket_ids_after", saved_id, after=after)
        for ids in batches(changed, BATCH):
            rows = self._session.rows("find_tickets", TicketRow, {"account_id": saved_id, "ids": self._ids(ids)})
            self._put_tickets(rows)
            self._remove_tickets(_without(ids, {row.id for row in rows}))

    def _rewind_records(self, saved_id: int, kind: str, after: int) -> None:
        changed = self._changed("list_record_ids_after", saved_id, after=after, kind=kind)
        for ids in batches(changed, BATCH):
            bindings = {"account_id": saved_id, "kind": kind, "ids": self._ids(ids)}
            rows = self._session.rows("find_record_rows", RecordRow, bindings)
            self._store_records(rows)
            self._remove_records(kind, _without(ids, {row.id for row in rows}))

    def _changed(self, query: str, saved_id: int, **bindings: object) -> list[int]:
        """The ids of what either account has after a second."""
        sql = self._session.queries[query]
        accounts = (self._account.account_id, saved_id)
        return sorted({id for own in accounts for (id,) in self._session.fetch(sql, {"account_id": own, **bindings})})

    def _ids(self, ids: Sequence[int]) -> object:
        return self._session.queries.bind_list(ids)

    def _saved_rows(self) -> list[SavedRow]:
        sql = self._session.queries["list_saved"]
        return [SavedRow(*row) for row in self._session.fetch(sql, {"pattern": saved_subdomain(self._account, "%")})]

    def _find_row(self, name: str) -> SavedRow:
        rows = {row.subdomain.partition("@")[2]: row for row in self._saved_rows()}
        return rows[find_saved(name, self.list_saved()).name]

    def _saved_states(self, row: SavedRow) -> States:
        return lock_states(self._session, Account(row.account_id, row.subdomain))

    def _copy(self, source: int, target: int, tables: Sequence[str]) -> None:
        queries = self._session.queries
        for table in tables:
            columns = tuple(name for (name,) in self._session.fetch(queries["list_columns"], {"name": table}))
            self._session.run(copy_rows_sql(queries.dialect, table, columns), {"source": source, "target": target})

    def _delete(self, account_id: int, table: str) -> None:
        self._session.run(delete_rows_sql(self._session.queries.dialect, table), {"account_id": account_id})


def _key(row: SavedRow) -> str:
    return f"saved_{row.account_id}"


def _without(ids: Sequence[int], found: set[int]) -> list[int]:
    return [id for id in ids if id not in found]
