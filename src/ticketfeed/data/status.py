"""Status of an account's feed and its consumers, for the dashboard, the metrics and the command line.

Everything is read in one snapshot, in a thread, so that monitoring does not delay exports. Pending changes are counted
up to a limit: for a consumer at the beginning of three million tickets, an exact count would read three million rows.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ticketfeed.data.all_accounts import AllAccounts
from ticketfeed.protocol.consumers import CONSUMER_DAYS_MAX, Consumer
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Filters, Position
from ticketfeed.protocol.oauth import OAUTH_ID_MIN, OauthToken
from ticketfeed.protocol.watermark import clock_behind
from ticketfeed.storage.account_size import AccountQuota, AccountSize
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import Snapshot

__all__ = [
    "PENDING_MAX",
    "AllStatuses",
    "ConsumerStatus",
    "ConsumerToken",
    "FeedStatus",
    "Gap",
    "count_pending",
    "farthest_ahead",
    "read_status",
    "readable_until",
]

PENDING_MAX = 10_000
# How long changes are counted, of consumers of all accounts together: who asks for that waits for a second at most.
COUNT_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Gap:
    """A range of the feed that a consumer skipped, and the number of tickets that are in it now."""

    after: Position
    until: Position
    missed: int


class ConsumerToken(NamedTuple):
    """The newest access token of a consumer. `expires_at`: None for never. `is_renewed`: whether it had one before."""

    created_at: int
    expires_at: int | None
    is_renewed: bool

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """A consumer's position relative to the feed.

    `pending`: readable changes after its position, counted up to PENDING_MAX. `lag_seconds`: how long the first of them
    has been waiting; 0 if there is none. `gaps`: skipped ranges with tickets in them. A ticket that has moved on since
    is no longer missed, because the consumer gets it at its new position. `token`: None without OAuth, or if its tokens
    were revoked.
    """

    consumer: Consumer
    pending: int
    lag_seconds: int
    gaps: Sequence[Gap]
    token: ConsumerToken | None = None

    @property
    def uses_oauth(self) -> bool:
        return self.consumer.credential_id >= OAUTH_ID_MIN

    @property
    def missed(self) -> int:
        return sum(gap.missed for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """An account's feed. `size_bytes`: of the whole store. `problem`: why consumer statistics are unavailable.

    `clock`: what is wrong with the machine's clock, or with a feed that lies in the future; empty for nothing.
    `size`: how large the account was when it was last measured; None if it never was. `quota`: how large it may become.
    `mirror`: what it is a mirror of, if it is one.
    """

    account: Account
    state: FeedState
    size_bytes: int
    consumers: Sequence[ConsumerStatus]
    problem: str = ""
    clock: str = ""
    size: AccountSize | None = None
    quota: AccountQuota = AccountQuota()  # noqa: RUF009 - never changed in place
    mirror: Mirror | None = None

    @property
    def open_seconds(self) -> int:
        """How far the watermark is behind the newest change."""
        return max(0, self.state.last_generated_timestamp - self.state.watermark)


async def read_status(store: Store, account: Account, *, now: int, settle_seconds: int = 0) -> FeedStatus:
    """Read the status of an account. `now`: the machine's, as consumers are seen by it. Raises StoreUnavailable."""
    problem, consumers = "", list[Consumer]()
    try:
        consumers = await store.read_consumers(account)
    except (StoreError, StoreUnavailable) as error:  # consumers are in the sidecar; the rest does not depend on it
        problem = str(error)
    clock = await store.clock_problem() or ""
    recent = _recent(consumers, now)
    with_oauth = any(each.credential_id >= OAUTH_ID_MIN for each in recent)
    tokens = _newest_tokens(await store.list_oauth_tokens(account)) if with_oauth else {}
    now = store.clocks.at(account, now)

    def read(snapshot: Snapshot) -> FeedStatus:
        state = snapshot.state(account) or FeedState()
        statuses = _consumer_statuses(snapshot, account, recent, state, now, settle_seconds)
        statuses = [
            replace(each, token=tokens.get((each.consumer.credential_id, each.consumer.user_id))) for each in statuses
        ]
        states = (state, snapshot.record_state(account) or FeedState())
        ahead = max(clock_behind(each, now) for each in states)
        future = f"the newest change is {ahead:,} s ahead of now, and not readable until then" if ahead else ""
        size, quota = snapshot.find_size(account), snapshot.find_quota(account)
        mirror = _read_mirrors(snapshot, [account]).get(account.account_id)
        store_bytes = snapshot.size_bytes()
        return FeedStatus(account, state, store_bytes, statuses, problem, clock or future, size, quota, mirror)

    return await store.inspect(read, accounts=[account])


