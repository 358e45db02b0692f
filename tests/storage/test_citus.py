"""The storage contract on a real Citus, whose coordinator TICKETFEED_TEST_CITUS_DSN names; skipped without."""

from collections.abc import Iterator

import pytest

from tests.citus import CITUS_URL, NO_CITUS, CitusServer
from tests.storage.contract import ManualClock
from tests.storage.engine_contract import EngineContract
from ticketfeed.storage.contract import Store
from ticketfeed.storage.postgres.store import PostgresStore

if not CITUS_URL:
    pytest.skip(NO_CITUS, allow_module_level=True)


class TestCitus(EngineContract):
    @pytest.fixture(autouse=True)
    def server(self, citus: CitusServer) -> Iterator[None]:
        self._server = citus
        yield
        citus.take_back()

    async def open_store(self, clock: ManualClock) -> Store:
        return await PostgresStore.open(self._server.new_store(), clock)
