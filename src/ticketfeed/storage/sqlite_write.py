"""One write transaction on SQLite, and the account row that every write begins and ends with."""

from collections.abc import Iterable

import apsw

from ticketfeed.protocol import watermark
from ticketfeed.protocol.errors import BadInput
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.base import CredentialKind
from ticketfeed.storage.queries import load_queries

__all__ = ["SqliteTransaction", "close_account", "fence_account", "read_states", "write_states"]

Q = load_queries("sqlite")


class SqliteTransaction:
    """One write. `finish` stores the account row when tickets were put."""

    def __init__(self, connection: apsw.Connection, account: Account, now: int) -> None:
        self._connection, self._account, self._now = connection, account, now
        self.state, self._records = read_states(connection, account)
        self._newest: int | None = None
        self._newest_record: int | None = None
        self._added = 0

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        if keep_generated_timestamp and not watermark.can_keep(self.state):
            raise ValueError("only an account without tickets, never fenced, keeps their generated_timestamp")
        second = watermark.next_generated_timestamp(self.state, self._now)
        self._connection.execute(Q["forget_given"])
        count = 0
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            if self._is_newest_given(draft):
                self._put_ticket(draft, draft.generated_timestamp if keep_generated_timestamp else second)
        return count

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        second = watermark.next_generated_timestamp(self._records, self._now)
        keep, count = watermark.can_keep_records(self._records), 0
        for count, draft in enumerate(drafts, 1):  # noqa: B007
            carried = draft.generated_timestamp if keep else second
            row = (draft.kind, draft.id, carried, draft.ticket_id, draft.comment_count, draft.email, draft.body)
            self._connection.execute(Q["put_record"], (self._account.account_id, *row))
            self._newest_record = max(carried, self._newest_record or 0)
        return count

    def find_user(self, email: str) -> bytes | None:
        bindings = {"account_id": self._account.account_id, "email": email.strip().lower()}
        return self._connection.execute(Q["find_user"], bindings).get  # type: ignore[no-any-return]

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        account_id = self._account.account_id
        bindings = {"account_id": account_id, "secret_hash": secret_hash}
        if self._connection.execute(Q["find_secret"], bindings).get is not None:
            raise BadInput("this token is in use already")
        credential_id = int(self._connection.execute(Q["next_credential_id"], {"account_id": account_id}).get)
        self._connection.execute(
            Q["add_credential"],
            {**bindings, "id": credential_id, "user_id": user_id, "kind": kind, "created_at": self._now},
        )
        return credential_id

    def revoke_credential(self, credential_id: int) -> bool:
        bindings = {"account_id": self._account.account_id, "id": credential_id, "revoked_at": self._now}
        self._connection.execute(Q["revoke_credential"], bindings)
        return self._connection.changes() > 0

    def finish(self) -> None:
        before = self.state, self._records
        after = watermark.after_write(before, self._newest, self._newest_record, self._now, self._added)
        if after != before:
            write_states(self._connection, self._account, *after)

    def _is_newest_given(self, draft: TicketDraft) -> bool:
        given = self._connection.execute(Q["find_given"], (draft.id,)).get
        if given is not None and draft.generated_timestamp < given:
            return False
        self._connection.execute(Q["note_given"], (draft.id, draft.generated_timestamp))
        return True

    def _put_ticket(self, draft: TicketDraft, second: int) -> None:
        account_id = self._account.account_id
        previous = self._connection.execute(Q["find_ticket"], (account_id, draft.id)).get
        if previous is None:
            self._added += 1
        else:
            self._connection.execute(Q["delete_ticket"], (account_id, previous, draft.id))
        self._connection.execute(
            Q["insert_ticket"],
            (
                account_id,
                second,
                draft.id,
                draft.status,
                draft.support_type,
                draft.external_id,
                draft.user_ids,
                draft.group_id,
                draft.organization_id,
                draft.problem_id,
                draft.ticket_form_id,
                draft.brand_id,
                draft.custom_status_id,
                draft.agreement_ids,
                draft.body(second),
            ),
        )
        self._newest = max(second, self._newest or 0)


def read_states(connection: apsw.Connection, account: Account) -> tuple[FeedState, FeedState]:
    """Read the account row: the state of the tickets' feed, and that of the records'."""
    row = connection.execute(Q["read_states"], {"account_id": account.account_id}).get
    return FeedState(*row[:3]), FeedState(*row[3:])


def write_states(connection: apsw.Connection, account: Account, state: FeedState, records: FeedState) -> None:
    """Store the account row."""
    connection.execute(
        Q["write_state"],
        {
            "account_id": account.account_id,
            "last_generated_timestamp": state.last_generated_timestamp,
            "watermark": state.watermark,
            "ticket_count": state.ticket_count,
            "record_last_timestamp": records.last_generated_timestamp,
            "record_watermark": records.watermark,
        },
    )


def close_account(connection: apsw.Connection, account: Account, now: int) -> bool:
    """Close the newest seconds of one account that are over; inside a transaction. False where there is none."""
    state, records = read_states(connection, account)
    if not watermark.can_close(state, now) and not watermark.can_close_records(records, now):
        return False
    write_states(connection, account, watermark.close(state, now), watermark.close_records(records, now))
    return True


def fence_account(connection: apsw.Connection, account: Account, now: int, clock_error_seconds: int) -> FeedState:
    """Fence one account, and those that are made later; inside a transaction."""
    state, records = (watermark.fence(part, now, clock_error_seconds) for part in read_states(connection, account))
    write_states(connection, account, state, records)
    fenced_at = watermark.fence(FeedState(), now, clock_error_seconds).watermark
    connection.execute(Q["write_fenced_at"], {"fenced_at": fenced_at})
    return state
