"""Copies an account from one store to another, on any engine with SQL, while it is read and written.

A first pass copies everything, while the source is written. Further passes copy what has changed since: every change
carries a later second than the watermark that the pass before began with. For the last one writes of the account are
refused, so that it is short and nothing changes after it. The source is read in one snapshot a pass, and never blocked.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from ticketfeed.protocol.errors import BadInput, StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.watermark import FENCED, States
from ticketfeed.storage.contract import Store
from ticketfeed.storage.dedup import batches
from ticketfeed.storage.snapshot_contract import LONG_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.sql_accounts import BATCH, COPIED_TABLES, MOVED, SqlAccountStore, usage_key
from ticketfeed.storage.sql_snapshot import SqlSnapshot
from ticketfeed.storage.sql_transaction import rewound_key

__all__ = ["FREEZE_SECONDS", "CopiedAccount", "copy_account", "with_accounts"]

T = TypeVar("T")

# For how long writes are refused at most. The last pass takes a fraction of a second, unless there are many idempotent
# answers of the last hours.
FREEZE_SECONDS = 30.0
# Passes are repeated until one is this short, but no more often than this: what is written faster is never caught up.
SHORT_PASS_SECONDS = 1.0
PASSES_MAX = 5
_EVERYTHING = -1


class CopiedAccount(NamedTuple):
    """What was copied, and for how long writes of the source were refused."""

    tickets: int
    records: int
    frozen_seconds: float


class _Seen(NamedTuple):
    """The source as a pass began. `kinds`: of a mirror, the watermark of each kind of records."""

    states: States
    kinds: dict[str, int]

    def after(self, kind: str) -> int:
        """What changes later carries a later second than this one."""
        tickets, records = self.states
        if kind == "tickets":
            return tickets.watermark
        if tickets.is_mirror:
            return self.kinds.get(kind, _EVERYTHING)
        return records.watermark or _EVERYTHING  # before a reader asks for records they keep their own seconds

    def is_followed_by(self, later: "_Seen") -> bool:
        """Whether that is true: the account was neither rewound nor fenced since."""
        before, after = self.states[0], later.states[0]
        return after.is_mirror == before.is_mirror and after.invalidations - before.invalidations < FENCED


def with_accounts(store: Store) -> SqlAccountStore:
    """The store, if whole accounts can be copied from it and to it. Raises StoreError."""
    if not isinstance(store, SqlAccountStore):
        raise StoreError("a store in memory ends with its process: no account can be copied from it, or to it")
    return store


async def copy_account(
    source: SqlAccountStore,
    account: Account,
    target: SqlAccountStore,
    subdomain: str,
    *,
    clock_error_seconds: int,
    freeze_seconds: float | None,
    moves: bool = False,
    is_file: bool = False,
) -> CopiedAccount:
    """Copy an account to a store that has none of this name.

    `freeze_seconds`: for how long writes of the source may be refused; None: they are not, and the copy is of the
    instant at which it began. `moves`: they stay refused. `is_file`: the target is a file of this account alone, which
    has in itself what the sidecar would. Raises BadInput, StoreError, StoreUnavailable; the target then shows nothing.
    """
    if source.store_id == target.store_id:
        raise BadInput("both are the same store; to make another account in it: ticketfeed snapshot fork")
    copy = _Copy(source, account, target, await target.begin_account(subdomain))
    seen = await copy.run_pass(None, is_last=freeze_seconds is None)
    if freeze_seconds is None:
        await copy.complete(subdomain, seen, clock_error_seconds, is_file=is_file)
        return copy.result(0.0)
    seen = await copy.catch_up(seen)
    started = time.monotonic()
    first = end = await source.freeze(account, source.newest() + round(freeze_seconds))
    is_moved = False
    try:
        seen = await copy.run_pass(seen, is_last=True)
        end = await source.freeze(account, MOVED if moves else source.newest() + round(freeze_seconds), own=first)
        await copy.complete(subdomain, seen, clock_error_seconds, is_file=is_file)
        is_moved = end == MOVED
    finally:
        copy.is_stopped = True
        if not is_moved and first != MOVED:
            with contextlib.suppress(StoreUnavailable):  # then it ends by itself
                await source.unfreeze(account, own=end)
    return copy.result(time.monotonic() - started)


class _Copy:
    """A copy in progress. `hidden`: the account at the target, which nobody sees."""

    def __init__(self, source: SqlAccountStore, account: Account, target: SqlAccountStore, hidden: Account) -> None:
        self._source, self._account, self._target, self._hidden = source, account, target, hidden
        self._loop = asyncio.get_running_loop()
        self._counts: dict[str, int] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._meta: dict[str, str] = {}
        self.is_stopped = False

    async def catch_up(self, seen: _Seen) -> _Seen:
        """Run passes until one is short."""
        for _ in range(PASSES_MAX):
            started = time.monotonic()
            await self._source.close_newest(self._account)
            seen = await self.run_pass(seen, is_last=False)
            if time.monotonic() - started < SHORT_PASS_SECONDS:
                break
        return seen

    async def run_pass(self, seen: _Seen | None, *, is_last: bool) -> _Seen:
        """Copy what has changed since the pass that began with `seen`; returns what this one begins with."""
        return await self._source.inspect(
            partial(self._pass, seen, is_last), accounts=[self._account], statement_seconds=LONG_STATEMENT_SECONDS
        )

    async def complete(self, subdomain: str, seen: _Seen, clock_error_seconds: int, *, is_file: bool) -> None:
        """Let the account be seen."""
        usage, now = await self._source.read_usage(self._account), max(self._source.newest(), self._target.newest())
        if is_file:
            self._meta[usage_key(self._hidden)] = msgspec.json.encode(usage).decode()
        else:
            await self._target.write_usage(self._hidden, usage, now)
        await self._target.complete_account(self._hidden, subdomain, seen.states, now, clock_error_seconds, self._meta)

    def result(self, frozen_seconds: float) -> CopiedAccount:
        tickets = self._counts.get("tickets", 0)
        return CopiedAccount(tickets, sum(self._counts.values()) - tickets, frozen_seconds)

    def _pass(self, seen: _Seen | None, is_last: bool, snapshot: Snapshot) -> _Seen:
        assert isinstance(snapshot, SqlSnapshot)
        now = self._look(snapshot)
        if seen is None:
            self._columns = {table: self._list_columns(snapshot, table) for table in COPIED_TABLES}
        since = seen if seen is not None and seen.is_followed_by(now) else None
        self._counts = dict(self._rows(snapshot, "count_rows"))
        for kind in ("tickets", *sorted(self._counts.keys() - {"tickets"})):
            for batch in batches(self._changed(snapshot, kind, since), BATCH):
                self._call(self._target.fill_account(self._hidden, batch))
        if is_last:
            self._remove_others(snapshot)
            for table in COPIED_TABLES:
                self._copy_table(snapshot, table)
            for (value,) in snapshot.scan("read_meta", name=rewound_key(self._account.account_id)):
                self._meta[rewound_key(self._hidden.account_id)] = value
        return now

    def _look(self, snapshot: SqlSnapshot) -> _Seen:
        tickets, records = snapshot.state(self._account), snapshot.record_state(self._account)
        if tickets is None or records is None:
            raise StoreError(f"there is no account {self._account.subdomain!r} any more")
        return _Seen((tickets, records), {kind: each.watermark for kind, each in snapshot.kind_states(self._account)})

    def _changed(self, snapshot: SqlSnapshot, kind: str, since: _Seen | None) -> Iterator[TicketRow | RecordRow]:
        after = since.after(kind) if since is not None else _EVERYTHING
        own = {"account_id": self._account.account_id, "after": after}
        if kind == "tickets":
            return map(TicketRow._make, snapshot.scan_into("scan_changed_tickets", TicketRow, **own))
        return map(RecordRow._make, snapshot.scan_into("scan_changed_records", RecordRow, kind=kind, **own))

    def _remove_others(self, snapshot: SqlSnapshot) -> None:
        """Remove what the source has no more. Since all of the source was copied, counts say whether there is any."""
        found = self._call(self._target.count_rows(self._hidden))
        for kind, count in found.items():
            if count > self._counts.get(kind, 0):
                own = {"kind": kind, "account_id": self._account.account_id}
                there = {id for (id,) in snapshot.scan("list_kind_ids", **own)}
                ids = [id for id in self._call(self._target.list_kind_ids(self._hidden, kind)) if id not in there]
                self._call(self._target.remove_rows(self._hidden, kind, ids))

    def _list_columns(self, snapshot: SqlSnapshot, table: str) -> tuple[str, ...]:
        """The columns that both engines have; what only one of them has is its own affair."""
        mine = {name for (name,) in snapshot.scan("list_columns", name=table)} - {"account_id"}
        return tuple(name for name in self._call(self._target.list_columns(table)) if name in mine)

    def _copy_table(self, snapshot: SqlSnapshot, table: str) -> None:
        for batch in batches(snapshot.rows_of(self._account, table, self._columns[table]), BATCH):
            self._call(self._target.fill_table(self._hidden, table, self._columns[table], batch))

    def _rows(self, snapshot: SqlSnapshot, name: str) -> Iterator[Any]:
        return snapshot.scan(name, account_id=self._account.account_id)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something at the target, from the thread that reads the source."""
        if self.is_stopped:
            work.close()
            raise StoreError("the copy was stopped")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
