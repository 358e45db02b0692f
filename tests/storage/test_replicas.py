"""Reading from replicas: a real streaming replica, paused to make it lag."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ALL, NOON, START, ManualClock, putting, ticket
from ticketfeed.storage.postgres import PostgresStore


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and its replica, for these tests alone: one of them is killed."""
    folder = tmp_path_factory.mktemp("replicas")
    primary = PostgresServer(folder / "primary")
    replica = primary.replica(folder / "replica")
    yield primary, replica
    replica.stop()
    primary.stop()


def _set_replay(replica: PostgresServer, *, running: bool) -> None:
    with psycopg.connect(replica.url) as connection:
        connection.execute(f"SELECT pg_wal_replay_{'resume' if running else 'pause'}()".encode())


async def _positions(store: PostgresStore, account_id: int) -> list[tuple[int, int]]:
    account = next(found for found in await store.list_accounts() if found.account_id == account_id)
    _, rows = await store.read_changes(account, START, NOON * 2, 100, ALL, links=False)
    return [(row[0], row[1]) for row in rows]


async def _eventually(store: PostgresStore, account_id: int, expected: list[tuple[int, int]]) -> None:
    for _ in range(200):
        if await _positions(store, account_id) == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the replica never showed {expected}")


def test_a_lagging_replica(servers: tuple[PostgresServer, PostgresServer]) -> None:
    """A page from a replica that lags is an older, complete prefix; when it has caught up, nothing is missing."""
    primary, replica = servers

    async def main() -> None:
        url = primary.new_database()
        clock = ManualClock()
        store = await PostgresStore.open(
            url, clock, read_urls=[replica.database_url(psycopg.conninfo.conninfo_to_dict(url)["dbname"])]
        )
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1), ticket(2)]))
        clock.now += 10
        await store.close_newest(account)
        await _eventually(store, account.account_id, [(NOON, 1), (NOON, 2)])
        _set_replay(replica, running=False)
        await store.write(account, putting([ticket(1)]))
        clock.now += 10
        assert await store.close_newest(account)
        assert (await store.read_state(account)).watermark == NOON + 10
        assert await _positions(store, account.account_id) == [(NOON, 1), (NOON, 2)]
        _set_replay(replica, running=True)
        await _eventually(store, account.account_id, [(NOON, 2), (NOON + 10, 1)])
        await store.close()

    asyncio.run(main())


def test_a_server_that_is_away(servers: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its replica pages come from the primary; without the primary, reads go on from the replica."""
    primary, replica = servers

    async def main() -> None:
        url = primary.new_database()
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        clock = ManualClock()
        store = await PostgresStore.open(url, clock, read_urls=[replica.database_url(name)])
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        await store.close_newest(account)
        await _eventually(store, account.account_id, [(NOON, 1)])
        replica.kill()
        assert await _positions(store, account.account_id) == [(NOON, 1)]
        replica.start()
        monkeypatch.setattr("ticketfeed.storage.postgres_reading.AVOID_SECONDS", 0.5)
        await asyncio.sleep(0.6)
        primary.kill()
        assert await _positions(store, account.account_id) == [(NOON, 1)]
        assert not await store.close_newest(account)
        primary.start()
        await store.write(account, putting([ticket(2)]))
        await store.close()

    asyncio.run(main())
