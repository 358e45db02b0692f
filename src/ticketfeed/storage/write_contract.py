"""The part of the Store contract that writes: what a work does inside of one transaction of an account."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import FeedState, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.saved_accounts import SavedAccount
from ticketfeed.protocol.tickets import TicketDraft
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.mirror_contract import MirrorTransaction
from ticketfeed.storage.oauth_contract import OauthTransaction

__all__ = ["CredentialKind", "JobItem", "WriteTransaction"]

CredentialKind = Literal["api_token", "password"]


class JobItem(NamedTuple):
    """An item of a job. `number`: its place in the job, from 0. `item`: what is to be done, one JSON object."""

    job: Job
    number: int
    item: bytes


class WriteTransaction(OauthTransaction, MirrorTransaction, Protocol):
    """What `WriteStore.write` passes to its work. Everything in it becomes visible at once, or nothing.

    It holds the lock of the account's row, so no other write of the account runs meanwhile, in any process. It belongs
    to the work: it is used from the thread that the work runs in, and not after the work returned. Finds see what the
    transaction has put. Any method may block on the engine.
    """

    @property
    def state(self) -> FeedState:
        """The account's row as it was when the transaction locked it."""

    @property
    def account_id(self) -> int:
        """Of the account that is written."""

    @property
    def erased_users(self) -> set[int] | None:
        """The ids of the users that `erase_copies` was called for; None if it was not called."""

    @property
    def now(self) -> int:
        """The account's time as the transaction began (`Store.clocks`), in Unix seconds: the same throughout."""

    @property
    def second(self) -> int:
        """The generated_timestamp of all tickets that this transaction puts, except with keep_generated_timestamp."""

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        """Store each ticket as its latest state, at the end of the feed. Returns how many drafts there were.

        All carry `second`; with `keep_generated_timestamp` each keeps its own, which only an account as it was created
        allows (`watermark.allows_own_times`; ValueError otherwise). Of several drafts with one id the one with the
        newer `generated_timestamp` wins, then the later one. `drafts` is consumed once, in constant memory; it must not
        call back into the transaction, nor wait for another process: the account is locked meanwhile. A write of many
        should be `exclusive`. If it raises, the error passes through, and the work must not go on.
        """

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        """Store or replace users, audits and other records by (kind, id), the last one of each. Returns how many.

        Each keeps its own second until a reader was given records of this account
        (`watermark.allows_own_record_times`); from then on all carry that of the transaction. `drafts` as in
        `put_tickets`.
        """

    def load(self, drafts: Iterable[TicketDraft | RecordDraft], *, keep_generated_timestamp: bool = False) -> int:
        """Store tickets and records in one pass, each as `put_tickets` and `put_records` do. Returns how many.

        Records and tickets that come close together may be stored in either order.
        """

    def find_user(self, email: str) -> bytes | None:
        """The body of the user with this email, in any case; None if there is none. Of several as `find_external`."""

    def find_metric_state(self, ticket_id: int) -> tuple[bytes | None, int]:
        """The `metric_state` of a ticket's metric set, None if it is not known; and how many audits the ticket has."""

    def find_metric_states(self, ticket_ids: Sequence[int]) -> dict[int, bytes | None]:
        """The `metric_state` of the metric sets that these tickets have, by ticket; None where it is not known."""

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        """The body of the user or organization with this external_id; None if there is none.

        Of several the one with the smallest id that is not deleted, a deleted one only if all are.
        """

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The bodies of those tickets that exist, deleted ones included, by id."""

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        """The bodies of those records that exist, deleted ones included, by id."""

    def find_all(self, kind: str) -> list[bytes]:
        """The bodies of the records of a kind that are not deleted, by id; for kinds of which there are few."""

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        """The bodies of all audits, metric events or satisfaction ratings of one ticket, in order of their ids."""

    def find_of_tickets(self, kind: str, ticket_ids: Sequence[int]) -> dict[int, list[bytes]]:
        """The same of several tickets, by ticket; those without any are left out."""

    def find_containing(self, kind: str, needles: Sequence[bytes]) -> list[int]:
        """The ids of the tickets ("tickets") or records of this kind whose body contains one of these, byte for byte.

        It reads all of them.
        """

    def find_of_user(self, kind: str, user_id: int, *, deleted: bool | None = False) -> list[bytes]:
        """The bodies of the memberships or identities of one user, in order of their ids.

        `deleted`: False for those that are not deleted, True for only the deleted ones, None for both.
        """

    def find_by_key(self, kind: str, keys: Sequence[str]) -> list[bytes]:
        """The bodies of the records that have one of these lookup keys and are not deleted, in order of their ids."""

    def find_of_organization(self, kind: str, organization_id: int) -> list[bytes]:
        """The bodies of the users or memberships of one organization that are not deleted, in order of their ids."""

    def find_users_without_membership(self, after_id: int, limit: int) -> list[bytes]:
        """Users beyond an id, by id, that are no members of the organization that they name."""

    def find_repeated_memberships(self, limit: int) -> list[bytes]:
        """Organization memberships that have the id of their user, where another one says the same."""

    def find_tickets_after(self, after: Position, limit: int) -> list[TicketRow]:
        """The first tickets after a position, in feed order, closed or not."""

    def find_records_after(self, kind: str, after: Position, limit: int) -> list[RecordRow]:
        """The first records of a kind after a position, in feed order, closed or not."""

    def rewind(self, clock_error_seconds: int) -> int | None:
        """Bring feeds back that lie in the future (`watermark.rewind`), and remember where for `read_rewound_at`.

        Called before anything is put. Returns the new watermark, None if none lies there. The work then puts again all
        that lies after it.
        """

    def list_saved(self) -> list[SavedAccount]:
        """What was saved of the account, the oldest first."""

    def save_account(self, name: str) -> SavedAccount:
        """Copy all that the account holds, under this name. Seconds that are over are closed.

        Raises BadInput for a name that is in use, AccountIsMirror.
        """

    def rewind_account(self, name: str, *, fences: bool) -> None:
        """Put back all that the account held when it was saved (`saved_accounts.rewound_states`), its clock too.

        It takes as long as the changes since are many, unless it was rewound to an earlier one meanwhile: then all is
        replaced. Nothing else is done in this transaction. Raises NotFound, AccountIsMirror.
        """

    def fork_account(self, name: str, subdomain: str) -> None:
        """Make another account of what was saved. Raises NotFound, and BadInput if there is an account of this name."""

    def delete_saved(self, name: str) -> SavedAccount:
        """Delete what was saved, and return what it was. Raises NotFound."""

    def find_clock(self) -> MovedClock:
        """The account's clock as it is stored, whether or not this process goes by it."""

    def put_clock(self, clock: MovedClock) -> None:
        """Store the account's clock. It holds for later transactions, in processes that follow it."""

    def next_id(self, kind: str) -> int:
        """One more than the largest id, up to NEW_ID_MAX, of a ticket ("tickets") or a record of this kind; 1 if there
        is none."""

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        """What was answered to an earlier request with this Idempotency-Key; None if there was none lately."""

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        """Store an answer, and forget those that are older than IDEMPOTENCY_SECONDS."""

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        """Store a new background job with its items, one JSON object each, and delete those of `delete_expired`."""

    def put_size(self, size: AccountSize) -> None:
        """Store what was measured of the account."""

    def put_quota(self, quota: AccountQuota) -> None:
        """Store how much the account may hold. Servers hold it to that; a transaction does not."""

    def put_scrubbed_until(self, until: int) -> None:
        """Note that all tickets of the account that were deleted until then are scrubbed: `list_aged` leaves them out,
        until the account is rewound."""

    def delete_expired(self) -> None:
        """Delete idempotency answers older than IDEMPOTENCY_SECONDS, and jobs that finished longer ago than that."""

    def erase_copies(self, erase: Callable[[bytes], bytes], user_id: int | None = None) -> None:
        """Erase what is stored beside the tickets and records that this transaction erases.

        `erase` rewrites idempotency answers and results of job items, one JSON object each. After the commit the engine
        overwrites what its own files hold, as `overwrite_erased` does, and the sidecar forgets the account's recent
        requests, and the consumers of `user_id`.
        """

    def next_item(self, job_id: str) -> JobItem | None:
        """The first item of a job without a result; None if there is none, or no such job."""

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        """Store the result of an item, one JSON object, and erase the item, which is done."""

    def finish_job(self, job_id: str) -> None:
        """Mark a job as finished at `now`; all its items have results."""

    def add_credential(
        self, user_id: int, kind: CredentialKind, secret_hash: str, description: str | None = None
    ) -> int:
        """Store a credential; returns its id. Raises BadInput if this secret is in force in the account."""

    def use_credential(self, credential_id: int, used_at: int) -> None:
        """Store when a credential was last used, or reactivated."""

    def revoke_credential(self, credential_id: int) -> bool:
        """Revoke a credential; False if there is none, or it was revoked before."""
