"""The storage contract on a real Citus, whose coordinator TICKETFEED_TEST_CITUS_DSN names; skipped without."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.citus import CITUS_URL, NO_CITUS, CitusServer
from tests.storage.contract import NOON, ManualClock, putting, ticket
from tests.storage.engine_contract import EngineContract
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.paging import PAGE_BYTES_MAX
from ticketfeed.protocol.rows import ChangeRow
from ticketfeed.storage.contract import Store
from ticketfeed.storage.distribution import distribute_store
from ticketfeed.storage.postgres import nodes
from ticketfeed.storage.postgres.citus import distribute_tables, write_sequential
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.queries import ACCOUNT_TABLES

if not CITUS_URL:
    pytest.skip(NO_CITUS, allow_module_level=True)


class TestCitus(EngineContract):
    @pytest.fixture(autouse=True)
    def server(self, citus: CitusServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(nodes, "SIZES_SECONDS", 0.0)
        self._server = citus
        yield
        citus.take_back()

    async def open_store(self, clock: ManualClock) -> Store:
        return await PostgresStore.open(self._server.new_store(), clock)


@pytest.fixture
def url(citus: CitusServer) -> Iterator[str]:
    """Of a distributed store with an account."""
    yield citus.new_store()
    citus.take_back()


def test_a_page_walks_the_index_of_a_worker(url: str) -> None:
    """It never sorts there, also right after a load, before there are statistics."""

    async def main() -> None:
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(id, id // 7) for id in range(1, 3000)], keep=True))
        bindings = {"account_id": account.account_id, "after_timestamp": 0, "after_id": -1, "until": NOON}
        bindings |= {"exclude_deleted": False, "scope": "agent", "limit": 100, "page_bytes_max": PAGE_BYTES_MAX}
        sql = f"EXPLAIN {QUERIES.select('read_changes', ChangeRow)}"
        text = "\n".join(line for (line,) in await store._readers.read_in_order(sql, bindings))
        assert "Index Scan using ticket_feed_" in text
        assert "Sort" not in text
        await store.close()

    asyncio.run(main())


def test_a_store_that_is_distributed_in_part(url: str) -> None:
    """By hand, or another way: it is refused in one line; what can be finished is, all can be taken back, and nothing
    is lost. What a process that was killed has left on the coordinator is told, and removed the next time."""
    asyncio.run(open_store(url))
    apart = "SELECT create_distributed_table('ticketfeed.ticket', 'account_id', colocate_with => 'none')"
    cases: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("only in part, without ticket", "ticket", ()),
        ("only in part, without mirror, kind_state", "mirror kind_state", ()),
        ("meta is distributed, and should be", "", ("SELECT create_reference_table('ticketfeed.meta')",)),
        ("job_item is on every node", "job_item", ("SELECT create_reference_table('ticketfeed.job_item')",)),
        ("ticket is not beside feed_state", "ticket", ("SET citus.shard_count = 2", apart)),
    )
    for line, taken_back, statements in cases:
        tables = taken_back.split()
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in (*(f"SELECT undistribute_table('ticketfeed.{each}')" for each in tables), *statements):
                connection.execute(statement.encode())
        with pytest.raises(StoreError, match=line):
            asyncio.run(open_store(url))
        if not statements:
            assert distribute_store(url) == tables
            assert asyncio.run(open_store(url)) == []
            continue
        with pytest.raises(StoreError, match=line):
            distribute_store(url)
        assert len(distribute_store(url, undo=True)) > len(ACCOUNT_TABLES)
        assert len(asyncio.run(open_store(url))) > len(ACCOUNT_TABLES)
        with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
            write_sequential(connection)
            distribute_tables(connection, 2)
        assert any("rows of the table ticket that nobody sees" in risk for risk in asyncio.run(open_store(url)))
        assert distribute_store(url) == []
        assert asyncio.run(open_store(url)) == []


async def open_store(url: str) -> list[str]:
    """What it says of its distribution; it has a ticket, which is not lost."""
    store = await PostgresStore.open(url, ManualClock())
    try:
        account = await store.create_account("acme")
        if not (await store.read_state(account)).ticket_count:
            await store.write(account, putting([ticket(1)]))
        assert [row.id for row in await store.read_tickets(account, [1])] == [1]
        return [risk for risk in await store.inspect(lambda snapshot: list(snapshot.risks())) if "distribute" in risk]
    finally:
        await store.close()
