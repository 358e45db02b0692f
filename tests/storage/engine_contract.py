"""All that every engine must do: one class for the tests of each."""

from tests.storage.contract import StoreContract
from tests.storage.maintenance_contract import MaintenanceContract
from tests.storage.mirror_contract import MirrorContract
from tests.storage.oauth_contract import OauthContract
from tests.storage.rate_limits_contract import RateLimitsContract
from tests.storage.records_contract import RecordsContract
from tests.storage.saved_contract import SavedContract
from tests.storage.search_contract import SearchContract
from tests.storage.usage_contract import UsageContract
from tests.storage.writing_contract import WritingContract


class EngineContract(
    StoreContract,
    RecordsContract,
    WritingContract,
    OauthContract,
    SearchContract,
    RateLimitsContract,
    UsageContract,
    MirrorContract,
    SavedContract,
    MaintenanceContract,
):
    """The whole Store contract, in the order in which it is read."""
