"""One write transaction on SQLite, and the account row that every write begins and ends with."""

import json
from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Any

import apsw

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.invalidations import InvalidationLog
from ticketfeed.protocol.model import Account, FeedState, Position
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.contract import CredentialKind
from ticketfeed.storage.dedup import batches, newest_given
from ticketfeed.storage.queries import load_queries
from ticketfeed.storage.sql_transaction import SqlTransaction

__all__ = ["SqliteTransaction", "States", "close_account", "fence_account", "read_states", "write_states"]

# Tickets that are looked up and stored by one statement.
BATCH = 250

States = tuple[FeedState, FeedState]

Q = load_queries("sqlite")


class SqliteTransaction(SqlTransaction):
    """What the work of a write is handed. `finish` gives the account row after it, for whoever commits to store."""

    def __init__(self, connection: apsw.Connection, account: Account, states: States, now: int) -> None:
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
            if keep_generated_timestamp:
                self._put_batch(sorted([(draft.generated_timestamp, draft.id, draft) for draft in newest]))
            else:
                self._put_batch(sorted([(second, draft.id, draft) for draft in newest]))
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        second = watermark.next_generated_timestamp(self._records, self.now)
        keep, count = watermark.can_keep_records(self._records), 0
        for batch in batches(drafts, BATCH):
            count += len(batch)
            self._beside |= any(draft.kind in SIDELOADED_KINDS for draft in batch)
            carried = [draft.generated_timestamp if keep else second for draft in batch]
            rows = [
                (self._account.account_id, *draft._replace(generated_timestamp=second))
                for second, draft in zip(carried, batch, strict=True)
            ]
            self._connection.executemany(Q["put_record"], rows)
            self._newest_record = max(*carried, self._newest_record or 0)
        return count

    def find_user(self, email: str) -> bytes | None:
        bindings = {"account_id": self._account.account_id, "email": email.strip().lower()}
        return self._connection.execute(Q["find_user"], bindings).get  # type: ignore[no-any-return]

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        self._beside = True
        account_id = self._account.account_id
        bindings = {"account_id": account_id, "secret_hash": secret_hash}
        if self._connection.execute(Q["find_secret"], bindings).get is not None:
            raise BadInput("this token is in use already")
        credential_id = int(self._connection.execute(Q["next_credential_id"], {"account_id": account_id}).get)
        self._connection.execute(
            Q["add_credential"],
            {**bindings, "id": credential_id, "user_id": user_id, "kind": kind, "created_at": self.now},
        )
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        bindings = {"account_id": self._account.account_id, "id": credential_id, "revoked_at": self.now}
        self._connection.execute(Q["revoke_credential"], bindings)
        was_in_force = self._connection.changes() > 0
        self._beside |= was_in_force
        return was_in_force

    def finish(self) -> States:
        if self._invalidations.count:
            account_id = self._account.account_id
            rows = [(account_id, *invalidation) for invalidation in self._invalidations.numbered()]
            self._connection.execute(Q["forget_invalidations"], (account_id, self._invalidations.forgotten))
            self._connection.executemany(Q["put_invalidation"], rows)
        return watermark.after_write(
            (self.state, self._records),
            self._newest,
            self._newest_record,
            self.now,
            self._added,
            self._invalidations.count,
            bumps_record_changes=self._beside,
        )

    def _put_batch(self, batch: list[tuple[int, int, TicketDraft]]) -> None:
        """Each draft with its second and id, in feed order: written in another order it costs twice as much."""
        if not batch:
            return
        account_id, execute = self._account.account_id, self._connection.execute
        if len(batch) == 1:
            found: list[Any] = execute(Q["find_ticket"], (account_id, batch[0][1])).fetchall()
        else:
            bindings = {"account_id": account_id, "ids": json.dumps([id for _, id, _ in batch])}
            found = execute(Q["find_tickets"], bindings).fetchall()
        for position in starmap(Position, found):
            execute(Q["delete_ticket"], (account_id, *position))
            self._invalidations.note(position)
        rows = [(account_id, *draft.row_at(second)) for second, _, draft in batch]
        if len(rows) == 1:
            execute(Q["insert_ticket"], rows[0])
        else:
            self._connection.executemany(Q["insert_ticket"], rows)
        self._added += len(batch) - len(found)
        self._newest = max(batch[-1][0], self._newest or 0)

    def _rows(self, name: str, bindings: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(Q[name], {"account_id": self._account.account_id, **bindings}).fetchall()

    def _do(self, name: str, bindings: dict[str, Any]) -> None:
        self._connection.execute(Q[name], {"account_id": self._account.account_id, **bindings})

    def _ids(self, ids: Sequence[int]) -> str:
        return json.dumps(list(ids))

    def _make_given(self) -> None:
        self._connection.execute(Q["make_given"])
        self._connection.execute(Q["forget_given"])

    def _find_given(self, ids: Sequence[int]) -> dict[int, int]:
        return dict(self._connection.execute(Q["find_given"], (json.dumps(list(ids)),)))

    def _note_given(self, given: list[tuple[int, int]]) -> None:
        self._connection.executemany(Q["note_given"], given)


def read_states(connection: apsw.Connection, account: Account) -> States:
    """Read the account row: the state of the tickets' feed, and that of the records'."""
    row = connection.execute(Q["read_states"], {"account_id": account.account_id}).get
    return FeedState(*row[:5]), FeedState(*row[5:])


def write_states(connection: apsw.Connection, account: Account, states: States) -> None:
    """Store the account row."""
    state, records = states
    connection.execute(
        Q["write_state"],
        {
            "account_id": account.account_id,
            "last_generated_timestamp": state.last_generated_timestamp,
            "watermark": state.watermark,
            "ticket_count": state.ticket_count,
            "invalidations": state.invalidations,
            "record_changes": state.record_changes,
            "record_last_timestamp": records.last_generated_timestamp,
            "record_watermark": records.watermark,
        },
    )


def close_account(connection: apsw.Connection, account: Account, now: int) -> bool:
    """Close the newest seconds of one account that are over; inside a transaction. False where there is none."""
    state, records = read_states(connection, account)
    if not watermark.can_close(state, now) and not watermark.can_close_records(records, now):
        return False
    write_states(connection, account, (watermark.close(state, now), watermark.close_records(records, now)))
    return True


def fence_account(connection: apsw.Connection, account: Account, now: int, clock_error_seconds: int) -> FeedState:
    """Fence one account, and those that are made later; inside a transaction."""
    state, records = (watermark.fence(part, now, clock_error_seconds) for part in read_states(connection, account))
    write_states(connection, account, (state, records))
    fenced_at = watermark.fence(FeedState(), now, clock_error_seconds).watermark
    connection.execute(Q["write_fenced_at"], {"fenced_at": fenced_at})
    return state
