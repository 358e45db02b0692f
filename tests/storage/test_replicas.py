"""Reading from replicas: a real streaming replica, paused to make it lag."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ALL, NOON, START, ManualClock, putting, ticket
from tests.waiting import SECONDS_MAX, until, wait_until
from ticketfeed.inprocess import call_app
from ticketfeed.protocol.errors import StoreReadOnly
from ticketfeed.protocol.model import Account, Position
from ticketfeed.server.app import create_app
from ticketfeed.settings import Settings
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.postgres.timeline import CLOCK_ERROR_SECONDS
from ticketfeed.storage.replicas import find_replica_problem


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and its replica, for these tests alone: one of them is killed."""
    # Not in pytest's own folder: each pytest that starts closes that to other users, and servers may run as one.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        primary = PostgresServer(folder / "primary")
        replica = primary.replica(folder / "replica")
        yield primary, replica
        replica.stop()
        primary.stop()


def _catch_up(primary: PostgresServer, replica: PostgresServer) -> None:
    """Until the replica has all that the primary has. That a page shows it proves nothing: one that a replica has not
    comes from the primary."""
    with psycopg.connect(primary.url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
    _wait_for(replica, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row)


def _wait_for(server: PostgresServer, condition: str, values: tuple[object, ...] | None = None) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        wait_until(lambda: connection.execute(condition.encode(), values).fetchone() == (True,))


def _set_replay(replica: PostgresServer, *, running: bool) -> None:
    with psycopg.connect(replica.url) as connection:
        connection.execute(f"SELECT pg_wal_replay_{'resume' if running else 'pause'}()".encode())
    state = "not paused" if running else "paused"
    _wait_for(replica, "SELECT pg_get_wal_replay_pause_state() = %s", (state,))


async def _open(primary: PostgresServer, replica: PostgresServer, clock: ManualClock) -> tuple[PostgresStore, Account]:
    """A new store with an account, opened with its replica, which has both: a replica that failed once, because its
    database was not there yet, would be avoided for AVOID_SECONDS."""
    url = primary.new_database()
    store = await PostgresStore.open(url, clock)
    account = await store.create_account("acme")
    await store.close()
    _catch_up(primary, replica)
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    return await PostgresStore.open(url, clock, read_urls=[replica.database_url(name)]), account


async def _positions(store: PostgresStore, account_id: int) -> list[tuple[int, int]]:
    account = next(found for found in await store.list_accounts() if found.account_id == account_id)
    _, rows = await store.read_changes(account, START, NOON * 2, 100, ALL, links=False)
    return [(row[0], row[1]) for row in rows]


async def _eventually(store: PostgresStore, account_id: int, expected: list[tuple[int, int]]) -> None:
    async def is_shown() -> bool:
        return await _positions(store, account_id) == expected

    await until(is_shown)


def test_a_lagging_replica(servers: tuple[PostgresServer, PostgresServer]) -> None:
    """A page from a replica that lags is an older, complete prefix; when it has caught up, nothing is missing."""
    primary, replica = servers

    async def main() -> None:
        clock = ManualClock()
        store, account = await _open(primary, replica, clock)
        await store.write(account, putting([ticket(1), ticket(2)]))
        clock.now += 10
        await store.close_newest(account)
        await _eventually(store, account.account_id, [(NOON, 1), (NOON, 2)])
        _catch_up(primary, replica)
        _set_replay(replica, running=False)
        try:
            await store.write(account, putting([ticket(1)]))
            clock.now += 10
            assert await store.close_newest(account)
            assert (await store.read_state(account)).watermark == NOON + 10
            assert await _positions(store, account.account_id) == [(NOON, 1), (NOON, 2)]
        finally:
            _set_replay(replica, running=True)
        await _eventually(store, account.account_id, [(NOON, 2), (NOON + 10, 1)])
        await store.close()

    asyncio.run(main())


def test_a_server_that_is_away(servers: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its replica pages come from the primary; without the primary, reads go on from the replica, and the
    server says that it is ready."""
    primary, replica = servers
    for name in ("recent_reads.WAIT_SECONDS", "ops.health.PROBE_SECONDS"):
        monkeypatch.setattr(f"ticketfeed.server.{name}", SECONDS_MAX)

    async def main() -> None:
        clock = ManualClock()
        store, account = await _open(primary, replica, clock)
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        await store.close_newest(account)
        await _eventually(store, account.account_id, [(NOON, 1)])
        _catch_up(primary, replica)
        replica.kill()
        assert await _positions(store, account.account_id) == [(NOON, 1)]
        replica.start()
        monkeypatch.setattr("ticketfeed.storage.postgres.pools.AVOID_SECONDS", 0.5)
        await asyncio.sleep(0.6)
        primary.kill()
        assert await _positions(store, account.account_id) == [(NOON, 1)]
        assert not await store.close_newest(account)
        ready = await call_app(create_app(Settings(), store), "/_ticketfeed/ready", host="acme.localhost")
        assert (ready.status, b"can only be read" in ready.body) == (200, True)
        primary.start()
        await store.write(account, putting([ticket(2)]))
        await store.close()

    asyncio.run(main())


def test_a_replica_of_another_store(
    servers: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of another store is never read, though its accounts have the same ids."""
    monkeypatch.setattr("ticketfeed.storage.postgres.pools.WAIT_SECONDS", 1.0)
    primary, replica = servers

    async def main() -> None:
        clock = ManualClock()
        store, account = await _open(primary, replica, clock)
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        await store.close_newest(account)
        url, read_url = store._readers.primary.conninfo, store._readers._replicas[0].conninfo
        other = await PostgresStore.open(other_url := primary.new_database(), clock)
        await other.create_account("acme")
        mixed = await PostgresStore.open(str(url), clock, read_urls=[other_url])
        for _ in range(2):
            assert await _positions(mixed, account.account_id) == [(NOON, 1)]
        assert find_replica_problem(other_url, store.store_id) == "it is no replica of the store"
        assert find_replica_problem(str(read_url), store.store_id) is None
        for each in (store, other, mixed):
            await each.close()

    asyncio.run(main())


def test_a_standby_in_place_of_the_primary(
    servers: tuple[PostgresServer, PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL of a standby serves reads, and says why it writes nothing; one of both hosts finds the primary."""
    monkeypatch.setattr("ticketfeed.storage.postgres.store.WAIT_SECONDS", 0.5)
    primary, replica = servers

    async def main() -> None:
        clock = ManualClock()
        store, account = await _open(primary, replica, clock)
        await store.close()
        parts = [psycopg.conninfo.conninfo_to_dict(server.url) for server in (replica, primary)]
        name = psycopg.conninfo.conninfo_to_dict(store._readers.primary.conninfo)["dbname"]
        standby = await PostgresStore.open(replica.database_url(str(name)), clock)
        assert (await standby.read_state(account)).ticket_count == 0
        assert "the server is a standby: it serves reads alone" in await standby.inspect(lambda it: list(it.risks()))
        for work in (
            standby.write(account, putting([ticket(1)])),
            standby.create_account("beta"),
            standby.fence_accounts(5),
            standby.overwrite_erased(),
        ):
            with pytest.raises(StoreReadOnly, match="the server is a standby"):
                await work
        await standby.close()
        hosts = ",".join(quote(str(part["host"]), safe="") for part in parts)
        both = f"postgresql://postgres@/{name}?host={hosts}&target_session_attrs=read-write"
        found = await PostgresStore.open(both, clock)
        await found.write(account, putting([ticket(1)]))
        await found.close()

    asyncio.run(main())


def _stop_receiving(replica: PostgresServer) -> None:
    """What the primary commits from now on, the replica never has."""
    with psycopg.connect(replica.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        connection.execute("SELECT pg_reload_conf()")
    _wait_for(replica, "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")


def test_a_promotion(servers: tuple[PostgresServer, PostgresServer]) -> None:
    """After a promotion that lost commits, by a server whose clock is 6 s behind, no reader misses a change, though no
    operator did anything: whether an account is written or closed first, or created again. The last test: it parts
    the two servers."""
    primary, replica = servers

    async def main() -> None:
        clock = ManualClock()
        url = primary.new_database()
        store = await PostgresStore.open(url, clock)
        accounts = [await store.create_account(f"desk{number}") for number in range(21)]
        for account in accounts:
            await store.write(account, putting([ticket(1)]))
        _catch_up(primary, replica)
        _stop_receiving(replica)
        clock.now += 100
        lost = await store.create_account("lost")
        cursors = {}
        for account in (*accounts, lost):
            await store.write(account, putting([ticket(1)]))
        clock.now += 1
        for account in (*accounts, lost):
            await store.close_newest(account)
            _, rows = await store.read_changes(account, START, NOON * 2, 100, ALL, links=False)
            cursors[account.subdomain] = Position(*rows[-1][:2])
        await store.close()

        with psycopg.connect(replica.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        clock.now -= 6
        name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
        promoted = await PostgresStore.open(replica.database_url(name), clock)
        closed_first = accounts[-1]
        assert await promoted.close_newest(closed_first)
        assert (await promoted.read_state(closed_first)).watermark == clock.now + CLOCK_ERROR_SECONDS
        accounts.append(await promoted.create_account("lost"))
        for account in accounts:
            await promoted.write(account, putting([ticket(2)]))
        fenced = await promoted.read_state(accounts[0])
        assert (fenced.watermark, fenced.last_generated_timestamp) == (clock.now + 9, clock.now + 10)
        await promoted.write(accounts[0], putting([ticket(3)]))
        assert (await promoted.read_state(accounts[0])).invalidations == fenced.invalidations, "fenced twice"
        clock.now += 20
        missed = []
        for account in accounts:
            await promoted.close_newest(account)
            _, rows = await promoted.read_changes(account, cursors[account.subdomain], NOON * 2, 100, ALL, links=False)
            missed += [account] if 2 not in {row[1] for row in rows} else []
        assert not missed, f"{len(missed)} of {len(accounts)} changes were missed"
        await promoted.close()

    asyncio.run(main())
