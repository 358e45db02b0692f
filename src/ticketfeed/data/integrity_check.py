"""The integrity check of a store: each problem becomes one line.

The tickets are scanned twice, in feed order as pages read them and by id as writes find them. Both scans must return
the same tickets; where they differ, an index is damaged. They are compared in constant memory, by sums over buckets of
ids.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.integrity import mirror_problems, record_problems, state_problems, ticket_problems
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Position
from ticketfeed.protocol.rows import RecordRow
from ticketfeed.protocol.watermark import clock_behind
from ticketfeed.storage.snapshot_contract import Snapshot

__all__ = ["CheckSummary", "check_store"]

T = TypeVar("T")

# Problems of one kind that are reported one by one: enough to see a pattern, and a screen full.
REPORTS_MAX = 20
# 32 KB of sums; a bucket of ten million tickets has 2,400.
BUCKETS = 4096
# Of the buckets that differ, this many are compared ticket by ticket: a sixty-fourth of the tickets, or fewer.
BUCKETS_COMPARED_MAX = 64
_SUM_MASK = 2**64 - 1


@dataclass
class CheckSummary:
    """How much was checked, and how many problems of each kind were found."""

    accounts: int = 0
    tickets: int = 0
    records: int = 0
    findings: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        checked = f"accounts {self.accounts:,}, tickets {self.tickets:,}, records {self.records:,}"
        problems = self.findings.total()
        return f"{checked}: {problems or 'no'} problem{'' if problems == 1 else 's'}"


def check_store(
    snapshot: Snapshot,
    report: Callable[[str], None],
    advance: Callable[[int, int], None] = lambda _done, _total: None,
    now: Callable[[Account], int] | None = None,
) -> CheckSummary:
    """Check everything. The first problems of each kind are passed to `report`, then how many more there are.

    `now`: the time of an account, which its changes must not be ahead of; None if there is none.
    `advance` is called with the number of tickets checked, and how many there should be. Raises StoreUnavailable.
    """
    check = _Check(snapshot, report, now)
    check.whole_store()
    accounts = [(account, check.states(account)) for account in check.accounts()]
    total = sum(state.ticket_count for _, states in accounts for state in states if state is not None)
    for account, states in accounts:
        check.account(account, states, lambda done: advance(done, max(done, total)))
    for kind, count in check.summary.findings.items():
        if count > REPORTS_MAX:
            report(f"{kind}: {count - REPORTS_MAX:,} more")
    return check.summary


class _Check:
    def __init__(self, snapshot: Snapshot, report: Callable[[str], None], now: Callable[[Account], int] | None) -> None:
        self._snapshot, self._report, self._now = snapshot, report, now
        self.summary = CheckSummary()

    def accounts(self) -> list[Account]:
        return list(self._readable("accounts", _each(self._snapshot.list_accounts)))

    def states(self, account: Account) -> list[FeedState | None]:
        """The account's state, None if its row is missing; empty if the account cannot be reached."""
        return list(self._readable("account row", _each(lambda: [self._snapshot.state(account)]), account))

    def whole_store(self) -> None:
        """What the engine reports of itself, and rows whose account is missing."""
        for fault in self._readable("store", self._snapshot.self_check()):
            self._add("store", fault)
        for table, account_id, count in self._readable("orphans", self._snapshot.orphans()):
            self._add("orphans", f"{table} has {count:,} rows of account_id {account_id}, which does not exist")

    def account(self, account: Account, states: Sequence[FeedState | None], advance: Callable[[int], None]) -> None:
        """Check everything of one account."""
        self.summary.accounts += 1
        if not states:
            return
        (state,) = states
        if state is None:
            self._add("account rows", f"account {account.subdomain} has no row in feed_state")
        self._clock(account, state)
        self._tickets(account, state, advance)
        self._records(account)
        if state is not None:
            self._mirror(account, state)
        credentials = self._readable("credentials", self._snapshot.dangling_credentials(account), account)
        for credential_id, user_id in credentials:
            text = f"credential {credential_id} belongs to user {user_id}, which does not exist"
            self._add("credentials", f"account {account.subdomain}: {text}")
        for kind, id, owner, owner_id in self._readable("OAuth", self._snapshot.dangling_oauth(account), account):
            text = f"OAuth {kind} {id} belongs to {owner} {owner_id}, which does not exist"
            self._add("OAuth", f"account {account.subdomain}: {text}")

    def _clock(self, account: Account, tickets: FeedState | None) -> None:
        """Changes that lie in the future, of tickets or of records."""
        records = self._readable("account row", self._record_states(account), account)
        states = [state for state in (tickets, *records) if state]
        if self._now is None:
            return
        now = self._now(account)
        ahead = max((clock_behind(state, now) for state in states), default=0)
        if ahead:
            text = f"its newest change is {ahead:,} s ahead of this clock; see ticketfeed repair clock"
            self._add("clock", f"account {account.subdomain}: {text}")

    def _tickets(self, account: Account, state: FeedState | None, advance: Callable[[int], None]) -> None:
        in_feed, by_id, count = _Positions(), _Positions(), 0
        previous: Position | None = None
        for row in self._readable("tickets", self._snapshot.tickets(account), account):
            count += 1
            advance(self.summary.tickets + count)
            place = f"account {account.subdomain}: ticket {row.id}"
            for fault in ticket_problems(row, account.subdomain):
                self._add("tickets", f"{place}: {fault}")
            if state is not None and _is_after(row.generated_timestamp, state.last_generated_timestamp):
                text = f"has second {row.generated_timestamp}, after the account's last_generated_timestamp"
                self._add("seconds", f"{place} {text} {state.last_generated_timestamp}")
            position = Position(row.generated_timestamp, row.id)
            if previous is not None and not _is_before(previous, position):
                self._add("order", f"{place} follows ticket {previous.id} in the feed, whose position is later")
            previous = position
            in_feed.add(position)
        for position in self._readable("tickets by id", self._snapshot.positions_by_id(account), account):
            by_id.add(position)
        self.summary.tickets += count
        for fault in state_problems(state, count) if state is not None else ():
            self._add("account rows", f"account {account.subdomain}: {fault}")
        if differing := in_feed.differing(by_id):
            self._compare_scans(account, differing)

    def _compare_scans(self, account: Account, buckets: frozenset[int]) -> None:
        """Scan again, and name the tickets that only one of the scans returns."""
        tickets = self._readable("tickets", self._snapshot.tickets(account), account)
        in_feed = _Positions.of_buckets(buckets, (Position(row.generated_timestamp, row.id) for row in tickets))
        positions = self._readable("tickets by id", self._snapshot.positions_by_id(account), account)
        by_id = _Positions.of_buckets(buckets, positions)
        for only, others, text in (
            (in_feed, by_id, "is in the feed, but not in the index by id"),
            (by_id, in_feed, "is in the index by id, but not in the feed"),
        ):
            for position in sorted((only - others).elements(), key=repr):
                place = f"ticket {position.id} of second {position.generated_timestamp}"
                self._add("indexes", f"account {account.subdomain}: {place} {text}")

    def _records(self, account: Account) -> None:
        state = next(self._readable("account row", self._record_states(account), account), None)
        kinds = dict(self._readable("account row", self._snapshot.kind_states(account), account))
        is_mirror = state is not None and state.is_mirror
        for row in self._readable("records", self._snapshot.records(account), account):
            self.summary.records += 1
            place = f"account {account.subdomain}: {row.kind} {row.id}"
            for fault in record_problems(row, account.subdomain, is_mirror=is_mirror):
                self._add("records", f"{place}: {fault}")
            feed = kinds.get(row.kind, state)
            last = feed.last_generated_timestamp if feed and not (is_mirror and _is_own_user(row)) else INT64_MAX
            if _is_after(row.generated_timestamp, last):
                text = f"has second {row.generated_timestamp}, after the account's record_last_timestamp {last}"
                self._add("seconds", f"{place} {text}")

    def _mirror(self, account: Account, state: FeedState) -> None:
        mirror = next(self._readable("mirror", self._snapshot.mirror(account), account), None)
        kinds = dict(self._readable("account row", self._snapshot.kind_states(account), account))
        for fault in mirror_problems(state, mirror, kinds):
            self._add("mirrors", f"account {account.subdomain}: {fault}")

    def _record_states(self, account: Account) -> Iterator[FeedState]:
        state = self._snapshot.record_state(account)
        if state is not None:
            yield state

    def _readable(self, kind: str, rows: Iterable[T], account: Account | None = None) -> Iterator[T]:
        """The rows up to the first that the engine cannot read, which is a problem of its own."""
        try:
            yield from rows
        except (StoreError, StoreUnavailable) as error:
            place = f"account {account.subdomain}: " if account else ""
            self._add("unreadable", f"{place}reading the {kind} ended early: {error}")

    def _add(self, kind: str, text: str) -> None:
        self.summary.findings[kind] += 1
        if self.summary.findings[kind] <= REPORTS_MAX:
            self._report(" ".join(text.split()))


