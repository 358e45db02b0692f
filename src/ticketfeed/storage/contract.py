"""The Store contract: the one seam between the feed and an engine.

THE PROMISE. After a page with a cursor for position P has been given out, no change at or before P ever
becomes visible. So a reader that walks to `end_of_stream` and later goes on from its kept cursor has been given
the latest state of every ticket. It may be given one twice; it never misses one.

What each backend does for it:

* writes of one account run one after the other, each in one transaction that locks the account's row first;
* the second a write carries and the watermark after it follow `protocol/watermark.py`, stored in that row;
* a page is read in one snapshot together with the row, and ends at the watermark.

Times are whole Unix seconds. Methods raise StoreUnavailable when the engine cannot serve now.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

from ticketfeed.protocol.consumers import Consumer, RequestRecord, UsageUpdate
from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import Account, FeedState, Filters, Position, Slice, TicketList, Token
from ticketfeed.protocol.rate_limits import RateLimit, Spent
from ticketfeed.protocol.records import RecordDraft
from ticketfeed.protocol.rows import BodyRow, FeedRow, LinkedTicketRow, ListRow, RecordRow, TicketRecordRow, TicketRow
from ticketfeed.protocol.tickets import TicketDraft

__all__ = ["CredentialKind", "FeedRows", "Snapshot", "Store", "WriteTransaction"]

T = TypeVar("T")
CredentialKind = Literal["api_token", "password"]
FeedRows = Sequence[FeedRow]


class WriteTransaction(Protocol):
    """What `Store.write` hands to the work it runs. All of it becomes visible at once, or none of it."""

    @property
    def state(self) -> FeedState:
        """The account row as it was when the transaction locked it."""

    @property
    def now(self) -> int:
        """The instant of the transaction, in Unix seconds."""

    @property
    def second(self) -> int:
        """The generated_timestamp of all tickets that this transaction puts, but for a load."""

    def put_tickets(self, drafts: Iterable[TicketDraft], *, keep_generated_timestamp: bool = False) -> int:
        """Store each ticket as its latest state, at the end of the feed. Returns how many drafts were given.

        All carry one second, that of the transaction; with `keep_generated_timestamp` each keeps its own, which
        only an account as it was made may ask for (`watermark.can_keep`; ValueError otherwise). Of several drafts
        with one id the one with the newer `generated_timestamp` wins, then the later one. `drafts` is consumed
        once, in constant memory.
        """

    def put_records(self, drafts: Iterable[RecordDraft]) -> int:
        """Store or replace users, audits and the rest by (kind, id). Returns how many.

        Each keeps its own second until somebody was given records of this account (`watermark.can_keep_records`);
        from then on all carry that of the transaction.
        """

    def find_user(self, email: str) -> bytes | None:
        """The body of the user with this email, in any case; None for none. Of several as `find_external`."""

    def find_tickets(self, ids: Sequence[int]) -> dict[int, bytes]:
        """The bodies of those that exist, deleted ones too, as they stand in this transaction."""

    def find_records(self, kind: str, ids: Sequence[int]) -> dict[int, bytes]:
        """The bodies of those that exist, as they stand in this transaction."""

    def find_of_ticket(self, kind: str, ticket_id: int) -> list[bytes]:
        """All audits or metric events of one ticket, by id."""

    def find_metric_state(self, ticket_id: int) -> tuple[bytes | None, int]:
        """The `metric_state` of a ticket's metric set, None for none; and how many audits the ticket has."""

    def find_external(self, kind: str, external_id: str) -> bytes | None:
        """The body of the user or organization with this external_id, None for none.

        Of several the one with the smallest id that is not deleted, a deleted one only where all are.
        """

    def next_id(self, kind: str) -> int:
        """One more than the largest id of a ticket ("tickets") or a record of this kind; 1 where there is none."""

    def find_idempotent_answer(self, key: str) -> IdempotentAnswer | None:
        """What was answered to an earlier request with this Idempotency-Key."""

    def put_idempotent_answer(self, key: str, answer: IdempotentAnswer) -> None:
        """Remember what is answered; what was kept more than ANSWER_SECONDS before it is forgotten."""

    def add_job(self, job: Job, items: Sequence[bytes]) -> None:
        """Store a new background job with what is to be done, one JSON object each."""

    def next_item(self, job_id: str) -> tuple[Job, int, bytes] | None:
        """The job, and the first item without a result: its number from 0, and what is to be done. None for no more."""

    def put_result(self, job_id: str, number: int, result: bytes) -> None:
        """Store what came of an item, one JSON object."""

    def finish_job(self, job_id: str) -> None:
        """Its items all have results. The time is that of the transaction."""

    def add_credential(self, user_id: int, kind: CredentialKind, secret_hash: str) -> int:
        """Store a credential; returns its id. Raises BadInput when the account already has this secret."""

    def revoke_credential(self, credential_id: int) -> bool:
        """Revoke it; False when there is no such credential or it was revoked before."""


