"""Stores by URL: the scheme names the engine, whose driver is imported only then."""

from collections.abc import Sequence

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.base import Store
from ticketfeed.storage.urls import needs_driver, sqlite_path

__all__ = ["Store", "open_store"]


async def open_store(
    url: str, clock: Clock = system_clock, *, read_urls: Sequence[str] = (), create: bool = True
) -> Store:
    """Open the store at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://...` or `memory:`.

    Pages are read from the replicas at `read_urls`, if any; PostgreSQL only. A missing store is made, unless
    `create` is false. Raises StoreError.
    """
    if read_urls and not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("only a PostgreSQL store has replicas to read from")
    if url.startswith("sqlite:///"):
        from ticketfeed.storage.sqlite import SqliteStore

        return SqliteStore.open(sqlite_path(url), clock, create=create)
    if url.startswith(("postgresql://", "postgres://")):
        with needs_driver():
            from ticketfeed.storage.postgres import PostgresStore

        return await PostgresStore.open(url, clock, read_urls=read_urls, create=create)
    if url == "memory:":
        from ticketfeed.storage.memory import MemoryStore

        return MemoryStore(clock)
    scheme = url.partition(":")[0]  # the rest may hold a password
    raise StoreError(f"no store is called {scheme!r}; say sqlite:///FILE, postgresql://..., or memory:")
