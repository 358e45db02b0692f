"""The storage contract on a real Citus, whose coordinator TICKETFEED_TEST_CITUS_DSN names; skipped without."""

import asyncio
import time
from collections.abc import Iterator
from random import Random
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.citus import CITUS_URL, NO_CITUS, CitusServer, worker_urls
from tests.storage.contract import NOON, ManualClock, putting, ticket, user
from tests.storage.engine_contract import EngineContract
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.paging import PAGE_BYTES_MAX
from ticketfeed.protocol.rows import ChangeRow
from ticketfeed.storage.contract import Store, WriteTransaction
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


def test_the_size_of_all_nodes(url: str) -> None:
    """The size of a store is that of its tables on the coordinator and on every node."""

    async def main() -> None:
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")
        texts = Random(1)
        tickets = [ticket(id, 10, description=texts.randbytes(2000).hex()) for id in range(1, 1000)]
        await store.write(account, putting(tickets, keep=True))
        size = await store.inspect(lambda snapshot: snapshot.size_bytes(), accounts=[])
        held = []
        for node in (url, *worker_urls(url)):
            with psycopg.connect(node, autocommit=True) as connection:
                connection.execute("SET citus.override_table_visibility = off")  # which hides shards from others
                held += [size for (size,) in connection.execute(QUERIES["size_bytes"].encode()).fetchall()]
        assert sum(held[1:]) > 2_000_000
        assert size == pytest.approx(sum(held), abs=200_000)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("table", ["ticket", "record"])
def test_a_row_that_a_stranger_holds_on_a_worker(url: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the account's row: a write waits for it as long as for any other, and is done as soon as it is let go."""
    monkeypatch.setattr("ticketfeed.storage.postgres.store.WAIT_SECONDS", 2.0)
    monkeypatch.setattr("ticketfeed.storage.postgres.writer.WAIT_SECONDS", 2.0)

    async def main() -> None:
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")

        def put(write: WriteTransaction) -> None:
            write.put_tickets([ticket(1)])
            write.put_records([user(5)])

        async def seconds_of(*, is_alone: bool) -> float:
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.write(account, put, exclusive=is_alone)
            return time.monotonic() - started

        await store.write(account, put)
        shard, node = place_of(url, table, account)
        with psycopg.connect(node) as stranger:
            stranger.execute(f"SELECT FROM ticketfeed.{table}_{shard} WHERE account_id = 1 FOR UPDATE".encode())
            for is_alone in (False, True):
                assert 1.5 < await seconds_of(is_alone=is_alone) < 4
            waiting = asyncio.create_task(store.write(account, put))
            await asyncio.sleep(0.3)
            stranger.rollback()
            await asyncio.wait_for(waiting, 2.0)
        await store.close()

    asyncio.run(main())


def place_of(url: str, table: str, account: Account) -> tuple[int, str]:
    """The shard of a table that has an account, and the URL of its node."""
    sql = "SELECT get_shard_id_for_distribution_column(%s::regclass, %s)"
    with psycopg.connect(url, autocommit=True) as connection:
        ((shard,),) = connection.execute(sql.encode(), (f"ticketfeed.{table}", account.account_id)).fetchall()
        sql = "SELECT nodeport FROM pg_dist_shard_placement WHERE shardid = %s"
        ((port,),) = connection.execute(sql.encode(), (shard,)).fetchall()
    (node,) = (each for each in worker_urls(url) if urlsplit(each).port == port)
    return shard, node


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
