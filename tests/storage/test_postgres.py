"""The PostgreSQL store keeps the contract, and what only a server can."""

import asyncio

import msgspec
import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ALL, NOON, START, ManualClock, StoreContract, putting, ticket
from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.base import Store
from ticketfeed.storage.postgres import PostgresStore, Q


class TestPostgres(StoreContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: PostgresServer) -> None:
        self._server = postgres

    async def open_store(self, clock: ManualClock) -> Store:
        return await PostgresStore.open(self._server.new_database(), clock)


def test_several_processes_start_at_once(postgres: PostgresServer) -> None:
    """Many openings of one empty database at the same moment end with one schema, one id and one account."""

    async def main() -> None:
        url, clock = postgres.new_database(), ManualClock()
        stores = await asyncio.gather(*(PostgresStore.open(url, clock) for _ in range(8)))
        accounts = await asyncio.gather(*(store.create_account("acme") for store in stores))
        assert len({store.store_id for store in stores}) == 1
        assert len(set(accounts)) == 1
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_what_is_not_there(postgres: PostgresServer) -> None:
    """A database without a store is refused where one must be; so is a server that is not there."""

    async def main() -> None:
        with pytest.raises(StoreError, match="no store in this database"):
            await PostgresStore.open(postgres.new_database(), ManualClock(), create=False)
        with pytest.raises(StoreError, match="cannot open the store"):
            await PostgresStore.open("postgresql://127.0.0.1:1/none", ManualClock())

    asyncio.run(main())


def test_a_newer_schema(postgres: PostgresServer) -> None:
    """A database written by a newer release is refused."""

    async def main() -> None:
        url = postgres.new_database()
        await (await PostgresStore.open(url, ManualClock())).close()
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO ticketfeed.migration VALUES (9999, '9999_future.sql')")
        with pytest.raises(StoreError, match="newer ticketfeed"):
            await PostgresStore.open(url, ManualClock())

    asyncio.run(main())


def test_other_tables_are_left_alone(postgres: PostgresServer) -> None:
    """A database that already has tables of our names, in its own schema, can be shared."""

    async def main() -> None:
        url = postgres.new_database()
        with psycopg.connect(url) as connection:
            for name in ("ticket", "account", "migration"):
                connection.execute(f"CREATE TABLE {name} (theirs text)")
        store = await PostgresStore.open(url, clock := ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        await store.close()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM ticket").fetchone() == (0,)

    asyncio.run(main())


def test_a_page_walks_the_index(postgres: PostgresServer) -> None:
    """A page walks the feed's index and never sorts, also right after a load, before there are statistics."""

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(id, id // 7) for id in range(1, 3000)], keep=True))
        bindings = {"account_id": 1, "after_timestamp": 0, "after_id": -1, "until": NOON}
        bindings |= {"exclude_deleted": False, "scope": "agent", "limit": 100}
        async with store._primary.connection() as connection:
            plan = await (await connection.execute(("EXPLAIN " + Q["read_changes"]).encode(), bindings)).fetchall()
        text = "\n".join(line for (line,) in plan)
        assert "Index Scan using ticket_feed" in text
        assert "Sort" not in text
        await store.close()

    asyncio.run(main())


def test_a_row_that_is_held(postgres: PostgresServer) -> None:
    """While another transaction holds the account row, reads go on and closing gives up at once."""

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, clock := ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        with psycopg.connect(url) as other:
            other.execute("SELECT FROM ticketfeed.feed_state FOR UPDATE")
            assert (await store.read_state(account)).watermark == NOON - 1
            assert not await store.close_newest(account)
        assert await store.close_newest(account)
        await store.close()

    asyncio.run(main())


def test_tickets_twice_across_batches(postgres: PostgresServer) -> None:
    """Of drafts of one ticket in different batches of one long write, the newer generated_timestamp wins."""

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), clock := ManualClock())
        account = await store.create_account("acme")
        others = [ticket(id, 50) for id in range(1000, 2000)]
        drafts = [
            ticket(1, 100, subject="newest"),
            ticket(2, 10),
            *others,
            ticket(1, 99),
            ticket(2, 10, subject="later"),
        ]
        assert await store.write(account, putting(drafts)) == len(drafts)
        clock.now += 1
        await store.close_newest(account)
        _, rows = await store.read_changes(account, START, NOON * 2, 2, ALL, links=False)
        assert [msgspec.json.decode(row[2])["subject"] for row in rows] == ["newest", "later"]
        assert (await store.read_state(account)).ticket_count == 1002
        await store.close()

    asyncio.run(main())
