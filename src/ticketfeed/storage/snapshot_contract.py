"""The part of the Store contract that looks at all that is stored: checks, status and readiness use it."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account, FeedState, Filters, Position
from ticketfeed.protocol.rows import RecordRow, TicketRow
from ticketfeed.protocol.stored_words import StoredWords
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.pool_status import NodeStatus

__all__ = ["LONG_STATEMENT_SECONDS", "SHORT_STATEMENT_SECONDS", "Snapshot"]

# How long a statement may take that looks at a few rows of each account: as long as a request waits for the store.
SHORT_STATEMENT_SECONDS = 5.0
# And one that reads all rows of an account, where somebody waits for its end: thirty million tickets take minutes.
LONG_STATEMENT_SECONDS = 3600.0


class Snapshot(Protocol):
    """What `MaintenanceStore.inspect` passes to its work: all that is stored, as it was at one instant.

    Rows come as they are stored, valid or not, in constant memory. One iterator is consumed at a time. It raises
    StoreError where the engine cannot read on; the next one may be tried all the same.
    """

    def list_accounts(self) -> list[Account]:
        """Every account, by account_id."""

    def state(self, account: Account) -> FeedState | None:
        """The state of the account's tickets; None if its row is missing."""

    def accounts(self, of: Sequence[Account] | None = None) -> Iterator[tuple[Account, FeedState | None]]:
        """Every account with its `state`, by account_id. Where accounts are distributed, all must be there.

        `of`: as in `mirrors`, `sizes` and `quotas`, only these, some of one shard; None for all.
        """

    def tickets(self, account: Account) -> Iterator[TicketRow]:
        """Every ticket in feed order, found the way a page finds it."""

    def positions_by_id(self, account: Account) -> Iterator[Position]:
        """The position of every ticket, ordered by id, found the way a write finds it."""

    def records(self, account: Account) -> Iterator[RecordRow]:
        """Every record, by kind and id."""

    def record_state(self, account: Account) -> FeedState | None:
        """The state of the records' feed; None if the account's row is missing."""

    def mirror(self, account: Account) -> Iterator[Mirror]:
        """The account's mirror, if it is one. Raises StoreError for one that cannot be decoded."""

    def mirrors(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, Mirror]]:
        """(account_id, mirror) of every account that is one. Raises StoreError as `mirror` does."""

    def kind_states(self, account: Account) -> Iterator[tuple[str, FeedState]]:
        """The states of the feeds of single kinds of records, which only a mirror has."""

    def ids_after(self, account: Account, kind: str, id: int) -> Iterator[int]:
        """The ids of a kind beyond `id`, in order."""

    def dangling_credentials(self, account: Account) -> Iterator[tuple[int, int]]:
        """(id, user_id) of every credential whose user is missing."""

    def dangling_oauth(self, account: Account) -> Iterator[tuple[str, int, str, int]]:
        """("token", id, "client" or "user", its id) of every OAuth token whose client or user is missing, and the same
        of every OAuth client whose user is."""

    def orphans(self) -> Iterator[tuple[str, int, int]]:
        """(table, account_id, rows) of rows whose account is missing."""

    def count_changes(
        self, account: Account, kind: str, after: Position, until: Position, limit: int, filters: Filters
    ) -> tuple[int, int | None]:
        """How many changes of a kind lie in (after, until], counted up to `limit`, and the second of the first.

        Changes after the watermark count too. `filters` are for tickets.
        """

    def count_by_time(self, account: Account, since: int, seconds: int) -> list[tuple[int, int]]:
        """(begin, count) of tickets last changed in each span of so many seconds, in order, empty ones left out."""

    def find_words(self, words: StoredWords) -> Iterator[tuple[int, str]]:
        """(number, place) of each word that is stored anywhere: in a row of a table, or elsewhere in a file."""

    def size_bytes(self) -> int:
        """The size of the whole store on disk; 0 in memory."""

    def self_check(self) -> Iterator[str]:
        """What the engine itself finds wrong, one line each: pages, indexes, tables, migrations."""

    def risks(self) -> Iterator[str]:
        """Settings of the engine with which acknowledged writes may be lost, one line each."""

    def measure(self, account: Account, now: int) -> AccountSize:
        """Count all that an account holds, at the second `now`; it reads all of its rows."""

    def find_size(self, account: Account) -> AccountSize | None:
        """What was measured of an account last; None if it never was."""

    def sizes(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountSize]]:
        """What was measured last, by account_id."""

    def find_quota(self, account: Account) -> AccountQuota:
        """How much an account may hold."""

    def quotas(self, of: Sequence[Account] | None = None) -> Iterator[tuple[int, AccountQuota]]:
        """The quotas of the accounts that have one, by account_id."""

    def nodes(self) -> Iterator[NodeStatus]:
        """The nodes that the tables are distributed over, but the one that is asked; none where they are not."""

    def migration_problems(self) -> Iterator[str]:
        """Only the migrations of `self_check`: whether the schema is the one that this release knows."""
