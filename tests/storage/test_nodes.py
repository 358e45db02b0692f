"""What a process knows of the nodes of Citus."""

import asyncio
from collections.abc import Sequence

import pytest

from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.postgres import nodes
from ticketfeed.storage.postgres.nodes import AccountNodes, DistributedSize
from ticketfeed.storage.shares import ALL_ACCOUNTS


def test_the_size_that_nodes_hold_together() -> None:
    """Of a node that does not answer it is what it held when it last did; a node that was removed holds nothing. They
    are asked now and then."""
    size = DistributedSize()
    cases = (
        ([("a", 10), ("b", 5)], 15),
        ([("a", 20), ("b", None)], 25),
        ([("a", None), ("b", None)], 25),
        ([("a", 1), ("b", 2), ("c", None)], 3),
        ([("b", 4)], 4),
        ([], 0),
    )
    assert (size.size_bytes, size.is_due(0)) == (0, True)
    for number, (answers, held) in enumerate(cases):
        at = 1000.0 * number
        size.note([NodeStatus(*answer) for answer in answers], at)
        assert size.size_bytes == held, answers
        assert [size.is_due(at + seconds) for seconds in (0, nodes.SIZES_SECONDS)] == [False, True]


def test_where_accounts_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is learned in the background: a moment after an account was first asked for, and again later; while it cannot
    be read, accounts are where they were. All accounts at once are nowhere else."""
    monkeypatch.setattr(nodes, "NEW_SECONDS", 0.0)
    asked: list[list[int]] = []
    moved: dict[int, int] = {}

    async def read(account_ids: Sequence[int]) -> dict[int, int]:
        asked.append(list(account_ids))
        if len(asked) == 2:
            raise StoreUnavailable("away")
        return {id: moved.get(id, id % 2) for id in account_ids if id != 9}

    async def main() -> None:
        places = AccountNodes(read)

        async def of(*account_ids: int) -> list[int | None]:
            first = [places.of(id) for id in account_ids]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return [*first, *map(places.of, account_ids)]

        assert await of(1, 2) == [None, None, 1, 0]
        assert asked == [[1, 2]]
        assert await of(1, 3) == [1, None, 1, None], "the store was away"
        assert await of(3, 9) == [None, None, 1, None], "it is asked again soon"
        places.note({9: 1})
        assert await of(ALL_ACCOUNTS, 9) == [-1, 1, -1, 1]
        monkeypatch.setattr(nodes, "FOLLOW_SECONDS", 0.0)
        moved[1] = 7
        assert await of(1) == [1, 7]
        await places.stop()

    asyncio.run(main())
