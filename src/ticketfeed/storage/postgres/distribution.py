"""Distributing a PostgreSQL store over the nodes of Citus, taking it back, and shards of single accounts."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.errors import DeadlockDetected

from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account
from ticketfeed.storage.postgres.citus import (
    distribute_tables,
    distributed_tables,
    erase_local_rows,
    is_citus,
    refuse_tables,
    undistribute_tables,
)
from ticketfeed.storage.postgres.pools import explain
from ticketfeed.storage.postgres.schema import prepare_schema, refuse_unreadable
from ticketfeed.storage.queries import ACCOUNT_TABLES

__all__ = ["distribute_postgres", "isolate_postgres"]

T = TypeVar("T")

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
            prepare_schema(connection, create=not undo)
            if not is_citus(connection):
                raise StoreError("the database has no extension citus: its tables are all on one server")
            if undo:
                return _repeat(lambda: _in_transaction(connection, undistribute_tables))
            refuse_tables(connection, may_be_partial=True)
            tables = _repeat(lambda: _in_transaction(connection, partial(distribute_tables, shards=shards)))
            _repeat(lambda: erase_local_rows(connection))
            return tables
    except psycopg.Error as error:
        raise StoreError(f"cannot distribute the store: {explain(error)}") from error


def _in_transaction(
    connection: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], list[str]]
) -> list[str]:
    with connection.transaction():
        return work(connection)


def _repeat(work: Callable[[], T]) -> T:
    """Begin a work anew after a deadlock."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except DeadlockDetected:
            if attempt == ATTEMPTS:
                raise
            time.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")


def isolate_postgres(url: str, account: Account) -> int:
    """Move the rows of an account to a shard of their own; returns the shard's id. Raises StoreError.

    Writes of the shard's accounts wait: the form that lets them go on never ends while they do.
    """
    refuse_unreadable(url)
    try:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            if ACCOUNT_TABLES[0] not in distributed_tables(connection):
                raise StoreError("the store is not distributed over the nodes of Citus: it has no shards")
            row = connection.execute(
                "SELECT isolate_tenant_to_new_shard(%s::regclass, %s::bigint, 'CASCADE', 'block_writes')",
                (f"ticketfeed.{ACCOUNT_TABLES[0]}", account.account_id),
            ).fetchone()
            return int(row[0]) if row else 0
    except psycopg.Error as error:
        raise StoreError(f"cannot isolate the account {account.subdomain}: {explain(error)}") from error
