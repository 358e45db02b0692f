"""Migrating a PostgreSQL database, also when several processes start at once.

All tables are in the schema `ticketfeed`. The table of migrations is locked first, so one process applies what is
missing while the others wait, and then find nothing to do.
"""

import uuid
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DuplicateObject, DuplicateSchema, DuplicateTable, UniqueViolation

from ticketfeed.protocol.errors import NoStore, StoreError
from ticketfeed.storage.lookup_fill import LOOKUP_MIGRATION, READ_NAMED, WRITE_KEY, make_lookup_keys
from ticketfeed.storage.migrations import (
    CREATE_MIGRATION_TABLE,
    additive_numbers,
    apply_migrations,
    is_current,
    parse_additive,
)
from ticketfeed.storage.postgres.citus import distribute_tables, distributed_tables, write_sequential
from ticketfeed.storage.postgres.search_index import write_entries
from ticketfeed.storage.postgres.session import QUERIES, PostgresSession
from ticketfeed.storage.queries import POSTGRES, split_statements, translate
from ticketfeed.storage.search_fill import build_search_index, needs_search_index

__all__ = ["prepare_schema", "read_additive", "read_applied", "refuse_encoding", "refuse_unreadable"]


def refuse_unreadable(url: str) -> None:
    """Raise StoreError for a URL that the driver cannot parse; the driver's message would contain the password.

    So would that of a host or a port, which is where the rest of a password goes that has @ or / in it.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("a PostgreSQL server is named by a URL: postgresql://...")
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        parts = {}
    ports = str(parts.get("port", "")).split(",")
    if not parts or "@" in f"{parts.get('host')}{parts.get('dbname')}" or not all(map(_is_port, ports)):
        raise StoreError(
            "the PostgreSQL URL cannot be read: is its password percent-encoded, are its port and parameters valid?"
        ) from None


def _is_port(text: str) -> bool:
    """Whether it is one, or empty for the default."""
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text) < 65536)


def refuse_encoding(connection: psycopg.Connection[Any]) -> None:
    """Raise StoreError for a database that cannot hold every character."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreError(
            f"the database has the encoding {encoding}, not UTF8: make one with "
            "CREATE DATABASE name ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
        )


def prepare_schema(connection: psycopg.Connection[Any], *, create: bool) -> str:
    """Apply missing migrations; returns the store's id. Raises StoreError if there is no store and not `create`."""
    refuse_encoding(connection)
    if connection.execute("SELECT to_regclass('ticketfeed.migration')").fetchone() == (None,):
        if not create:
            raise NoStore("there is no store in this database")
        _create_migration_table(connection)
    # Read without a lock first: a backup holds one on the table for as long as it takes, and a standby cannot lock.
    applied = read_applied(connection)
    session = PostgresSession(connection)
    if is_current("postgres", applied, read_additive(session, applied)) and not needs_search_index(session):
        return _read_store_id(connection)
    with connection.transaction():
        connection.execute("LOCK TABLE ticketfeed.migration IN SHARE ROW EXCLUSIVE MODE")
        applied = read_applied(connection)
        additive = read_additive(session, applied)
        is_distributed = bool(distributed_tables(connection))
        if is_distributed:
            write_sequential(connection)

        def apply(number: int, name: str, sql: str) -> None:
            for statement in split_statements(sql):  # Citus refuses several in one text
                connection.execute(statement.encode())
            connection.execute("INSERT INTO ticketfeed.migration (number, name) VALUES (%s, %s)", (number, name))
            if name == LOOKUP_MIGRATION:
                rows = connection.execute(READ_NAMED.encode()).fetchall()
                with connection.cursor() as cursor:
                    cursor.executemany(translate(POSTGRES, WRITE_KEY).encode(), make_lookup_keys(rows))

        apply_migrations("postgres", applied, additive, apply)
        if is_distributed:
            distribute_tables(connection)
        numbers = additive_numbers("postgres", read_applied(connection), additive)
        session.execute("write_additive", {"value": numbers})
        if needs_search_index(session):
            build_search_index(session, partial(write_entries, session))
        if not applied:
            connection.execute("INSERT INTO ticketfeed.meta VALUES ('store_id', %s)", (uuid.uuid4().hex,))
    return _read_store_id(connection)


def read_applied(connection: psycopg.Connection[Any]) -> set[int]:
    """The numbers of the migrations that a store has."""
    return {number for (number,) in connection.execute("SELECT number FROM ticketfeed.migration")}


def read_additive(session: PostgresSession, applied: set[int]) -> set[int]:
    """Those of the applied migrations that a release may lack."""
    return parse_additive(session.value("read_additive", {})) if applied else set()


def _read_store_id(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(QUERIES["read_store_id"].encode()).fetchone()
    return "".join(row or ())


def _create_migration_table(connection: psycopg.Connection[Any]) -> None:
    """IF NOT EXISTS raises an error nevertheless if another process creates the same thing at the same moment."""
    for statement in ("CREATE SCHEMA IF NOT EXISTS ticketfeed", translate(POSTGRES, CREATE_MIGRATION_TABLE)):
        try:
            connection.execute(statement.encode())
        except (UniqueViolation, DuplicateSchema, DuplicateTable, DuplicateObject):
            continue
