"""Distributing a store over Citus: which statements are sent, in which order.

Citus cannot be installed here: a stand-in has the tables and functions that are used. A real one is named by
TICKETFEED_TEST_CITUS_DSN (test_citus.py).
"""

import asyncio
import re
import subprocess
import sys

import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.storage.contract import ManualClock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.distribution import distribute_store
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.postgres.store import PostgresStore
from ticketfeed.storage.queries import ACCOUNT_TABLES, load_migrations, split_statements

STAND_IN = """
CREATE TABLE pg_dist_partition (
    logicalrelid oid PRIMARY KEY, partmethod "char", repmodel "char", partkey text, colocationid int, beside text,
    shards int
);
CREATE SEQUENCE colocation;
CREATE TABLE pg_dist_node (groupid int);
CREATE FUNCTION column_to_column_name(name oid, partkey text) RETURNS text LANGUAGE sql AS 'SELECT partkey';
CREATE FUNCTION create_reference_table(name regclass) RETURNS void LANGUAGE sql
    AS 'INSERT INTO public.pg_dist_partition VALUES (name, ''n'', ''t'', NULL, 0)';
CREATE FUNCTION create_distributed_table(name regclass, col text, colocate_with text, shard_count int DEFAULT NULL)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO public.pg_dist_partition SELECT name, 'h', 'c', col, coalesce(
        (SELECT part.colocationid FROM public.pg_dist_partition AS part
         WHERE part.logicalrelid = to_regclass(nullif(colocate_with, 'none'))),
        nextval('public.colocation')
    ), colocate_with, shard_count
$$;
CREATE FUNCTION undistribute_table(name regclass) RETURNS void LANGUAGE sql
    AS 'DELETE FROM public.pg_dist_partition WHERE logicalrelid = name';
CREATE TABLE truncated (name oid);
CREATE FUNCTION truncate_local_data_after_distributing_table(name regclass) RETURNS void LANGUAGE sql
    AS 'INSERT INTO public.truncated VALUES (name)';
CREATE TABLE pg_dist_placement AS SELECT 102008 + groupid AS shardid, groupid FROM generate_series(0, 1) AS groupid;
CREATE FUNCTION get_shard_id_for_distribution_column(name regclass, value bigint) RETURNS bigint LANGUAGE sql
    AS 'SELECT 102008 + value % 2';
CREATE FUNCTION run_command_on_workers(
    query text, OUT nodename text, OUT nodeport int, OUT success bool, OUT result text
) RETURNS SETOF record LANGUAGE sql AS $$ VALUES ('worker1', 5432, query LIKE '%pg_index%', 'fsync = off') $$;
"""
DISTRIBUTE = "run ticketfeed store distribute"
# Each node answers.
REACHED = """
CREATE OR REPLACE FUNCTION run_command_on_workers(
    query text, OUT nodename text, OUT nodeport int, OUT success bool, OUT result text
) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT 'worker1', 5432, true, CASE WHEN query LIKE '%_size%' THEN '1073741824' END
$$;
"""


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Of a new store, in a database with the stand-in."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(STAND_IN)
    asyncio.run(_open(url))
    return url


async def _open(url: str) -> tuple[list[str], list[str], int]:
    """What a store reports of itself: risks, problems, bytes."""
    store = await PostgresStore.open(url, ManualClock())
    await store.create_account("acme")
    try:
        return await store.inspect(
            lambda snapshot: (list(snapshot.risks()), list(snapshot.self_check()), snapshot.size_bytes())
        )
    finally:
        await store.close()


async def _shards(url: str) -> list[list[str]]:
    store = await PostgresStore.open(url, ManualClock())
    try:
        for name in ("acme", "b", "c"):
            await store.create_account(name)
        return [[account.subdomain for account in shard] for shard in await store.list_shards()]
    finally:
        await store.close()


async def _nodes(url: str) -> list[NodeStatus]:
    store = await PostgresStore.open(url, ManualClock())
    try:
        return await store.inspect(lambda snapshot: list(snapshot.nodes()))
    finally:
        await store.close()


