"""Stores by URL: the scheme names the engine, whose driver is imported only then."""

from pathlib import Path

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.base import Store

__all__ = ["Store", "open_store"]


async def open_store(url: str, clock: Clock = system_clock, *, create: bool = True) -> Store:
    """Open the store at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db` or `memory:`.

    A missing store is made, unless `create` is false. Raises StoreError.
    """
    if url.startswith("sqlite:///"):
        from ticketfeed.storage.sqlite import SqliteStore

        return SqliteStore.open(Path(url.removeprefix("sqlite:///")), clock, create=create)
    if url == "memory:":
        from ticketfeed.storage.memory import MemoryStore

        return MemoryStore(clock)
    raise StoreError(f"no store speaks {url!r}; say sqlite:///FILE, or memory:")
