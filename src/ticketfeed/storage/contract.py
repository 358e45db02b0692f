"""The Store contract: the only way from the rest of the program to an engine.

THE PROMISE. After a page with a cursor for position P has been given out, no change at or before P ever becomes
visible. So a reader that walks to `end_of_stream`, and later goes on from the cursor that it stored, has been given the
latest state of every ticket. It may be given one twice; it never misses one.

What each engine does for it:

* writes of one account run one after the other, each in one transaction that locks the account's row first;
* the second a write carries and the watermark after it follow `protocol/watermark.py`, stored in that row;
* a page is read in one snapshot together with the row, and ends at the watermark.

A Store is made of small protocols, by who uses them:

    FeedStore           export/                   pages, and what invalidates cached ones
    RecordStore         server/api, sideloads     single records and lists
    CredentialStore     server/api/auth           who may sign in
    OauthStore          server/api/oauth          clients and tokens of OAuth (`oauth_contract.py`)
    WriteStore          writing/, data/load       accounts and write transactions (`write_contract.py`)
    MirrorStore         client/, server/ops       accounts that are copies of others (`mirror_contract.py`)
    MaintenanceStore    data/, server/ops, cli    jobs, aged tickets, fences, snapshots of everything
    ShardStore          data/, server/ops         what is due, of many accounts at once (`shard_contract.py`)
    SidecarStore        server/ops, dashboard     rate limits, consumers, recent requests, logins, leases

True of every method unless it says otherwise: it may be called at any time, from one event loop, by any number of
tasks; it returns empty where there is nothing; a read sees all writes that returned before it began, except from a
lagging replica; it raises StoreUnavailable when the engine cannot serve now. Times are whole Unix seconds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Owner, Position, Slice, TicketList, Token
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.rows import BodyRow, FeedRow, LinkedTicketRow, ListRow, TicketRecordRow
from ticketfeed.protocol.saved_accounts import SavedAccount
from ticketfeed.protocol.search import SearchHit, SearchPart, SearchQuery
from ticketfeed.storage.account_clocks import AccountClocks
from ticketfeed.storage.mirror_contract import MirrorStore
from ticketfeed.storage.oauth_contract import OauthStore
from ticketfeed.storage.pool_status import PoolStatus
from ticketfeed.storage.shard_contract import AgedStatus, ShardStore
from ticketfeed.storage.sidecar_contract import SidecarStore
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot
from ticketfeed.storage.write_contract import WriteTransaction

__all__ = [
    "Credential",
    "CredentialStore",
    "FeedRows",
    "FeedStore",
    "MaintenanceStore",
    "RecordStore",
    "Store",
    "WriteStore",
]

T = TypeVar("T")
FeedRows = Sequence[FeedRow]


class Credential(NamedTuple):
    """A credential that is not revoked, with the body of its user.

    `used_at`: when it was last used, to the day, or created; None if an older release created it and it was not used
    since.
    """

    id: int
    secret_hash: str
    user: bytes
    used_at: int | None = None


class FeedStore(Protocol):
    """Pages of a feed, and what invalidates cached ones."""

    @property
    def store_id(self) -> str:
        """Random text, created with the store and restored with a backup under another: part of every ETag."""

    def change_counter(self) -> int | None:
        """A number that differs after any change of the store, by any process; it says nothing of what changed.

        Two equal numbers mean that nothing was committed between the calls, so what was read before the first may be
        used again. Never waits for the engine. None if the engine cannot say at once, as a database on a network: then
        `read_state` and `read_invalidations` say the same of one account.
        """

    async def read_state(self, account: Account) -> FeedState:
        """The state of the account's tickets, from the primary."""

    async def read_changes(
        self, account: Account, after: Position, until: int, limit: int, filters: Filters, *, links: bool
    ) -> tuple[FeedState, FeedRows]:
        """The state of the account's tickets, and in the same snapshot the first `limit` changes that pass `filters`.

        after < position, and generated_timestamp <= min(until, watermark). Rows are LinkedTicketRow if `links`, else
        ChangeRow. Fewer than `limit` rows means that there are no more up to there; but a store may stop one row after
        those that make a page of PAGE_BYTES_MAX (`paging.count_page_rows`).
        """

    async def read_record_changes(
        self, account: Account, kind: str, after: Position, until: int, limit: int
    ) -> tuple[FeedState, FeedRows]:
        """The state of the account's records, and in the same snapshot the first `limit` changes of one kind.

        As `read_changes`, with the watermark of the records. Rows are ChangeRow.
        """

    async def read_invalidations(self, account: Account, since: int) -> tuple[FeedState, list[Position]]:
        """The state of the account's tickets, and the invalidation log after that number (`protocol/invalidations.py`).

        Fewer positions than the numbers are apart means that the oldest are forgotten. In any order.
        """

    async def read_rewound_at(self, account: Account) -> int:
        """The second that the account was brought back to from the future, the earliest one; 0 if it never was."""

    async def close_newest(self, account: Account) -> bool:
        """Close the seconds of tickets and of records that are open and over, so that pages can go up to them.

        Idempotent. Never waits for a write: False if one is in flight, if nothing is to be closed, or if the engine
        cannot do it now; a page then ends at the watermark.
        """


