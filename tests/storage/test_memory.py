"""The memory store keeps the contract."""

from tests.storage.contract import ManualClock
from tests.storage.engine_contract import EngineContract
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore


class TestMemory(EngineContract):
    walks = 25

    async def open_store(self, clock: ManualClock) -> Store:
        return MemoryStore(clock)
