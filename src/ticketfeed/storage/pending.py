"""Which migrations a store lacks, without opening it: a store that is opened is migrated."""

import apsw

from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage import needs_driver, sqlite_path, unknown_url
from ticketfeed.storage.migrations import pending_migrations

__all__ = ["read_pending"]


def read_pending(url: str) -> list[tuple[str, bool]] | None:
    """The name of each, and whether it is additive; None where there is no store yet. Raises StoreError."""
    if url.startswith(("postgresql://", "postgres://")):
        return _read_postgres(url)
    if url.startswith("sqlite:///"):
        return _read_sqlite(url)
    if url == "memory:":
        return None
    raise unknown_url(url)


def _read_sqlite(url: str) -> list[tuple[str, bool]] | None:
    from ticketfeed.storage.sqlite.file import explain, read_applied

    path = sqlite_path(url)
    if not path.exists():
        return None
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'migration'").get:
                return None
            return pending_migrations("sqlite", *read_applied(connection))
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"cannot open the store {path}: {explain(error)}") from error


def _read_postgres(url: str) -> list[tuple[str, bool]] | None:
    with needs_driver():
        import psycopg

        from ticketfeed.storage.postgres.pools import CONNECTION, explain
        from ticketfeed.storage.postgres.schema import read_additive, read_applied, refuse_encoding, refuse_unreadable
        from ticketfeed.storage.postgres.session import PostgresSession

    refuse_unreadable(url)
    try:
        with psycopg.connect(url, **CONNECTION) as connection:
            refuse_encoding(connection)
            if connection.execute("SELECT to_regclass('ticketfeed.migration')").fetchone() == (None,):
                return None
            applied = read_applied(connection)
            return pending_migrations("postgres", applied, read_additive(PostgresSession(connection), applied))
    except psycopg.Error as error:
        raise StoreError(f"cannot open the store: {explain(error)}") from error
