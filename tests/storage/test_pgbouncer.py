"""A slice of the storage contract through PgBouncer in transaction mode, where it is installed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.debian_postgres import PGBOUNCER, serve_pgbouncer
from tests.postgres import PostgresServer
from tests.storage.contract import ManualClock, StoreContract, putting, ticket
from tests.storage.contract_slice import contract_slice
from ticketfeed.storage.contract import Store
from ticketfeed.storage.postgres.store import PostgresStore

if not PGBOUNCER.exists():
    pytest.skip("PgBouncer is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def pooler_url(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with psycopg.connect(postgres.url) as connection:
        info = connection.info
        host, user, port = info.host, info.user, info.port
    with serve_pgbouncer(tmp_path_factory.mktemp("pgbouncer") / "pooler", Path(host), user, port) as url:
        yield url


@contract_slice
class TestPgBouncer(StoreContract):
    @pytest.fixture(autouse=True)
    def pooler(self, postgres: PostgresServer, pooler_url: str) -> None:
        self._postgres, self._url = postgres, pooler_url

    async def open_store(self, clock: ManualClock) -> Store:
        name = psycopg.conninfo.conninfo_to_dict(self._postgres.new_database())["dbname"]
        return await PostgresStore.open(f"{self._url}{name}", clock)


def test_prepared_statements(postgres: PostgresServer, pooler_url: str) -> None:
    """Writes prepare their statements on a server that they reach directly, and none behind the pooler."""

    async def count(url: str) -> int:
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")
        for id in range(1, 10):
            await store.write(account, putting([ticket(id)]))
        with store._writers.pool.connection() as connection:
            ((prepared,),) = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchall()
        await store.close()
        return int(prepared)

    url = postgres.new_database()
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    assert asyncio.run(count(url)) > 0
    assert asyncio.run(count(f"{pooler_url}{name}")) == 0
