"""A snapshot of PostgreSQL, and what it says of itself, for the integrity check.

Scans go through server-side cursors, each in a savepoint of its own, so that after a page that cannot be read the next
scan can still be tried. They use the very indexes that pages and writes use, so that a damaged one is found.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.storage.pool_status import NodeStatus
from ticketfeed.storage.postgres.citus import distributed_tables, is_citus, table_problems
from ticketfeed.storage.postgres.nodes import DistributedSize
from ticketfeed.storage.postgres.pools import PROPAGATE_SETTINGS
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.queries import load_migrations
from ticketfeed.storage.sql_snapshot import SqlSnapshot

__all__ = ["PostgresSnapshot", "start_snapshot"]

# Rows that one round trip brings: some hundred kilobytes of tickets.
ROWS_A_TRIP = 250
_CHANGES = re.compile(
    r"CREATE (?:UNIQUE |UNLOGGED )?(?:TABLE|INDEX) (?:ticketfeed\.)?(?P<created>\w+)"
    r"|ALTER (?:TABLE|INDEX) ticketfeed\.(?P<old>\w+) RENAME TO (?P<new>\w+)"
)


# What is asked on each worker, in one value.
_RISKY = (
    "SELECT string_agg(name || ' = ' || setting, ', ' ORDER BY name) FROM pg_settings"
    " WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'"
)
_INVALID = (
    "SELECT string_agg(class.relname, ', ' ORDER BY class.relname) FROM pg_index AS index"
    " JOIN pg_class AS class ON class.oid = index.indexrelid"
    " JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace"
    " WHERE namespace.nspname = 'ticketfeed' AND NOT (index.indisvalid AND index.indisready)"
)

_NODE_BYTES = "SELECT pg_database_size(current_database())"
# How long a node is waited for that does not answer; and while the others are waited for that want the size.
NODE_SECONDS, SIZE_SECONDS = 2.0, 0.3


def start_snapshot(connection: psycopg.Connection[Any]) -> None:
    """Make the transaction that was just begun a read-only snapshot whose scans use indexes."""
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    for setting in (PROPAGATE_SETTINGS, "enable_seqscan = off", "enable_bitmapscan = off", "enable_sort = off"):
        connection.execute(f"SET LOCAL {setting}".encode())


class PostgresSnapshot(SqlSnapshot):
    """A Snapshot over a connection on which `start_snapshot` was called."""

    queries = QUERIES

    def __init__(self, connection: psycopg.Connection[Any], distributed: DistributedSize) -> None:
        self._connection, self._distributed = connection, distributed

    def self_check(self) -> Iterator[str]:
        """Tables and indexes that are missing or not in force, pages whose checksum failed, the migrations."""
        there = set(self._values("list_relations"))
        for name in sorted(_relations() - there):
            yield f"the table or index ticketfeed.{name} is missing"
        for name in self._values("list_invalid_indexes"):
            yield f"the index ticketfeed.{name} is not valid; rebuild it with REINDEX"
        yield from self._on_workers(_INVALID, "has indexes that are not valid: {}; rebuild them with REINDEX")
        for failures in self._values("count_checksum_failures"):
            if failures:
                yield f"PostgreSQL has counted {failures} pages of this database whose checksum failed"
        yield from self.migration_problems()

    def risks(self) -> Iterator[str]:
        if self._values("is_standby")[0]:
            yield "the server is a standby: it serves reads alone"
        for name, value in self._query("risky_settings"):
            yield f"PostgreSQL runs with {name} = {value}: acknowledged writes may be lost in a crash"
        if not is_citus(self._connection):
            return
        yield from table_problems(self._connection)
        yield from self._on_workers(_RISKY, "runs with {}: acknowledged writes may be lost in a crash")

    def size_bytes(self) -> int:
        size = super().size_bytes()
        if not distributed_tables(self._connection):
            return size
        known, now = self._distributed, time.monotonic()
        if known.is_due(now):
            with (
                contextlib.suppress(StoreError, StoreUnavailable),
                self._connection.transaction(force_rollback=True),
            ):
                known.note(self._ask_nodes(QUERIES["size_bytes"], SIZE_SECONDS), now)
        return size + known.size_bytes

    def nodes(self) -> Iterator[NodeStatus]:
        if distributed_tables(self._connection):
            yield from self._ask_nodes(_NODE_BYTES, NODE_SECONDS)

    def _ask_nodes(self, query: str, seconds: float) -> Iterator[NodeStatus]:
        """The answer of each other node to a query for bytes; None of those that do not answer in time."""
        self._connection.execute(f"SET LOCAL citus.node_connection_timeout = {round(seconds * 1000)}".encode())
        for host, port, is_done, value in self._scan(QUERIES["run_on_workers"], {"query": query}):
            yield NodeStatus(f"{host}:{port}", int(value) if is_done else None)

    def _on_workers(self, query: str, problem: str) -> Iterator[str]:
        """A line for each other node on which a query has a value, made of `problem`; and for one that is away."""
        if not distributed_tables(self._connection):
            return
        for host, port, is_done, value in self._scan(QUERIES["run_on_workers"], {"query": query}):
            if value:
                yield f"the node {host}:{port} {problem.format(value) if is_done else f'cannot be asked: {value}'}"

    def _scan(self, sql: str, bindings: Mapping[str, Any]) -> Iterator[Any]:
        """Class XX of SQLSTATE means that the server met data or an index that it cannot read. With others, while the
        connection lives, only these rows are out of reach: where tables are distributed, their server is away."""
        try:
            with self._connection.transaction(), self._connection.cursor("scan") as cursor:
                cursor.itersize = ROWS_A_TRIP
                yield from cursor.execute(sql.encode(), bindings, binary=True)
        except psycopg.Error as error:
            if self._connection.closed or self._connection.info.transaction_status != TransactionStatus.INTRANS:
                raise
            kind = StoreError if (error.sqlstate or "")[:2] == "XX" else StoreUnavailable
            raise kind(str(error).partition("\n")[0]) from error


def _relations() -> set[str]:
    """The tables and indexes that all migrations together leave."""
    names: set[str] = set()
    for _, _, sql in load_migrations("postgres"):
        for change in _CHANGES.finditer(sql):
            names -= {change["old"]}
            names.add(change["created"] or change["new"])
    return names
