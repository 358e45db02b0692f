"""One write transaction on PostgreSQL: the account row is locked before any of this runs."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput, StoreUnavailable
from ticketfeed.protocol.invalidations import InvalidationLog
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import CredentialKind
from ticketfeed.storage.dedup import batches, newest_given
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sql_transaction import SqlTransaction

__all__ = ["PostgresTransaction", "States", "fence_account", "lock_states", "state_bindings", "write_states"]

# Tickets sent in one statement: some hundred kilobytes, a few thousand parameters.
BATCH = 250
_ROW = "(%s, %s, %s, %s, %s, %s, %b, %s, %s, %s, %s, %s, %s, %b, %b)"

Q = load_queries("postgres")


States = tuple[FeedState, FeedState]


def lock_states(connection: psycopg.Connection[Any], account: Account) -> States:
    """Lock the account row and read it: the state of the tickets' feed, and that of the records'."""
    row = connection.execute(Q["lock_state"].encode(), {"account_id": account.account_id}).fetchone()
    if row is None:
        raise StoreUnavailable(f"account {account.subdomain} has no row in feed_state; is the store being restored?")
    return FeedState(*row[:5]), FeedState(*row[5:])


def write_states(connection: psycopg.Connection[Any], account: Account, states: States) -> None:
    """Store the account row."""
    connection.execute(Q["write_state"].encode(), state_bindings(account, states))


def state_bindings(account: Account, states: States) -> dict[str, int]:
    """What the query write_state is told."""
    state, records = states
    return {
        "account_id": account.account_id,
        "last_generated_timestamp": state.last_generated_timestamp,
        "watermark": state.watermark,
        "ticket_count": state.ticket_count,
        "invalidations": state.invalidations,
        "record_changes": state.record_changes,
        "record_last_timestamp": records.last_generated_timestamp,
        "record_watermark": records.watermark,
    }


def fence_account(
    connection: psycopg.Connection[Any], account: Account, states: States, now: int, clock_error_seconds: int
) -> FeedState:
    """Fence one account, whose row is locked, and those that are made later."""
    state, records = (watermark.fence(part, now, clock_error_seconds) for part in states)
    write_states(connection, account, (state, records))
    fenced_at = watermark.fence(FeedState(), now, clock_error_seconds).watermark
    connection.execute(Q["write_fenced_at"].encode(), {"fenced_at": fenced_at})
    return state


class PostgresTransaction(SqlTransaction):
    """What the work of a write is handed. `finish` stores the account row when tickets were put."""

    def __init__(self, connection: psycopg.Connection[Any], account: Account, states: States, now: int) -> None:
        self._connection, self._account, self.now = connection, account, now
        self.state, self._records = states
        self._invalidations = InvalidationLog(self.state)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self._beside = False
        self._added = 0

    @property
    def second(self) -> int:
        return watermark.next_generated_timestamp(self.state, self.now)

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        if keep_generated_timestamp and not watermark.can_keep(self.state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        second = self.second
        count = 0
        for given, newest in newest_given(drafts, BATCH, self._make_given, self._find_given, self._note_given):
            count += given
            self._put_batch(newest, None if keep_generated_timestamp else second)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        second = watermark.next_generated_timestamp(self._records, self.now)
        keep, count = watermark.can_keep_records(self._records), 0
        for batch in batches(drafts, BATCH):
            count += len(batch)
            self._beside |= any(draft.kind in SIDELOADED_KINDS for draft in batch)
            carried = [draft.generated_timestamp if keep else second for draft in batch]
            self._newest_record = max(self._newest_record or 0, *carried)
            rows = [
                (self._account.account_id, *draft._replace(generated_timestamp=second))
                for second, draft in zip(carried, batch, strict=True)
            ]
            with self._connection.cursor() as cursor:
                cursor.executemany(Q["put_record"].encode(), rows)
        return count

    def find_user(self, email: str) -> bytes | None:
        row = self._one("find_user", {"email": email.strip().lower()})
        return bytes(row[0]) if row else None

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        self._beside = True
        if self._one("find_secret", {"secret_hash": secret_hash}):
            raise BadInput("this token is in use already")
        row = self._one("next_credential_id", {})
        assert row is not None
        made = {"id": row[0], "user_id": user_id, "kind": kind, "secret_hash": secret_hash, "created_at": self.now}
        self._execute("add_credential", made)
        return int(row[0])

    def revoke_credential(self, credential_id: int) -> bool:
        revoked = self._execute("revoke_credential", {"id": credential_id, "revoked_at": self.now})
        self._beside |= revoked.rowcount > 0
        return revoked.rowcount > 0

    def finish(self) -> None:
        before = self.state, self._records
        after = watermark.after_write(
            before,
            self._newest,
            self._newest_record,
            self.now,
            self._added,
            self._invalidations.count,
            bumps_record_changes=self._beside,
        )
        if self._invalidations.count:
            self._execute("forget_invalidations", {"forgotten": self._invalidations.forgotten})
            with self._connection.cursor() as cursor:
                account_id = self._account.account_id
                rows = [(account_id, *invalidation) for invalidation in self._invalidations.numbered()]
                cursor.executemany(Q["put_invalidation"].encode(), rows)
        if after != before:
            write_states(self._connection, self._account, after)

    def _put_batch(self, drafts: list[TicketDraft], second: int | None) -> None:
        """`second` None: each ticket keeps its own."""
        if not drafts:
            return
        found = self._execute("find_tickets", {"ids": [draft.id for draft in drafts]}, binary=True).fetchall()
        for position in found:
            self._invalidations.note(Position(*position))
        self._added += len(drafts) - len(found)
        parameters: list[Any] = []
        for draft in drafts:
            carried = draft.generated_timestamp if second is None else second
            self._newest = max(carried, self._newest or 0)
            parameters += (self._account.account_id, *draft.row_at(carried))
        sql = Q["put_tickets"].replace("/* rows */", ", ".join([_ROW] * len(drafts)))
        self._connection.execute(sql.encode(), parameters)

    def _make_given(self) -> None:
        self._connection.execute(Q["make_given"].encode())

    def _find_given(self, ids: Sequence[int]) -> dict[int, int]:
        return dict(self._connection.execute(Q["find_given"].encode(), {"ids": list(ids)}).fetchall())

    def _note_given(self, given: list[tuple[int, int]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(Q["note_given"].encode(), given)

    def _rows(self, name: str, bindings: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._execute(name, bindings, binary=True).fetchall()

    def _do(self, name: str, bindings: dict[str, Any]) -> None:
        self._execute(name, bindings)

    def _ids(self, ids: Sequence[int]) -> list[int]:
        return list(ids)

    def _execute(self, name: str, bindings: dict[str, Any], binary: bool = False) -> psycopg.Cursor[Any]:
        bindings = {"account_id": self._account.account_id, **bindings}
        return self._connection.execute(Q[name].encode(), bindings, binary=binary)
