"""Where Citus has the tables of a store: distributed over its nodes by account.

The tables of accounts are co-located, so that each statement, which names its account, runs on one node. The table of
accounts is on all of them. What else there is stays on the coordinator: the sidecar, which may be lost, and what
belongs to the store as a whole.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.postgres.session import QUERIES
from ticketfeed.storage.queries import ACCOUNT_TABLES

__all__ = [
    "distribute_tables",
    "distributed_tables",
    "erase_local_rows",
    "is_citus",
    "refuse_tables",
    "table_problems",
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
_ANEW = "run ticketfeed store distribute --undo, and then without --undo"


class _Placed(NamedTuple):
    """Where a table is: distributed by a column, beside the others of its group; or without one, on all nodes."""

    table: str
    column: str
    group: int


def distribute_tables(connection: psycopg.Connection[Any], shards: int | None = None) -> list[str]:
    """Distribute the tables that are not, in the caller's transaction; returns them. Raises StoreError."""
    placed = _read_placed(connection)
    missing = _missing(placed)
    if not missing:
        return missing
    nodes = [group for (group,) in _fetch(connection, "list_node_groups")]
    if nodes and 0 not in nodes:
        raise StoreError("the coordinator is no node yet: SELECT citus_set_coordinator_host('its name or address')")
    _lock(connection, missing)
    beside = next((table for table in ACCOUNT_TABLES if table in placed), None)
    for table in missing:
        name = f"ticketfeed.{table}"
        if table in REFERENCE_TABLES:
            connection.execute("SELECT create_reference_table(%s::regclass)", (name,))
        elif beside is None:
            values = "%s::regclass, 'account_id', colocate_with => 'none', shard_count => %s"
            connection.execute(f"SELECT create_distributed_table({values})".encode(), (name, shards or SHARDS))
            beside = table
        else:
            values = "%s::regclass, 'account_id', colocate_with => %s"
            connection.execute(f"SELECT create_distributed_table({values})".encode(), (name, f"ticketfeed.{beside}"))
    return missing


def distributed_tables(connection: psycopg.Connection[Any]) -> set[str]:
    """The tables of ours that Citus knows; none where there is no Citus."""
    return set(_read_placed(connection))


def table_problems(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """What is not distributed, or not as it should be, on a database with Citus: a line each, with advice."""
    placed = _read_placed(connection)
    yield from (f"the table {table} {problem}: {_ANEW}" for table, problem in _misplaced(placed))
    for table in _missing(placed):
        yield f"the table {table} is not distributed over the nodes of Citus: run ticketfeed store distribute"
    for table in _left_behind(connection):
        yield f"the coordinator has rows of the table {table} that nobody sees: run ticketfeed store distribute"


def refuse_tables(connection: psycopg.Connection[Any], *, may_be_partial: bool = False) -> None:
    """Raise StoreError for a store of which Citus distributes a part, or another way than statements count on."""
    placed = _read_placed(connection)
    for table, problem in _misplaced(placed):
        raise StoreError(f"the table {table} {problem}: {_ANEW}")
    if placed and not may_be_partial and (missing := _missing(placed)):
        raise StoreError(
            f"the store is distributed over the nodes of Citus only in part, without {', '.join(missing)}: "
            "run ticketfeed store distribute"
        )


def _read_placed(connection: psycopg.Connection[Any]) -> dict[str, _Placed]:
    rows = _fetch(connection, "list_distributed") if is_citus(connection) else iter(())
    return {row[0]: _Placed(*row) for row in rows}


def _missing(placed: dict[str, _Placed]) -> list[str]:
    """The tables that should be distributed and are not, in the order in which they can be."""
    return [table for table in _TABLES if table not in placed]


def _misplaced(placed: dict[str, _Placed]) -> Iterator[tuple[str, str]]:
    """What was distributed by hand another way, and how."""
    beside: _Placed | None = None
    for table in (*_TABLES, *sorted(placed.keys() - set(_TABLES))):
        if (own := placed.get(table)) is None:
            continue
        if table not in _TABLES:
            yield table, "is distributed, and should be on the coordinator alone"
        elif table in REFERENCE_TABLES:
            if own.column:
                yield table, f"is distributed by {own.column}, and should be on every node"
        elif own.column != "account_id":
            yield table, f"is {f'distributed by {own.column}' if own.column else 'on every node'}, not by account_id"
        elif own.group != (beside := beside or own).group:
            yield table, f"is not beside {beside.table}, with which it is to be co-located"


def _left_behind(connection: psycopg.Connection[Any]) -> list[str]:
    return [table for (table,) in _fetch(connection, "list_left_behind")]


def undistribute_tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Take all tables back to the coordinator, in the caller's transaction; returns them."""
    placed = _read_placed(connection)
    others = sorted(placed.keys() - set(_TABLES))
    tables = [table for table in (*others, *reversed(_TABLES)) if table in placed]
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
    _limit_locks(connection)
    ordered = [table for table in _TABLES if table in tables]
    names = ", ".join(f"ticketfeed.{table}" for table in (*ordered, *(each for each in tables if each not in _TABLES)))
    connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())
    connection.execute("SET LOCAL lock_timeout = 0")


def _limit_locks(connection: psycopg.Connection[Any]) -> None:
    connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'".encode())


def write_sequential(connection: psycopg.Connection[Any]) -> None:
    """Let a transaction change tables, then reference tables or the schema, which Citus refuses of parallel ones."""
    connection.execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")


def erase_local_rows(connection: psycopg.Connection[Any]) -> None:
    """Remove what the coordinator has of tables from before they were distributed: nobody sees it, nor erases it."""
    for table in _left_behind(connection):
        with connection.transaction():
            _limit_locks(connection)
            connection.execute(
                "SELECT truncate_local_data_after_distributing_table(%s::regclass)", (f"ticketfeed.{table}",)
            )


def is_citus(connection: psycopg.Connection[Any]) -> bool:
    """Whether the database has the extension."""
    return bool(list(_fetch(connection, "find_citus")))


def _fetch(connection: psycopg.Connection[Any], name: str, **bindings: Any) -> Iterator[tuple[Any, ...]]:
    return iter(connection.execute(QUERIES[name].encode(), bindings).fetchall())
