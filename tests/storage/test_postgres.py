"""The PostgreSQL store keeps the contract, and what only a server can."""

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import msgspec
import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ALL, NOON, START, ManualClock, putting, ticket
from tests.storage.engine_contract import EngineContract
from tests.waiting import SECONDS_MAX
from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.protocol.mirrors import Mirror
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.paging import PAGE_BYTES_MAX
from ticketfeed.protocol.rate_limits import RateLimit
from ticketfeed.protocol.rows import ChangeRow
from ticketfeed.storage import open_store
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.connection_limits import ConnectionLimits
from ticketfeed.storage.contract import Store
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.postgres.store import INSPECTIONS_OF_ACCOUNT, PostgresStore
from ticketfeed.storage.wait_budget import begin_waits


class TestPostgres(EngineContract):
    @pytest.fixture(autouse=True)
    def server(self, postgres: PostgresServer) -> None:
        self._server = postgres

    async def open_store(self, clock: ManualClock) -> Store:
        return await PostgresStore.open(self._server.new_store(), clock)


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


def test_an_account_that_is_blocked(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes to it, and readers that wait for it, take neither threads nor connections of the others."""
    monkeypatch.setattr("ticketfeed.storage.postgres.store.WAIT_SECONDS", 2.0)

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock())
        blocked, other = await store.create_account("acme"), await store.create_account("other")
        with psycopg.connect(url) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id = 1 FOR UPDATE")
            began = time.monotonic()
            waiting = [asyncio.create_task(store.write(blocked, putting([ticket(1)]))) for _ in range(20)]
            await asyncio.sleep(0.2)
            await store.write(other, putting([ticket(1)]))
            assert not any(each.done() for each in waiting)
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert time.monotonic() - began < 3.8  # they waited at the same time, each once
            assert all(isinstance(error, StoreUnavailable) for error in ended), ended
            stranger.rollback()
        await store.write(blocked, putting([ticket(1)]))
        with psycopg.connect(url) as stranger:
            stranger.execute("INSERT INTO ticketfeed.request_window VALUES (1, 'x', 1, 1)")
            stranger.commit()
            stranger.execute("SELECT FROM ticketfeed.request_window WHERE account_id = 1 FOR UPDATE")
            limits = [RateLimit("x", 10, 60)]
            waiting2 = [asyncio.create_task(store.count_request(blocked, limits, NOON)) for _ in range(20)]
            await asyncio.sleep(0.2)
            assert await store.read_state(other)
            assert not any(each.done() for each in waiting2)
            stranger.rollback()
            await asyncio.gather(*waiting2, return_exceptions=True)
        await store.close()

    asyncio.run(main())


def test_many_accounts_that_are_blocked(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more blocked accounts than threads, another account is written without delay; each waits once."""
    monkeypatch.setattr("ticketfeed.storage.postgres.store.WAIT_SECONDS", 2.5)

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock())
        other, *blocked = [await store.create_account(f"desk{number}") for number in range(13)]
        with psycopg.connect(url) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id > 1 FOR UPDATE")
            began = time.monotonic()
            waiting = [
                asyncio.create_task(store.write(account, putting([ticket(1)]))) for account in blocked for _ in range(4)
            ]
            longest = 0.0
            while time.monotonic() < began + 4.0:
                started = time.monotonic()
                await store.write(other, putting([ticket(1)]))
                longest = max(longest, time.monotonic() - started if started > began + 1 else 0.0)
                await asyncio.sleep(0.1)
            assert longest < 0.9, longest
            assert all(task.done() and isinstance(task.exception(), StoreUnavailable) for task in waiting)
        await store.write(blocked[0], putting([ticket(1)]))
        await store.close()

    asyncio.run(main())


