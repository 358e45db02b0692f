"""The memory store keeps the contract."""

from tests.storage.budgets_contract import BudgetsContract
from tests.storage.contract import ManualClock, StoreContract
from tests.storage.notes_contract import NotesContract
from tests.storage.records_contract import RecordsContract
from tests.storage.writing_contract import WritingContract
from ticketfeed.storage.base import Store
from ticketfeed.storage.memory import MemoryStore


class TestMemory(StoreContract, RecordsContract, WritingContract, BudgetsContract, NotesContract):
    async def open_store(self, clock: ManualClock) -> Store:
        return MemoryStore(clock)