def test_a_store_is_distributed(url: str) -> None:
    """All tables at once, beside each other; again none; what a later migration adds is, by itself; and back."""
    assert any("feed_state is not distributed" in risk for risk in asyncio.run(_open(url))[0])
    assert distribute_store(url, shards=64) == ["account", *ACCOUNT_TABLES]
    assert distribute_store(url) == []
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT partmethod, beside, shards, count(*) FROM pg_dist_partition GROUP BY 1, 2, 3")
        assert set(rows) == {
            ("n", None, None, 1),
            ("h", "none", 64, 1),
            ("h", "ticketfeed.feed_state", None, len(ACCOUNT_TABLES) - 1),
        }
        connection.execute("DROP TABLE ticketfeed.mirror, ticketfeed.kind_state")
        connection.execute("ALTER TABLE ticketfeed.feed_state DROP COLUMN is_mirror")
        connection.execute("DELETE FROM ticketfeed.migration WHERE number = 12")
        connection.execute("DELETE FROM pg_dist_partition WHERE logicalrelid NOT IN (SELECT oid FROM pg_class)")
    assert asyncio.run(_shards(url)) == [["acme", "c"], ["b"]]
    risks, problems, size = asyncio.run(_open(url))
    with psycopg.connect(url, autocommit=True) as connection:  # here they keep what a real Citus removes
        kept = [table for (table,) in connection.execute(QUERIES["list_left_behind"].encode()).fetchall()]
        assert {"account", "feed_state"} <= set(kept)
        assert connection.execute("SELECT count(DISTINCT name) > 1 FROM truncated").fetchone() == (True,)
    left = [f"the coordinator has rows of the table {table} that nobody sees: {DISTRIBUTE}" for table in kept]
    assert risks == [*left, "the node worker1:5432 cannot be asked: fsync = off"]
    assert problems == ["the node worker1:5432 has indexes that are not valid: fsync = off; rebuild them with REINDEX"]
    assert asyncio.run(_nodes(url)) == [NodeStatus("worker1:5432", None)]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(REACHED)
    assert asyncio.run(_nodes(url)) == [NodeStatus("worker1:5432", 1 << 30)]
    assert asyncio.run(_open(url))[2] > size + (1 << 29), "with what the nodes hold"
    assert distribute_store(url) == []
    assert distribute_store(url, undo=True) == [*reversed(ACCOUNT_TABLES), "account"]
    assert distribute_store(url, undo=True) == []
    assert asyncio.run(_shards(url)) == [["acme", "b", "c"]]


def test_a_store_that_is_distributed_in_part(url: str) -> None:
    """Or by hand, another way: it is refused in one line; what can be finished is; and all can be taken back."""
    tables = "UPDATE pg_dist_partition SET {} WHERE logicalrelid = 'ticketfeed.{}'::regclass"
    only_in_part = "distributed over the nodes of Citus only in part, without {}: run ticketfeed store distribute"
    cases = (
        ("DELETE FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.{}'::regclass", "mirror", only_in_part),
        ("DELETE FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.{}'::regclass", "account", only_in_part),
        ("DELETE FROM pg_dist_partition WHERE logicalrelid = 'ticketfeed.{}'::regclass", "feed_state", only_in_part),
        (tables.format("partkey = 'id'", "{}"), "ticket", "the table {} is distributed by id, not by account_id"),
        (tables.format("colocationid = 99", "{}"), "job", "the table {} is not beside feed_state"),
        (
            tables.format("partmethod = 'n', repmodel = 't', partkey = NULL", "{}"),
            "job",
            "the table {} is on every node",
        ),
        (
            tables.format("partmethod = 'h', partkey = 'subdomain'", "{}"),
            "account",
            "by subdomain, and should be on every",
        ),
        (
            "SELECT create_reference_table('ticketfeed.{}')",
            "meta",
            "the table {} is distributed, and should be on the c",
        ),
    )
    for sql, table, expected in cases:
        distribute_store(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.format(table).encode())
        line = re.escape(expected.format(table))
        with pytest.raises(StoreError, match=line):
            asyncio.run(_open(url))
        if expected is only_in_part:
            assert distribute_store(url) == [table]
            asyncio.run(_open(url))
        else:
            with pytest.raises(StoreError, match=f"{line}.*: {DISTRIBUTE} --undo, and then without"):
                distribute_store(url)
        assert table in distribute_store(url, undo=True)
        asyncio.run(_open(url))


def test_what_cannot_be_distributed(postgres: PostgresServer, url: str) -> None:
    """One line each: a file, a server without Citus, a coordinator that is no node, a table that is held."""
    for bad, reason in (
        ("sqlite:///x.db", "only a PostgreSQL store"),
        ("postgresql://127.0.0.1:1/none", "cannot distribute the store: "),
    ):
        with pytest.raises(StoreError, match=reason):
            distribute_store(bad)
    done = subprocess.run(
        [sys.executable, "-m", "ticketfeed", "store", "distribute", "--store", postgres.new_database()],
        capture_output=True,
        text=True,
        check=False,
    )
    text = "ticketfeed: the database has no extension citus: its tables are all on one server\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO pg_dist_node VALUES (1)")
    with pytest.raises(StoreError, match="citus_set_coordinator_host"):
        distribute_store(url)
    assert any("account is not distributed" in risk for risk in asyncio.run(_open(url))[0])


def test_statements_of_migrations() -> None:
    """Each statement is one: Citus refuses several in one text."""
    for _, name, sql in load_migrations("postgres"):
        for statement in split_statements(sql):
            assert statement.split()[0] in {"CREATE", "ALTER", "INSERT", "UPDATE", "DROP", "DELETE"}, name
            assert "--" not in statement
