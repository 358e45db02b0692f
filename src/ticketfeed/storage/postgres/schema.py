"""Bringing a PostgreSQL database to the current schema, also when several processes start at once.

Everything of ours stands in the schema `ticketfeed`. The table of migrations is locked first, so one process
applies what is missing while the others wait, and then find nothing to do.
"""

import uuid
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DuplicateObject, DuplicateSchema, DuplicateTable, UniqueViolation

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE, apply_migrations
from ticketfeed.storage.queries import load_migrations

__all__ = ["prepare_schema", "refuse_unreadable"]


def refuse_unreadable(url: str) -> None:
    """Raises StoreError for a URL that the driver cannot read; its own words would repeat the password."""
    try:
        readable = url.startswith(("postgresql://", "postgres://")) and bool(conninfo_to_dict(url))
    except psycopg.Error:
        readable = False
    if not readable:
        raise StoreError("the PostgreSQL URL cannot be read; is the password percent-encoded?") from None


def prepare_schema(connection: psycopg.Connection[Any], *, create: bool) -> str:
    """Apply what is missing; returns the store's id. Raises StoreError when nothing is there and not `create`."""
    if connection.execute("SELECT to_regclass('ticketfeed.migration')").fetchone() == (None,):
        if not create:
            raise StoreError("there is no store in this database")
        _create_migration_table(connection)
    # Looked at without a lock first: a backup reads the table for as long as it takes, and a standby cannot lock.
    if _applied(connection) == {number for number, _, _ in load_migrations("postgres")}:
        return _read_store_id(connection)
    with connection.transaction():
        connection.execute("LOCK TABLE ticketfeed.migration IN SHARE ROW EXCLUSIVE MODE")
        applied = _applied(connection)

        def apply(number: int, name: str, sql: str) -> None:
            connection.execute(sql.encode())
            connection.execute("INSERT INTO ticketfeed.migration (number, name) VALUES (%s, %s)", (number, name))

        apply_migrations("postgres", applied, apply)
        if not applied:
            connection.execute("INSERT INTO ticketfeed.meta VALUES ('store_id', %s)", (uuid.uuid4().hex,))
    return _read_store_id(connection)


def _applied(connection: psycopg.Connection[Any]) -> set[int]:
    return {number for (number,) in connection.execute("SELECT number FROM ticketfeed.migration")}


def _read_store_id(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT value FROM ticketfeed.meta WHERE name = 'store_id'").fetchone()
    return str(row[0]) if row else ""


def _create_migration_table(connection: psycopg.Connection[Any]) -> None:
    """IF NOT EXISTS does not hold against a process that makes the same thing at the same moment."""
    table = CREATE_MIGRATION_TABLE.replace("migration", "ticketfeed.migration", 1)
    for statement in ("CREATE SCHEMA IF NOT EXISTS ticketfeed", table):
        try:
            connection.execute(statement.encode())
        except (UniqueViolation, DuplicateSchema, DuplicateTable, DuplicateObject):
            continue
