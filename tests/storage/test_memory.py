"""The memory store keeps the contract."""

from tests.storage.contract import ManualClock, StoreContract
from tests.storage.mirror_contract import MirrorContract
from tests.storage.oauth_contract import OauthContract
from tests.storage.rate_limits_contract import RateLimitsContract
from tests.storage.records_contract import RecordsContract
from tests.storage.saved_contract import SavedContract
from tests.storage.search_contract import SearchContract
from tests.storage.usage_contract import UsageContract
from tests.storage.writing_contract import WritingContract
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore


class TestMemory(
    StoreContract,
    RecordsContract,
    WritingContract,
    OauthContract,
    SearchContract,
    RateLimitsContract,
    UsageContract,
    MirrorContract,
    SavedContract,
):
    walks = 25

    async def open_store(self, clock: ManualClock) -> Store:
        return MemoryStore(clock)
