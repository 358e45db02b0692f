"""Reads of all accounts, many at once, that go on past those which are out of reach.

A read of many fails as soon as one of them is out of reach. Then each is read by itself: it may be that one alone. When
several in a row fail, their server is away, and the rest of their shard is left out.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account

__all__ = ["Away", "read_in_batches"]

T = TypeVar("T")
# Accounts that are out of reach, and why.
Away = dict[Account, StoreError | StoreUnavailable]

# Accounts of one statement: a few milliseconds in the database.
BATCH = 1000
# Shards that are read at the same time. What waits for a server that is away has a connection meanwhile.
TOGETHER = 8
# How long one account alone is waited for, and how many in a row.
ALONE_SECONDS = 1.0
FAILED_MAX = 4


async def read_in_batches(
    shards: Iterable[Sequence[Account]], read: Callable[[Sequence[Account]], Awaitable[Iterable[T]]]
) -> tuple[list[T], Away]:
    """What `read` returns of the accounts of all shards; and the accounts that are out of reach."""
    found, away, turns = list[T](), Away(), asyncio.Semaphore(TOGETHER)

    async def read_shard(accounts: Sequence[Account]) -> None:
        async with turns:
            for start in range(0, len(accounts), BATCH):
                batch = accounts[start : start + BATCH]
                try:
                    found.extend(await read(batch))
                except (StoreError, StoreUnavailable):
                    if reason := await read_each(batch):
                        away.update(dict.fromkeys(accounts[start + BATCH :], reason))
                        return

    async def read_each(batch: Sequence[Account]) -> StoreError | StoreUnavailable | None:
        """Why the server is away; None if it answers."""
        failed_in_a_row, left = 0, random.sample(batch, len(batch))  # bad ones may lie beside each other
        while left:
            account = left.pop()
            try:
                async with asyncio.timeout(ALONE_SECONDS):
                    found.extend(await read([account]))
                failed_in_a_row = 0
                continue
            except TimeoutError:
                away[account] = StoreUnavailable(f"no answer in {ALONE_SECONDS:g} s")
            except (StoreError, StoreUnavailable) as error:
                away[account] = error
            failed_in_a_row += 1
            if failed_in_a_row == FAILED_MAX:
                away.update(dict.fromkeys(left, away[account]))
                return away[account]
        return None

    await asyncio.gather(*map(read_shard, shards))
    return found, away
