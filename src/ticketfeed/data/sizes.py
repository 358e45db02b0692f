"""Measures accounts in the background: what each holds, exact for the moment at which it was counted.

A count reads all rows of an account. So an account is measured again an hour later at the earliest, if its tickets have
changed, and else after a day; and between two accounts the process pauses for nine times as long as the count took.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from operator import itemgetter

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.account_batches import read_in_batches
from ticketfeed.storage.account_size import AccountSize
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import LONG_STATEMENT_SECONDS, Snapshot

__all__ = ["MEASURE_SECONDS", "find_full_accounts", "measure_account", "measure_accounts"]

MEASURE_SECONDS, UNCHANGED_SECONDS = 3600, 86_400
PAUSES = 9


async def measure_accounts(
    store: Store, now: Callable[[Account], int], goes_on: Callable[[], bool] = lambda: True
) -> int:
    """Measure the accounts that are due, those first that were measured the longest ago; returns how many.

    Those out of reach are left out. Raises StoreUnavailable if the store cannot be read at all. It ends when it no
    longer `goes_on`: with many accounts it takes long.
    """

    async def find(accounts: Sequence[Account]) -> list[tuple[int, Account]]:
        of = {account.account_id: account for account in accounts}
        return [
            (size.measured_at if size else 0, of[account_id])
            for account_id, state, size in await store.find_sizes(accounts)
            if _is_due(state, size, now(of[account_id]))
        ]

    due, _ = await read_in_batches(await store.list_shards(), find)
    count = 0
    for _, account in sorted(due, key=itemgetter(0)):
        if not goes_on():
            break
        started = time.monotonic()
        try:
            count += await measure_account(store, account, now(account))
        except (StoreError, StoreUnavailable):
            continue
        await asyncio.sleep(PAUSES * (time.monotonic() - started))
    return count


async def measure_account(store: Store, account: Account, now: int) -> bool:
    """Measure an account, unless another process has meanwhile; whether it did."""

    def measure(snapshot: Snapshot) -> AccountSize | None:
        state = snapshot.state(account)
        is_due = state is not None and _is_due(state, snapshot.find_size(account), now)
        return snapshot.measure(account, now) if is_due else None

    size = await store.inspect(measure, accounts=[account], statement_seconds=LONG_STATEMENT_SECONDS)
    if size is not None:
        await store.write(account, lambda write: write.put_size(size))
    return size is not None


async def find_full_accounts(store: Store) -> tuple[set[int], set[int]]:
    """The ids of the accounts that have reached their quotas, and of those out of reach."""
    try:
        return await store.find_full(), set()
    except (StoreError, StoreUnavailable):
        found, away = await read_in_batches(await store.list_shards(), store.find_full)
        return set(found), {account.account_id for account in away}


def _is_due(state: FeedState, size: AccountSize | None, now: int) -> bool:
    if size is None or size.measured_at > now:  # never, or by a clock that was moved back
        return True
    age = now - size.measured_at
    is_changed = state.last_generated_timestamp >= size.measured_at or state.ticket_count != size.tickets
    return age >= (MEASURE_SECONDS if is_changed else UNCHANGED_SECONDS)
