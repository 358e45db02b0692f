"""Pages of a mirror from the page cache are those of the store, whatever the source gives."""

import asyncio
import json
import random

import pytest

from tests.storage.contract import ALL, ManualClock
from tests.storage.mirror_contract import Walk
from ticketfeed.export.answer import Answer, Export, Exports, PageRequest
from ticketfeed.export.fragments import FragmentCache
from ticketfeed.protocol.cursor import decode_cursor
from ticketfeed.protocol.gzip_splice import PLAIN
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.storage import Store
from ticketfeed.storage.memory import MemoryStore

TICKETS = Export("tickets/cursor", "tickets", "tickets")


class CachedWalk(Walk):
    """Readers at the mirror are answered with bytes, from the page cache where possible."""

    def __init__(self, seed: int, store: Store, account: Account, clock: ManualClock) -> None:
        super().__init__(random.Random(seed), store, account, clock)
        self.exports = Exports(store, 60, 1 << 20)

    async def read_one(self, number: int, store: Store, account: Account) -> None:
        if store is self.source:
            await super().read_one(number, store, account)
            return
        after, given = self.readers[number]
        query = ExportRequest(after, self.chance.choice([2, 3, 7]), ALL, (), ())
        asked = PageRequest(account, TICKETS, query, "https://acme.example/x", PLAIN, self.clock.now)
        answer = await self.exports.answer(asked)
        assert isinstance(answer, Answer)
        page = json.loads(bytes(answer.body))
        for each in page["tickets"]:
            (row,) = await store.read_tickets(account, [each["id"]])
            assert json.loads(row.body) == each
            given[each["id"]] = row.body
        if page["tickets"]:
            self.readers[number] = decode_cursor(page["after_cursor"]), given


def test_cached_pages_of_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page has the tickets as they are stored, and no reader misses one; settling is the source's business."""
    monkeypatch.setattr(FragmentCache, "fragment_tickets", 2)

    async def main() -> None:
        for seed in range(15, 27):
            clock = ManualClock()
            store = MemoryStore(clock)
            await CachedWalk(seed, store, await store.create_account("acme"), clock).run()

    asyncio.run(main())