def _each(read: Callable[[], Iterable[T]]) -> Iterator[T]:
    """What is read when it is asked for, and not before."""
    yield from read()


class _Positions:
    """A set of positions in constant memory: for each bucket of ids, the sum of their hashes."""

    def __init__(self) -> None:
        self._sums = [0] * BUCKETS

    def add(self, position: Position) -> None:
        bucket = _bucket(position)
        self._sums[bucket] = (self._sums[bucket] + hash(position)) & _SUM_MASK

    def differing(self, other: "_Positions") -> frozenset[int]:
        """The first buckets in which the two differ."""
        unequal = [bucket for bucket in range(BUCKETS) if self._sums[bucket] != other._sums[bucket]]
        return frozenset(unequal[:BUCKETS_COMPARED_MAX])

    @staticmethod
    def of_buckets(buckets: frozenset[int], positions: Iterable[Position]) -> Counter[Position]:
        """Those of the positions that fall into `buckets`, with their counts."""
        return Counter(position for position in positions if _bucket(position) in buckets)


def _bucket(position: Position) -> int:
    return hash(position.id) % BUCKETS


def _is_own_user(row: RecordRow) -> bool:
    """Whether it is a user that only a mirror has, whom no export reads."""
    return row.kind == "users" and isinstance(row.id, int) and row.id >= LOCAL_ID_MIN


def _is_after(second: object, last: int) -> bool:
    return isinstance(second, int) and second > last


def _is_before(earlier: Position, later: Position) -> bool:
    """Values of a wrong type, which are reported elsewhere, have no order."""
    return not all(isinstance(value, int) for value in (*earlier, *later)) or earlier < later
