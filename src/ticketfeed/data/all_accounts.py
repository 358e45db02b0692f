"""Looks at all accounts again and again, for whoever watches them: at once, as long as all are within reach.

While some are not, those of each shard are looked at by themselves, all shards at the same moment. A part that fails is
halved as long as there is time, so that a single account that cannot be read leaves out none but itself. A part that
has not answered in time is out of reach as a whole.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.storage.contract import Store
from ticketfeed.storage.snapshot_contract import SHORT_STATEMENT_SECONDS, Snapshot

__all__ = ["AllAccounts", "Seen"]

T = TypeVar("T")

# How long they are not looked at all at once after that has failed.
APART_SECONDS = 10.0


class Seen(NamedTuple, Generic[T]):
    """What was found of all accounts, or of each part; those out of reach; those for which there was no time."""

    found: list[T]
    away: set[Account]
    left: set[Account]


class AllAccounts:
    """For one process, and one thing that is looked at."""

    def __init__(self) -> None:
        self._apart_until = float("-inf")

    async def inspect(self, store: Store, work: Callable[[Snapshot, Sequence[Account] | None], T]) -> Seen[T]:
        """What `work` returns of a snapshot and some accounts; None for all. Raises StoreUnavailable if none answer."""
        if time.monotonic() >= self._apart_until:
            try:
                return Seen([await _inspect(store, work, None, SHORT_STATEMENT_SECONDS)], set(), set())
            except StoreUnavailable:
                self._apart_until = time.monotonic() + APART_SECONDS
        return await _inspect_apart(store, work)


async def _inspect_apart(store: Store, work: Callable[[Snapshot, Sequence[Account] | None], T]) -> Seen[T]:
    deadline = time.monotonic() + SHORT_STATEMENT_SECONDS
    shards = await store.list_shards()
    seen, reason = Seen[T]([], set(), {account for shard in shards for account in shard}), StoreUnavailable("")

    async def look(accounts: Sequence[Account]) -> None:
        nonlocal reason
        seconds = deadline - time.monotonic()
        if not accounts or seconds <= 0:
            return
        try:
            seen.found.append(await _inspect(store, work, accounts, seconds))
        except StoreUnavailable as error:
            reason, middle = error, len(accounts) // 2
            if middle and time.monotonic() < deadline:
                await look(accounts[:middle])
                await look(accounts[middle:])
                return
            seen.away.update(accounts)
        seen.left.difference_update(accounts)

    await asyncio.gather(*map(look, shards))
    if shards and not seen.found:
        raise reason
    return seen


async def _inspect(
    store: Store,
    work: Callable[[Snapshot, Sequence[Account] | None], T],
    accounts: Sequence[Account] | None,
    seconds: float,
) -> T:
    try:
        return await store.inspect(partial(_work, work, accounts), accounts=accounts, statement_seconds=seconds)
    except StoreError as error:
        raise StoreUnavailable(str(error)) from error


def _work(
    work: Callable[[Snapshot, Sequence[Account] | None], T], accounts: Sequence[Account] | None, snapshot: Snapshot
) -> T:
    return work(snapshot, accounts)