class AllStatuses:
    """The status of every account, without tokens and the clock, for one process.

    Pending changes are counted consumer by consumer: each `read` counts for so many accounts as COUNT_SECONDS allow,
    those first whose counts are the oldest. Of the others it returns the counts of an earlier one, or no consumers.
    """

    def __init__(self) -> None:
        self._accounts = AllAccounts()
        # By account, those whose counts are the oldest first.
        self._counted: dict[Account, Sequence[ConsumerStatus]] = {}
        self._known: dict[Account, FeedStatus] = {}

    async def read(self, store: Store, *, now: int, settle_seconds: int = 0) -> list[FeedStatus]:
        """Accounts that cannot be reached are left out; of those for which there was no time it returns what is known
        from before. Raises StoreUnavailable."""
        problem, consumers = "", dict[int, list[Consumer]]()
        try:
            consumers = await store.read_all_consumers()
        except (StoreError, StoreUnavailable) as error:
            problem = str(error)
        order = {account: number for number, account in enumerate(self._counted)}
        deadline = time.monotonic() + COUNT_SECONDS

        def read(
            snapshot: Snapshot, of: Sequence[Account] | None
        ) -> tuple[list[FeedStatus], dict[Account, Sequence[ConsumerStatus]]]:
            found = [(account, state or FeedState()) for account, state in snapshot.accounts(of)]
            counted = dict[Account, Sequence[ConsumerStatus]]()
            for account, state in sorted(found, key=lambda pair: order.get(pair[0], -1)):
                if time.monotonic() > deadline:
                    break
                recent, at = _recent(consumers.get(account.account_id, ()), now), store.clocks.at(account, now)
                counted[account] = _consumer_statuses(snapshot, account, recent, state, at, settle_seconds)
            size, sizes, quotas = snapshot.size_bytes(), dict(snapshot.sizes(of)), dict(snapshot.quotas(of))
            mirrors = _read_mirrors(snapshot, of)
            statuses = [
                FeedStatus(
                    each,
                    state,
                    size,
                    counted.get(each, self._counted.get(each, ())),
                    problem,
                    size=sizes.get(each.account_id),
                    quota=quotas.get(each.account_id, AccountQuota()),
                    mirror=mirrors.get(each.account_id),
                )
                for each, state in found
            ]
            return statuses, counted

        seen = await self._accounts.inspect(store, read)
        left = {account: self._known[account] for account in seen.left if account in self._known}
        self._known = left | {each.account: each for statuses, _ in seen.found for each in statuses}
        for account, found in (pair for _, counted in seen.found for pair in counted.items()):
            self._counted.pop(account, None)
            self._counted[account] = found
        return sorted(self._known.values(), key=lambda each: each.account.account_id)


def _read_mirrors(snapshot: Snapshot, of: Sequence[Account] | None) -> dict[int, Mirror]:
    """None of them if one cannot be decoded, which the integrity check tells of."""
    try:
        return dict(snapshot.mirrors(of))
    except StoreError:
        return {}


def readable_until(state: FeedState, now: int, settle_seconds: int) -> int:
    """The newest second of the ticket feed that a request at `now` can read.

    A second that is over counts as closed even if the stored watermark is behind it: an export closes it. A mirror is
    read as far as its source was walked.
    """
    if state.is_mirror:
        return state.watermark
    closed = state.last_generated_timestamp if state.last_generated_timestamp < now else state.watermark
    return min(closed, now - settle_seconds)


def farthest_ahead(snapshot: Snapshot, now: Callable[[Account], int], of: Sequence[Account] | None = None) -> int:
    """How many seconds the newest change of any account is ahead of its time, when that is too many; or 0.

    `of`: as of `Snapshot.accounts`.
    """
    states = ((account, state) for account, state in snapshot.accounts(of) if state is not None)
    return max((clock_behind(state, now(account)) for account, state in states), default=0)


def count_pending(
    snapshot: Snapshot, account: Account, after: Position, until: int, filters: Filters, kind: str = "tickets"
) -> tuple[int, int | None]:
    """Count the changes after a position, up to PENDING_MAX; and return the second of the first one."""
    return snapshot.count_changes(account, kind, after, Position(until, INT64_MAX), PENDING_MAX, filters)


def _newest_tokens(tokens: Sequence[OauthToken]) -> dict[tuple[int, int], ConsumerToken]:
    """The newest token of each client and user, out of tokens by id."""
    newest: dict[tuple[int, int], ConsumerToken] = {}
    for token in tokens:
        key = token.client_id, token.user_id
        is_renewed = token.family != token.id or key in newest
        newest[key] = ConsumerToken(token.created_at, token.expires_at, is_renewed)
    return newest


def _recent(consumers: Sequence[Consumer], now: int) -> list[Consumer]:
    return [each for each in consumers if each.last_at > now - CONSUMER_DAYS_MAX * 86400]


def _consumer_statuses(
    snapshot: Snapshot,
    account: Account,
    consumers: Sequence[Consumer],
    state: FeedState,
    now: int,
    settle_seconds: int,
) -> list[ConsumerStatus]:
    """Of these consumers, when the account's time is `now`."""
    tickets_until = readable_until(state, now, settle_seconds)
    records_until = now - max(1, settle_seconds)
    own = {kind: feed.watermark for kind, feed in snapshot.kind_states(account)} | {"tickets": tickets_until}
    return [_consumer_status(snapshot, account, each, now, own.get(each.kind, records_until)) for each in consumers]


def _consumer_status(snapshot: Snapshot, account: Account, consumer: Consumer, now: int, until: int) -> ConsumerStatus:
    position, filters, kind = consumer.position, consumer.filters, consumer.kind
    if position is None:
        return ConsumerStatus(consumer, 0, 0, ())
    pending, first = count_pending(snapshot, account, position, until, filters, kind)
    gaps = [
        Gap(after, end, snapshot.count_changes(account, kind, after, end, PENDING_MAX, filters)[0])
        for after, end in consumer.gaps()
    ]
    lag_seconds = max(0, now - first) if first is not None else 0
    return ConsumerStatus(consumer, pending, lag_seconds, [gap for gap in gaps if gap.missed])
