"""Where Citus has the tables of a store: distributed over its nodes by account.

The tables of accounts are co-located, so that each statement, which names its account, runs on one node. The table of
accounts is on all of them. What else there is stays on the coordinator: the sidecar, which may be lost, and what
belongs to the store as a whole.
"""

from collections.abc import Iterator
from typing import Any

import psycopg

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.queries import ACCOUNT_TABLES

__all__ = [
    "distribute_tables",
    "distributed_tables",
    "erase_local_rows",
    "is_citus",
    "not_distributed",
    "undistribute_tables",
    "write_sequential",
]

# How long other transactions that use the tables are waited for, and then those wait.
LOCK_SECONDS = 10
REFERENCE_TABLES = ("account",)
# By the kind that pg_class names.
_KINDS = {"r": "TABLE", "i": "INDEX", "S": "SEQUENCE"}
# In the order in which they can be distributed.
_TABLES = (*REFERENCE_TABLES, *ACCOUNT_TABLES)
# Of each table; that of Citus itself. No more nodes than that can have a part of the accounts.
SHARDS = 32


def distribute_tables(connection: psycopg.Connection[Any], shards: int | None = None) -> list[str]:
    """Distribute the tables that are not, in the caller's transaction; returns them. Raises StoreError."""
    missing = not_distributed(connection)
    if not missing:
        return missing
    nodes = [group for (group,) in _fetch(connection, "list_node_groups")]
    if nodes and 0 not in nodes:
        raise StoreError("the coordinator is no node yet: SELECT citus_set_coordinator_host('its name or address')")
    _lock(connection, missing)
    first = ACCOUNT_TABLES[0]
    for table in missing:
        name = f"ticketfeed.{table}"
        if table in REFERENCE_TABLES:
            connection.execute("SELECT create_reference_table(%s::regclass)", (name,))
        elif table == first:
            values = "%s::regclass, 'account_id', colocate_with => 'none', shard_count => %s"
            connection.execute(f"SELECT create_distributed_table({values})".encode(), (name, shards or SHARDS))
        else:
            values = "%s::regclass, 'account_id', colocate_with => %s"
            connection.execute(f"SELECT create_distributed_table({values})".encode(), (name, f"ticketfeed.{first}"))
    return missing


def distributed_tables(connection: psycopg.Connection[Any]) -> set[str]:
    """The tables of ours that Citus knows; none where there is no Citus."""
    return {table for (table,) in _fetch(connection, "list_distributed")} if is_citus(connection) else set()


def not_distributed(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables that should be distributed and are not, in the order in which they can be."""
    there = distributed_tables(connection)
    return [table for table in _TABLES if table not in there]


def undistribute_tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Take all tables back to the coordinator, in the caller's transaction; returns them."""
    there = distributed_tables(connection)
    tables = [table for table in reversed(_TABLES) if table in there]
    if tables:
        _lock(connection, tables)
    for table in tables:
        if table in REFERENCE_TABLES:
            _copy_to_local(connection, table)
        else:
            connection.execute("SELECT undistribute_table(%s::regclass)", (f"ticketfeed.{table}",))
    return tables


def _copy_to_local(connection: psycopg.Connection[Any], table: str) -> None:
    """Replace a table by a local copy of it, which undistribute_table refuses where there is an identity column."""
    copy = f"{table}_copy"
    connection.execute(f"CREATE TABLE ticketfeed.{copy} (LIKE ticketfeed.{table} INCLUDING ALL)".encode())
    connection.execute(
        f"INSERT INTO ticketfeed.{copy} OVERRIDING SYSTEM VALUE SELECT * FROM ticketfeed.{table}".encode()
    )
    made = [
        (name, name.replace(copy, table, 1), kind) for name, kind in _fetch(connection, "list_of_table", table=copy)
    ]
    for name, of_table, kind in made:
        if kind == "S":
            position = f"SELECT setval('ticketfeed.{name}', last_value, is_called) FROM ticketfeed.{of_table}"
            connection.execute(position.encode())
    connection.execute(f"DROP TABLE ticketfeed.{table}".encode())
    for name, of_table, kind in made:
        connection.execute(f"ALTER {_KINDS[kind]} ticketfeed.{name} RENAME TO {of_table}".encode())


def _lock(connection: psycopg.Connection[Any], tables: list[str]) -> None:
    """Before anything is moved: else a transaction that holds one table and wants the next could never end.

    In the order of writes, which lock feed_state first: else they and this would wait for each other.
    """
    write_sequential(connection)
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())
    names = ", ".join(f"ticketfeed.{table}" for table in _TABLES if table in tables)
    connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
    connection.execute("SET LOCAL lock_timeout = 0")


def write_sequential(connection: psycopg.Connection[Any]) -> None:
    """Let a transaction change tables, then reference tables or the schema, which Citus refuses of parallel ones."""
    connection.execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")


def erase_local_rows(connection: psycopg.Connection[Any], tables: list[str]) -> None:
    """Remove what the coordinator has of tables from before they were distributed: nobody sees it, nor erases it."""
    for table in tables:
        connection.execute(
            "SELECT truncate_local_data_after_distributing_table(%s::regclass)", (f"ticketfeed.{table}",)
        )


def is_citus(connection: psycopg.Connection[Any]) -> bool:
    """Whether the database has the extension."""
    return bool(list(_fetch(connection, "find_citus")))


def _fetch(connection: psycopg.Connection[Any], name: str, **bindings: Any) -> Iterator[tuple[Any, ...]]:
    return iter(connection.execute(QUERIES[name].encode(), bindings).fetchall())
