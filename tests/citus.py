"""A real Citus for tests, whose coordinator TICKETFEED_TEST_CITUS_DSN names: databases on all of its nodes.

The first is the database that the DSN names, which must have the extension and its nodes, and nothing that is to be
kept: its schema `ticketfeed` is dropped. Where a test needs several stores, more are made beside it, as NAME_1 and so
on, which takes a superuser; they stay for the next run.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg

from ticketfeed.storage.distribution import distribute_store
from ticketfeed.storage.queries import ACCOUNT_TABLES

__all__ = ["CITUS_URL", "NO_CITUS", "CitusServer", "read_shards", "worker_urls"]

CITUS_URL = os.environ.get("TICKETFEED_TEST_CITUS_DSN", "")
NO_CITUS = "TICKETFEED_TEST_CITUS_DSN names no Citus"
SHARDS = 4
SIDECAR_TABLES = ("request_window", "consumer", "request", "anonymous_request", "login", "lease", "full_account")
# Nodes, as far as other databases are to have them.
_NODES = "SELECT nodename, nodeport, groupid FROM pg_dist_node WHERE noderole = 'primary' ORDER BY groupid"
# What a store must have as it was when it was made, or it is made anew.
_SCHEMA = """
SELECT class.relname, class.relkind::text FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace WHERE namespace.nspname = 'ticketfeed'
UNION ALL SELECT name, number::text FROM ticketfeed.migration ORDER BY 1, 2
"""


class CitusServer:
    """Databases with the extension, its nodes and, once `new_store` gave them away, an empty, distributed store.

    A store takes seconds to distribute, so one that is taken back is emptied and given away again.
    """

    def __init__(self, url: str = CITUS_URL) -> None:
        self._url = url
        self._free, self._given, self._count = [url], list[str](), 1
        self._stores: dict[str, list[Any]] = {}

    def new_database(self) -> str:
        """The URL of a database without a store."""
        url = self._take(reversed(self._free))
        with _connect(url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS ticketfeed CASCADE")
        self._stores.pop(url, None)
        return url

    def new_store(self) -> str:
        """The URL of a distributed store, which is empty."""
        url = self._take(sorted(self._free, key=lambda url: url not in self._stores))
        if url not in self._stores or not _empty(url, self._stores[url]):
            with _connect(url) as connection:
                connection.execute("DROP SCHEMA IF EXISTS ticketfeed CASCADE")
            distribute_store(url, shards=SHARDS)
            with _connect(url) as connection:
                kept = [connection.execute(sql).fetchall() for sql in (_SCHEMA, "SELECT * FROM ticketfeed.meta")]
            self._stores[url] = kept
        return url

    def take_back(self, urls: Sequence[str] | None = None) -> None:
        """Nobody uses these any more, or none of those that were given away."""
        for url in list(self._given if urls is None else urls):
            self._given.remove(url)
            self._free.append(url)

    def _take(self, free: Iterator[str] | Sequence[str]) -> str:
        url = next(iter(free), None)
        if url is None:
            url = self._make()
        else:
            self._free.remove(url)
            _disconnect(url)
        self._given.append(url)
        return url

    def _make(self) -> str:
        """Another database, on every node; an earlier run may have made it."""
        name = f"{urlsplit(self._url).path.removeprefix('/')}_{self._count}"
        url = urlsplit(self._url)._replace(path=f"/{name}").geturl()
        self._count += 1
        with _connect(self._url) as connection:
            nodes = connection.execute(_NODES).fetchall()
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchall():
                return url
        for host, port, _ in reversed(nodes):  # the coordinator's is the last: it says that all are there
            with _connect(_at(self._url, host, port)) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
            with _connect(_at(url, host, port)) as connection:
                connection.execute("CREATE EXTENSION citus")
        with _connect(url) as connection:
            for host, port, group in nodes:
                added = "citus_add_node" if group else "citus_set_coordinator_host"
                connection.execute(f"SELECT {added}(%s, %s)".encode(), (host, port))
        return url


def worker_urls(url: str) -> list[str]:
    """The same database on each node that has shards."""
    with _connect(url) as connection:
        return [_at(url, host, port) for host, port, group in connection.execute(_NODES).fetchall() if group]


def read_shards(connection: psycopg.Connection[Any], table: str, query: str) -> list[str]:
    """The value of a query about each shard of a table, whose name stands for %s."""
    sql = "SELECT success, result FROM run_command_on_shards(%s, %s)"
    answers = connection.execute(sql.encode(), (f"ticketfeed.{table}", query)).fetchall()
    assert all(is_done for is_done, _ in answers), answers
    return [value for _, value in answers]


def _empty(url: str, kept: list[Any]) -> bool:
    """Empty a store whose schema is as it was; returns whether it is."""
    schema, meta = kept
    with _connect(url) as connection, connection.transaction():
        if connection.execute("SELECT to_regclass('ticketfeed.meta')").fetchone() == (None,):
            return False
        if connection.execute(_SCHEMA).fetchall() != schema:
            return False
        for table in (*ACCOUNT_TABLES, *SIDECAR_TABLES, "meta", "account"):
            connection.execute(f"DELETE FROM ticketfeed.{table}".encode())
        connection.execute("SELECT setval('ticketfeed.account_account_id_seq', 1, false)")
        connection.cursor().executemany("INSERT INTO ticketfeed.meta VALUES (%s, %s)", meta)
        connection.execute("UPDATE ticketfeed.meta SET value = md5(gen_random_uuid()::text) WHERE name = 'store_id'")
    return True


def _disconnect(url: str) -> None:
    """End what a test has left connected."""
    with _connect(url) as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}".encode())


def _connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


def _at(url: str, host: str, port: int) -> str:
    """The same database on another node."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{host}:{port}").geturl()
