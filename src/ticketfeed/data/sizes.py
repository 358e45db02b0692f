"""Measures accounts in the background: what each holds, exact for the moment at which it was counted.

A count reads all rows of an account. So an account is measured again an hour later at the earliest, if its tickets have
changed, and else after a day; and between two accounts the process pauses for nine times as long as the count took.
"""

import asyncio
import time
from collections.abc import Callable

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.account_size import AccountSize
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import LONG_STATEMENT_SECONDS, Snapshot

__all__ = ["MEASURE_SECONDS", "full_accounts", "measure_account", "measure_accounts"]

MEASURE_SECONDS, UNCHANGED_SECONDS = 3600, 86_400
PAUSES = 9


async def measure_accounts(store: Store, now: Callable[[Account], int]) -> int:
    """Measure the accounts that are due, those first that were measured the longest ago; returns how many.

    Those out of reach are left out. Raises StoreUnavailable if the store cannot be read at all.
    """

    def list_due(snapshot: Snapshot) -> list[Account]:
        sizes, states = dict(snapshot.sizes()), list(snapshot.accounts())
        due = [
            account
            for account, state in states
            if state and _is_due(state, sizes.get(account.account_id), now(account))
        ]
        return sorted(due, key=lambda each: sizes[each.account_id].measured_at if each.account_id in sizes else 0)

    count = 0
    for account in await store.inspect(list_due):
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

    size = await store.inspect(measure, statement_seconds=LONG_STATEMENT_SECONDS)
    if size is not None:
        await store.write(account, lambda write: write.put_size(size))
    return size is not None


def full_accounts(snapshot: Snapshot) -> set[Account]:
    """The accounts that have reached their quotas: of tickets as they are now, of bytes as they were measured last."""
    quotas = dict(snapshot.quotas())
    if not quotas:
        return set()
    sizes = dict(snapshot.sizes())
    return {
        account
        for account, state in snapshot.accounts()
        if state is not None
        and (quota := quotas.get(account.account_id)) is not None
        and quota.is_reached(state.ticket_count, sizes.get(account.account_id))
    }


def _is_due(state: FeedState, size: AccountSize | None, now: int) -> bool:
    if size is None or size.measured_at > now:  # never, or by a clock that was moved back
        return True
    age = now - size.measured_at
    is_changed = state.last_generated_timestamp >= size.measured_at or state.ticket_count != size.tickets
    return age >= (MEASURE_SECONDS if is_changed else UNCHANGED_SECONDS)