def test_what_a_request_waits(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one request that wait in vain share one bound; those of other requests have their own."""
    for module in ("postgres.store", "postgres.pools"):
        monkeypatch.setattr(f"ticketfeed.storage.{module}.WAIT_SECONDS", 1.0)

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock())
        account = await store.create_account("acme")

        async def request() -> float:
            begin_waits()
            began = time.monotonic()
            for _ in range(3):
                with suppress(StoreUnavailable):
                    await store.write(account, putting([ticket(1)]))
            return time.monotonic() - began

        with psycopg.connect(url) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state FOR UPDATE")
            seconds = await asyncio.gather(request(), request())
            assert all(1.0 <= each < 1.9 for each in seconds), seconds
        await store.close()

    asyncio.run(main())


def test_a_server_that_waits_for_something_behind_it(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of a statement, and one that takes too long on a server that answers others, are no reason to avoid it."""
    for module in ("postgres.store", "postgres.pools"):
        monkeypatch.setattr(f"ticketfeed.storage.{module}.WAIT_SECONDS", 0.6)

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), ManualClock())
        account = await store.create_account("acme")
        pool = store._readers.primary
        failing = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006'; END $$ -- %(account_id)s"
        for sql in ("SELECT pg_sleep(8) WHERE %(account_id)s > 0", failing):
            monkeypatch.setitem(QUERIES._selects, ("read_state", StateRow), sql)
            with pytest.raises(StoreUnavailable):
                await store.read_state(account)
            await asyncio.sleep(0.3)
            assert not store._readers._is_avoided(pool), sql
        await store.close()

    asyncio.run(main())


def test_what_is_not_there(postgres: PostgresServer) -> None:
    """A database without a store is refused where one must be; so is a server that is not there."""

    async def main() -> None:
        with pytest.raises(StoreError, match="no store in this database"):
            await PostgresStore.open(postgres.new_database(), ManualClock(), create=False)
        with pytest.raises(StoreError, match="cannot open the store"):
            await PostgresStore.open("postgresql://127.0.0.1:1/none", ManualClock())
        with pytest.raises(StoreError, match="is named by a URL"):
            await PostgresStore.open(postgres.database_url("postgres"), ManualClock(), read_urls=["sqlite:///x.db"])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://me:se%cret@host/db", "percent-encoded"),
        ("postgresql://me:se@cret@host/db", "percent-encoded"),
        ("postgresql://me:se/cret@host/db", "percent-encoded"),
        ("postgresql://me:secret@host:99999/db", "are its port"),
        ("postgresql://me:secret@host:port/db", "are its port"),
        ("postgresql://me:secret@host/db?nosuch=1", "parameters valid"),
        ("host=there user=me password=secret", "is no URL"),
        ("sqlite:secret.db", "is no URL"),
        ("mysql://me:secret@host/db", "unknown store URL scheme 'mysql'"),
    ],
)
def test_unreadable_urls(url: str, problem: str) -> None:
    """A URL that names no store is refused, and nothing of its password is shown."""
    with pytest.raises(StoreError, match=problem) as caught:
        asyncio.run(open_store(url))
    assert "cret" not in str(caught.value)


