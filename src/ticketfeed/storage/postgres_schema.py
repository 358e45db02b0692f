"""Bringing a PostgreSQL database to the current schema, also when several processes start at once.

Everything of ours stands in the schema `ticketfeed`. The table of migrations is locked first, so one process
applies what is missing while the others wait, and then find nothing to do.
"""

import uuid
from typing import Any

import psycopg
from psycopg.errors import DuplicateObject, DuplicateSchema, DuplicateTable, UniqueViolation

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.migrations import CREATE_MIGRATION_TABLE, apply_migrations

__all__ = ["prepare_schema"]


def prepare_schema(connection: psycopg.Connection[Any], *, create: bool) -> str:
    """Apply what is missing; returns the store's id. Raises StoreError when nothing is there and not `create`."""
    if connection.execute("SELECT to_regclass('ticketfeed.migration')").fetchone() == (None,):
        if not create:
            raise StoreError("there is no store in this database")
        _create_migration_table(connection)
    with connection.transaction():
        connection.execute("LOCK TABLE ticketfeed.migration IN ACCESS EXCLUSIVE MODE")
        applied = {number for (number,) in connection.execute("SELECT number FROM ticketfeed.migration")}

        def apply(number: int, name: str, sql: str) -> None:
            connection.execute(sql.encode())
            connection.execute("INSERT INTO ticketfeed.migration (number, name) VALUES (%s, %s)", (number, name))

        apply_migrations("postgres", applied, apply)
        if not applied:
            connection.execute("INSERT INTO ticketfeed.meta VALUES ('store_id', %s)", (uuid.uuid4().hex,))
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
