"""The memory store keeps the contract."""

from tests.storage.contract import ManualClock, StoreContract
from ticketfeed.storage.base import Store
from ticketfeed.storage.memory import MemoryStore


class TestMemory(StoreContract):
    async def open_store(self, clock: ManualClock) -> Store:
        return MemoryStore(clock)