def test_too_few_connections(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server refuses further connections, the error says so, of reads and of writes."""
    for module in ("pools", "store", "sidecar"):
        monkeypatch.setattr(f"ticketfeed.storage.postgres.{module}.WAIT_SECONDS", 0.5)

    async def main() -> None:
        url = postgres.new_store()
        parts = psycopg.conninfo.conninfo_to_dict(url)
        role = f"few_{parts['dbname']}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
        store = await PostgresStore.open(f"{url}&user={role}", ManualClock())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER ROLE {role} NOSUPERUSER CONNECTION LIMIT 0".encode())
        account = Account(1, "acme")
        for work in (store.read_state(account), store.create_account("acme"), store.take_lease("x", "me", 1)):
            with pytest.raises(StoreUnavailable, match=r"no connection within .* too many connections for role"):
                await work
        await store.close()

    asyncio.run(main())


def test_other_encodings(postgres: PostgresServer) -> None:
    """A database that cannot hold every character is refused in one line, with what to do."""

    async def main() -> None:
        for encoding in ("LATIN1", "SQL_ASCII"):
            name = f"other_{encoding.lower()}"
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                options = f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
                connection.execute(f"CREATE DATABASE {name} {options}".encode())
            with pytest.raises(StoreError, match=f"has the encoding {encoding}, not UTF8: .* TEMPLATE template0"):
                await PostgresStore.open(postgres.database_url(name), ManualClock())

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
        bindings |= {"exclude_deleted": False, "scope": "agent", "limit": 100, "page_bytes_max": PAGE_BYTES_MAX}
        sql = QUERIES.select("read_changes", ChangeRow)
        async with store._readers.primary.connection() as connection:
            plan = await (await connection.execute(("EXPLAIN " + sql).encode(), bindings)).fetchall()
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


def test_opening_beside_a_backup(postgres: PostgresServer) -> None:
    """A store can be opened while a backup or a check holds its tables, for as long as that takes."""

    async def main() -> None:
        url = postgres.new_database()
        await (await PostgresStore.open(url, ManualClock())).close()
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE ticketfeed.migration IN ACCESS SHARE MODE")
            async with asyncio.timeout(SECONDS_MAX):
                await (await PostgresStore.open(url, ManualClock())).close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://feed:s3cr%zzet@127.0.0.1/db",
        "postgresql://feed:s3cret@[::1/db",
        "postgresql://feed:s3 cret@127.0.0.1:1/db",
        "postgresql://feed:s3cret@127.0.0.1:1/db",
    ],
)
def test_no_error_repeats_the_password(url: str, postgres: PostgresServer) -> None:
    """Whatever is wrong with a URL, its password is not in the message; for a replica's neither."""
    with pytest.raises(StoreError) as refused:
        asyncio.run(_open_and_close(url, ()))
    assert "s3" not in str(refused.value)
    with suppress(StoreError) if url.endswith("@127.0.0.1:1/db") else pytest.raises(StoreError, match="cannot be read"):
        asyncio.run(_open_and_close(postgres.new_database(), (url,)))


async def _open_and_close(url: str, read_urls: tuple[str, ...]) -> None:
    await (await PostgresStore.open(url, ManualClock(), read_urls=read_urls)).close()


def test_a_server_that_hangs(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query without an answer is given up within the bound, though the server cannot be asked to cancel it."""
    for module in ("postgres.store", "postgres.pools"):
        monkeypatch.setattr(f"ticketfeed.storage.{module}.WAIT_SECONDS", 0.5)

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), ManualClock())
        account = await store.create_account("acme")
        hanging = "SELECT pg_sleep(8) WHERE %(account_id)s > 0"
        monkeypatch.setitem(QUERIES._selects, ("read_state", StateRow), hanging)
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailable, match="no answer"):
            await store.read_state(account)
        assert asyncio.get_running_loop().time() - began < 4
        await store.close()

    asyncio.run(main())


def test_an_inspection_that_hangs(postgres: PostgresServer) -> None:
    """A statement of it is ended by the server in time, and the next one works. If that does not end it, as when a node
    of Citus hangs, nobody waits for it; others of the account wait for nothing once its share hangs, and it is free as
    soon as that is over."""
    over = threading.Event()

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), ManualClock())
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="statement timeout"):
                await store.inspect(
                    lambda snapshot: list(snapshot._scan("SELECT pg_sleep(8)", {})), statement_seconds=0.2
                )  # type: ignore[attr-defined]
            assert time.monotonic() - began < 2
            assert await store.inspect(lambda snapshot: snapshot.list_accounts()) == []
        account = [await store.create_account("acme")]
        began = time.monotonic()
        for _ in range(INSPECTIONS_OF_ACCOUNT):
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await store.inspect(lambda _: over.wait(60), accounts=account, statement_seconds=0.1)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.inspect(lambda _: None, accounts=account)
        assert await store.inspect(lambda snapshot: snapshot.list_accounts()) == account
        assert time.monotonic() - began < 4
        over.set()
        await asyncio.sleep(0.2)
        assert await store.inspect(lambda snapshot: snapshot.state(account[0]), accounts=account) is not None
        await store.close()

    asyncio.run(main())


def test_a_store_is_closed_while_its_server_hangs(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process of the server that was stopped was asked for is not waited for."""
    monkeypatch.setattr("ticketfeed.storage.postgres.threads.WAIT_SECONDS", 0.2)

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), ManualClock())
        stopped = await store.inspect(lambda snapshot: snapshot._connection.info.backend_pid)  # type: ignore[attr-defined]
        os.kill(stopped, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await store.inspect(lambda snapshot: snapshot.list_accounts(), statement_seconds=0.1)
            await asyncio.wait_for(store.close(), 5.0)
        finally:
            os.kill(stopped, signal.SIGCONT)

    asyncio.run(main())


def test_what_a_replica_does_not_know_yet(postgres: PostgresServer) -> None:
    """A replica without the account's row sends the reader to the primary; without it there, the error is clear."""

    async def main() -> None:
        url, behind = postgres.new_database(), postgres.new_database()
        await (await PostgresStore.open(behind, ManualClock())).close()
        store = await PostgresStore.open(url, ManualClock(), read_urls=[behind])
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1, 10)], keep=True))
        _, rows = await store.read_changes(account, START, NOON, 10, ALL, links=False)
        assert [row[1] for row in rows] == [1]
        nobody = Account(99, "nobody")
        with pytest.raises(StoreUnavailable, match="no row"):
            await store.read_changes(nobody, START, NOON, 10, ALL, links=False)
        with pytest.raises(StoreUnavailable, match="no row"):
            await store.write(nobody, putting([ticket(1)]))
        assert not await store.close_newest(nobody)
        await store.close()

    asyncio.run(main())


