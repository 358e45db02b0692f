"""A slice of the storage contract on PostgreSQL 15, the oldest that is supported, of the system's packages.

The whole contract is run on the version that is installed for tests; this is in addition, where there is one.
"""

import itertools
from collections.abc import Iterator

import psycopg
import pytest

from tests.debian_postgres import POSTGRES_15, serve_postgres
from tests.storage.contract import ManualClock, StoreContract
from tests.storage.contract_slice import contract_slice
from ticketfeed.storage.contract import Store
from ticketfeed.storage.postgres.store import PostgresStore

if not (POSTGRES_15 / "postgres").exists():
    pytest.skip(f"there is no PostgreSQL 15 in {POSTGRES_15}", allow_module_level=True)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_postgres(POSTGRES_15, tmp_path_factory.mktemp("postgres-15") / "server") as url:
        yield url


@contract_slice
class TestPostgres15(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, server_url: str) -> None:
        self._url = server_url

    async def open_store(self, clock: ManualClock) -> Store:
        name = f"contract_{next(_numbers)}"
        with psycopg.connect(f"{self._url}postgres", autocommit=True) as connection:
            assert connection.info.server_version // 10000 == 15
            connection.execute(f"CREATE DATABASE {name}".encode())
        return await PostgresStore.open(f"{self._url}{name}", clock)
