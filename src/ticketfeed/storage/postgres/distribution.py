"""Distributing a PostgreSQL store over the nodes of Citus, and taking it back."""

import time
from typing import Any

import psycopg
from psycopg.errors import DeadlockDetected

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.postgres.citus import distribute_tables, erase_local_rows, is_citus, undistribute_tables
from ticketfeed.storage.postgres.pools import explain
from ticketfeed.storage.postgres.schema import prepare_schema, refuse_unreadable

__all__ = ["distribute_postgres"]

# How often it begins anew when a statement that joins tables in another order stands in its way.
ATTEMPTS = 10
RETRY_SECONDS = 0.5


def distribute_postgres(url: str, *, undo: bool, shards: int | None) -> list[str]:
    """Distribute what is not distributed, or take all of it back to the coordinator; returns the tables that were.

    In one transaction, so that no statement finds half of it. Raises StoreError.
    """
    refuse_unreadable(url)
    try:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            prepare_schema(connection, create=True)
            if not is_citus(connection):
                raise StoreError("the database has no extension citus: its tables are all on one server")
            tables = _move(connection, undo=undo, shards=shards)
            if not undo:
                erase_local_rows(connection, tables)
            return tables
    except psycopg.Error as error:
        raise StoreError(f"cannot distribute the store: {explain(error)}") from error


def _move(connection: psycopg.Connection[Any], *, undo: bool, shards: int | None) -> list[str]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.transaction():
                return undistribute_tables(connection) if undo else distribute_tables(connection, shards)
        except DeadlockDetected:
            if attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")