def test_fencing_what_can_be_reached(postgres: PostgresServer) -> None:
    """While the row of one account is locked, all others are fenced, and the reason for that one is returned."""

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock())
        accounts = [await store.create_account(name) for name in ("acme", "beta", "gamma")]
        with psycopg.connect(url) as stranger:
            stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id = 2 FOR UPDATE")
            first, blocked, last = await store.fence_accounts(5)
            assert [first, last] == [(each, await store.read_state(each)) for each in (accounts[0], accounts[2])]
            assert blocked[0] == accounts[1]
            assert str(blocked[1]) == "the store cannot serve: another write holds the account"
        assert {state.watermark for _, state in await store.fence_accounts(5) if isinstance(state, FeedState)} == {
            NOON + 5
        }
        await store.close()

    asyncio.run(main())


def test_limits_of_connections(postgres: PostgresServer) -> None:
    """With the fewest connections, and statements that are prepared, everything is done that is asked for at once."""

    async def main() -> None:
        url = postgres.new_database()
        store = await PostgresStore.open(url, ManualClock(), connections=ConnectionLimits(2, 2, prepared="always"))
        accounts = [await store.create_account(f"desk{number}") for number in range(4)]
        for round in range(8):
            await asyncio.gather(*(store.write(account, putting([ticket(round + 1)])) for account in accounts * 2))
            states = await asyncio.gather(*(store.read_state(account) for account in accounts * 4))
            assert {state.ticket_count for state in states} == {round + 1}
        async with store._readers.primary.connection() as connection:
            prepared = await (await connection.execute("SELECT count(*) FROM pg_prepared_statements")).fetchone()
            assert prepared is not None
            assert prepared[0] > 0
        await store.close()

    asyncio.run(main())


def test_accounts_out_of_reach(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What all accounts have is read account by account while one is on a server that is away, and without that one."""
    out_of_reach: set[int] = set()

    async def main() -> None:
        store = await PostgresStore.open(postgres.new_database(), ManualClock())
        accounts = [await store.create_account(name) for name in ("acme", "away", "other")]
        for account in accounts:
            await store.write(account, lambda write: write.put_mirror(Mirror("https://x")), mirror=True)
            await store.write(account, lambda write: write.put_clock(MovedClock(5)))
        fetch = store._fetch_batch

        async def fetch_reachable(sql: str, bindings: dict[str, Any], account_id: int) -> list[Any]:
            if out_of_reach & set(bindings.get("ids", (1, 2, 3))):
                raise StoreUnavailable("away")
            return await fetch(sql, bindings, account_id)

        monkeypatch.setattr(store, "_fetch_batch", fetch_reachable)
        for away, found in ((set[int](), {1, 2, 3}), ({2}, {1, 3})):
            out_of_reach.update(away)
            assert set(await store.read_mirrors()) == found
            assert await store.read_clocks() == dict.fromkeys(found, MovedClock(5))
        out_of_reach.update({1, 3})
        with pytest.raises(StoreUnavailable, match="away"):
            await store.read_mirrors()
        await store.close()

    asyncio.run(main())