class Snapshot(Protocol):
    """What `Store.inspect` hands to the work it runs: all that is stored, as it stood at one instant.

    Rows come as they are stored, sound or not, one walk at a time, in constant memory. A walk raises StoreError
    where the engine cannot read on; the next walk may be tried all the same.
    """

    def accounts(self) -> Iterator[tuple[Account, FeedState | None]]:
        """Every account with its row, by account_id; None where the row is missing."""

    def tickets(self, account: Account) -> Iterator[TicketRow]:
        """Every ticket in feed order, found the way a page finds it."""

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        """Where every ticket stands, ordered by id, found the way a write finds it."""

    def records(self, account: Account) -> Iterator[RecordRow]:
        """Every record, by kind and id."""

    def record_state(self, account: Account) -> FeedState | None:
        """The state of the records' feed; None where the account's row is missing."""

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        """(id, user_id) of every credential whose user is not there."""

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        """(table, account_id, rows) of what belongs to no account."""

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        """How many changes of a kind stand in (after, until], counted up to `limit`, and the second of the first.

        Closed or not; `filters` are for tickets.
        """

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        """How many tickets were last changed in each span of so many seconds, where any: (begin, count), in order."""

    def size_bytes(self) -> int:
        """What the whole store takes on disk; 0 for one in memory."""

    def self_check(self) -> Iterator[str]:
        """What the engine itself finds wrong, one line each: pages, indexes, tables, migrations."""

    def risks(self) -> Iterator[str]:
        """Settings of the engine with which what was acknowledged may be lost, one line each."""

    def migration_faults(self) -> Iterator[str]:
        """Only the last of these: whether the schema is the one that this release knows."""


class Store(Protocol):
    """An account's tickets, records and credentials, behind one engine."""

    @property
    def store_id(self) -> str:
        """Random text made with the store; the same for as long as its data lives."""

    def change_counter(self) -> int | None:
        """What changes with every change of the store, by whomever; None where that cannot be told at once."""

    async def close(self) -> None:
        """Release connections. Idempotent."""

    async def list_accounts(self) -> list[Account]:
        """Every account, by account_id."""

    async def create_account(self, subdomain: str) -> Account:
        """The account of this name, made if need be. Idempotent."""

    async def read_state(self, account: Account) -> FeedState:
        """The account row."""

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, FeedRows]:
        """The account row, and in the same snapshot the first `limit` changes that pass `filters`.

        after < position, and generated_timestamp <= min(until, watermark). Rows are LinkedTicketRow when `links` is
        set, else ChangeRow. Fewer than `limit` rows means: no more up to there.
        """

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        """The account row, and the closed places that tickets left since that number (`invalidations`).

        Fewer places than the numbers are apart: the others are forgotten.
        """

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, FeedRows]:
        """The state of the records' feed, and in the same snapshot the first `limit` changes of one kind.

        As `read_changes`, with the records' own watermark.
        """

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        """Those of `ids` that exist, by id."""

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        """Those of `ids` that exist, deleted ones too, by id."""

    async def list_tickets(self, account: Account, tickets: TicketList, part: Slice) -> Sequence[ListRow]:
        """A part of a list of tickets."""

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        """How many tickets the list holds."""

    async def list_records(
        self, account: Account, kind: str, part: Slice, ticket_id: int | None = None
    ) -> Sequence[ListRow]:
        """A part of the records of one kind by id, or of those of one ticket."""

    async def count_records(self, account: Account, kind: str, ticket_id: int | None = None) -> int:
        """How many records of one kind there are, or of those of one ticket."""

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        """All audits or metric events of these tickets, by ticket and id."""

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        """How many comments those of the tickets have that have audits."""

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        """How many tickets, deleted ones aside, are incidents of those of the problems that have any."""

    async def list_aged(
        self, account: Account, status: Literal["solved", "deleted"], after: Position, until: int, limit: int
    ) -> list[Position]:
        """Where the first `limit` tickets of this status stand that nothing has happened to since `until`."""

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        """Those of `ids` that exist, or the newest hundred, newest first; each with the results it has so far."""

    async def list_open_jobs(self, account: Account) -> list[str]:
        """The ids of jobs that are not finished, oldest first."""

    async def close_newest(self, account: Account) -> bool:
        """Close the seconds of tickets and of records that are open and over.

        Never waits: False when a write is in flight, or there is none to close.
        """

    async def write(self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool = False) -> T:
        """Run `work` in one transaction that holds the account's row; returns what it returns.

        `work` runs in another thread. When it raises, nothing is stored and the error comes out here. When the
        engine fails at the end, it may or may not be stored: repeat only work that may be done twice. Works that wait
        at the same time may share a commit, each whole or not at all; `alone` for one that takes long, so that no
        other waits for its end.
        """

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        """Raise the watermark past every position that can have been given out (`watermark.fence`).

        Holds the account's row, waiting for it as a write does. Returns the row after it. Idempotent. An account that
        is made later starts behind the fence too: it may have been lost, and be made for the second time.
        """

    async def inspect(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` over one snapshot of everything, while writers go on; returns what it returns.

        `work` runs in another thread.
        """

    async def spend(self, account: Account, limits: Sequence[RateLimit], now: int) -> Spent:
        """Count one request against all of `allowances`, or none (`budgets.spend`). All processes share the count."""

    async def record_usage(
        self, account: Account, consumers: Mapping[str, UsageUpdate], requests: Sequence[RequestRecord], now: float
    ) -> None:
        """Add what one process noted to what all have noted (`consumers.note`), all of it or nothing.

        Of consumers and of requests the newest are kept, and a crash of the machine may lose all.
        """

    async def read_consumers(self, account: Account) -> list[Consumer]:
        """Those that are known, the last seen first."""

    async def read_requests(self, account: Account) -> list[RequestRecord]:
        """The newest requests, about REQUESTS_KEPT of them, newest first."""

    async def find_credential(self, account: Account, credential_id: int) -> tuple[str, bytes] | None:
        """(hash, user body) of this credential, unless revoked."""

    async def find_token_user(self, account: Account, secret_hash: str) -> tuple[int, bytes] | None:
        """(credential's id, body of the user who owns it) of this API token, unless revoked."""

    async def find_passwords(self, account: Account, email: str) -> list[tuple[int, str, bytes]]:
        """(credential's id, hash, user body) of every password in force for this email, lower case."""

    async def list_credentials(self, account: Account) -> list[Token]:
        """Every credential, revoked ones included, by id."""