class RecordStore(Protocol):
    """Tickets and records by id, in lists, and counted. A lagging replica may answer.

    `read_tickets`, `read_records`, `list_tickets` and `list_records` stop one row after those that make a page by their
    bytes (`paging.page_rows`); `storage/batches.py` reads on from there.
    """

    async def read_tickets(self, account: Account, ids: Sequence[int]) -> Sequence[LinkedTicketRow]:
        """Those of `ids` that exist, deleted ones included, by id, each once."""

    async def read_records(self, account: Account, kind: str, ids: Sequence[int]) -> Sequence[BodyRow]:
        """Those of `ids` that exist, deleted ones included, by id, each once."""

    async def read_of_tickets(
        self, account: Account, kind: str, ticket_ids: Sequence[int]
    ) -> Sequence[TicketRecordRow]:
        """All audits or metric events of these tickets, by ticket and id."""

    async def list_tickets(
        self, account: Account, tickets: TicketList, part: Slice, *, bodies: bool = True
    ) -> Sequence[ListRow]:
        """A part of a list of tickets; with empty bodies if not `bodies`."""

    async def count_tickets(self, account: Account, tickets: TicketList) -> int:
        """How many tickets the list has."""

    async def list_records(
        self, account: Account, kind: str, part: Slice, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> Sequence[ListRow]:
        """A part of the records of one kind by id, deleted ones left out; with `owner` of those that belong to it.

        `deleted`: True for only the deleted ones, None for both.
        """

    async def count_records(
        self, account: Account, kind: str, owner: Owner | None = None, *, deleted: bool | None = False
    ) -> int:
        """How many records that list has."""

    async def search(self, account: Account, query: SearchQuery, part: SearchPart) -> list[SearchHit]:
        """A part of the results of a query, which must be resolved (`SearchQuery.resolve`)."""

    async def count_results(self, account: Account, query: SearchQuery) -> int:
        """How many results the query has."""

    async def read_of_users(self, account: Account, kind: str, user_ids: Sequence[int]) -> Sequence[BodyRow]:
        """The memberships or identities of these users that are not deleted, by id."""

    async def read_external(self, account: Account, kind: str, external_ids: Sequence[str]) -> Sequence[BodyRow]:
        """The users or organizations that have one of these external_ids and are not deleted, by id."""

    async def read_by_key(self, account: Account, kind: str, keys: Sequence[str]) -> Sequence[BodyRow]:
        """The records that have one of these lookup keys and are not deleted, by id."""

    async def count_comments(self, account: Account, ticket_ids: Sequence[int]) -> dict[int, int]:
        """How many comments tickets have, by ticket; those without audits are left out."""

    async def count_incidents(self, account: Account, problem_ids: Sequence[int]) -> dict[int, int]:
        """How many tickets are incidents of problems, deleted ones aside, by problem; those without are left out."""


class CredentialStore(Protocol):
    """Who may sign in. Reads are from the primary: a token that was just revoked is not found."""

    async def find_credential(self, account: Account, credential_id: int) -> Credential | None:
        """The credential with this id; None if there is none in force, or its user is missing."""

    async def find_token_user(self, account: Account, secret_hash: str) -> Credential | None:
        """The API token with this hash; None as in `find_credential`."""

    async def find_passwords(self, account: Account, email: str) -> list[Credential]:
        """Every password in force for this email, which is in lower case, by id."""

    async def list_credentials(self, account: Account) -> list[Token]:
        """Every credential, revoked ones included, by id."""


class WriteStore(Protocol):
    """Accounts and writes."""

    async def list_accounts(self, *, limit: int = INT64_MAX, current: bool = True) -> list[Account]:
        """The first `limit` accounts, by account_id, from the primary; from any server unless `current`."""

    async def find_account(self, subdomain: str) -> Account | None:
        """The account of this name, from the primary."""

    async def create_account(self, subdomain: str, work: Callable[[WriteTransaction], object] | None = None) -> Account:
        """The account of this name, created if there is none. Idempotent, atomic.

        `work`, as for an exclusive `write`, runs in the transaction that creates the account: if it raises, no account
        is left of it.
        """

    async def list_saved(self, account: Account) -> list[SavedAccount]:
        """What was saved of an account, the oldest first."""

    async def find_default_account(self) -> Account | None:
        """The account of hosts that name none: that of `put_default_account`, else the first; None if there is none."""

    async def put_default_account(self, account: Account) -> None:
        """Make this the default account, in all processes that use the store."""

    async def write(
        self, account: Account, work: Callable[[WriteTransaction], T], *, exclusive: bool = False, mirror: bool = False
    ) -> T:
        """Run `work` in one transaction that holds the account's row; returns what it returns.

        `work` runs in another thread and may block; it must not call the store. It may run again from the start, if a
        write that shares its commit fails: nothing of the first run is stored, so all effects of `work` must be in the
        transaction or in what it returns. If it raises, nothing of it is stored, and the error is raised here. If the
        engine fails at the end, the write may or may not be stored: repeat only work that is idempotent. Concurrent
        writes may share a commit, each whole or not at all, and each waits for those before it; `exclusive` for one
        that takes long, whose commit no other then waits for, and that runs once. `mirror`: for one of a mirror, see
        `mirror_contract.py`; any other of such an account is refused.
        """


class MaintenanceStore(Protocol):
    """Background work, checks and repairs."""

    async def read_jobs(self, account: Account, ids: Sequence[str] | None = None) -> list[tuple[Job, list[bytes]]]:
        """Those of `ids` that exist, or the newest hundred, newest first; each with the results that it has so far."""

    async def list_open_jobs(self, account: Account) -> list[str]:
        """The ids of jobs that are not finished, oldest first."""

    async def list_aged(
        self, account: Account, status: AgedStatus, after: Position, until: int, limit: int
    ) -> list[Position]:
        """The positions of the first `limit` tickets of this status that have not changed since `until`.

        Deleted ones that are known to be scrubbed are left out (`put_scrubbed_until`), unless that was found until a
        later second.
        """

    async def fence(self, account: Account, clock_error_seconds: int) -> FeedState:
        """Raise the watermark past every position that can have been given out (`watermark.fence`).

        Waits for the account's row as a write does. Returns the state after it. Idempotent. An account that is created
        later starts behind the fence too: it may be one that was lost.
        """

    async def fence_accounts(self, clock_error_seconds: int) -> list[tuple[Account, FeedState | StoreUnavailable]]:
        """`fence` every account, in one statement where all can be reached.

        Otherwise each that can be, within about a second: of the others the reason is returned.
        """

    async def clock_problem(self) -> str | None:
        """Why writes are refused because of the machine's clock (storage/clock_check.py); None if they are not."""

    async def read_clocks(self) -> dict[int, MovedClock]:
        """The clocks of accounts that differ from the machine's, by account_id, from the primary."""

    async def overwrite_erased(self, *, own: bool = False) -> None:
        """Overwrite what the engine's files hold of rows that were erased, as far as it can now.

        SQLite does so after each write that erases; if a reader was in the way, this does it later. PostgreSQL removes
        dead rows (VACUUM), whoever has erased them: with `own`, for what this process has left to be done, nothing.
        """

    async def count_erasures(self) -> int:
        """How many writes have erased so far, in all processes: caches of what was read before are cleared."""

    async def inspect(
        self,
        work: Callable[[Snapshot], T],
        *,
        accounts: Sequence[Account] | None = None,
        is_probe: bool = False,
        statement_seconds: float = SHORT_STATEMENT_SECONDS,
    ) -> T:
        """Run `work` over one snapshot of everything, while writers go on; returns what it returns.

        `work` runs in another thread and may block. Writes use other threads and connections; so does a probe, a short
        look whether the store can be read at all, of which one runs at a time. `accounts`: those whose rows it reads,
        all of one shard; [] for none, as for what the engine says of itself; None for all. A statement that takes
        longer than `statement_seconds` is ended, where it runs on a server: what reads all rows of an account asks for
        more. No longer is the work waited for, either, even if the server hangs. Raises StoreUnavailable.
        """

    def read_pools(self) -> list[PoolStatus]:
        """How this process uses its connections to each server; nothing where there are none."""

    async def close(self) -> None:
        """Wait for writes in flight, then release connections. Idempotent; nothing may be called after it."""


class Store(
    FeedStore,
    RecordStore,
    CredentialStore,
    OauthStore,
    WriteStore,
    MirrorStore,
    MaintenanceStore,
    ShardStore,
    SidecarStore,
    Protocol,
):
    """An engine. Where only a part of it is needed, ask for that part."""

    @property
    def clocks(self) -> AccountClocks:
        """The clocks that writes of this process go by: the machine's, until they are replaced by `read_clocks`."""
