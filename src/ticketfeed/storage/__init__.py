"""Stores by URL: its scheme names the engine, whose driver is imported only when it is used."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ticketfeed.clock import Clock, system_clock
from ticketfeed.protocol.errors import StoreError
from ticketfeed.storage.clock_check import ClockCheck
from ticketfeed.storage.connection_limits import DEFAULT_CONNECTIONS, ConnectionLimits
from ticketfeed.storage.contract import Store

__all__ = ["ClockCheck", "ConnectionLimits", "Store", "needs_driver", "open_store", "sqlite_path", "unknown_url"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_WORD = re.compile(r"[\w./-]+")


async def open_store(
    url: str,
    clock: Clock = system_clock,
    *,
    read_urls: Sequence[str] = (),
    create: bool = True,
    clock_check: ClockCheck | None = None,
    connections: ConnectionLimits = DEFAULT_CONNECTIONS,
) -> Store:
    """Open the store at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://...` or `memory:`.

    Pages are read from the replicas at `read_urls`, if any; PostgreSQL only. A missing store is created, unless
    `create` is false. `clock_check`: of the machine's clock; by default it is watched from now on. `connections`: to
    PostgreSQL. Raises StoreError.
    """
    clock_check = clock_check or ClockCheck()
    if read_urls and not url.startswith(("postgresql://", "postgres://")):
        raise StoreError("read replicas are supported for PostgreSQL stores only")
    if url.startswith("sqlite:///"):
        from ticketfeed.storage.sqlite.store import SqliteStore

        return SqliteStore.open(sqlite_path(url), clock, create=create, clock_check=clock_check)
    if url.startswith(("postgresql://", "postgres://")):
        with needs_driver():
            from ticketfeed.storage.postgres.store import PostgresStore

        return await PostgresStore.open(
            url, clock, read_urls=read_urls, create=create, clock_check=clock_check, connections=connections
        )
    if url == "memory:":
        from ticketfeed.storage.memory import MemoryStore

        return MemoryStore(clock, clock_check)
    raise unknown_url(url)


def unknown_url(url: str) -> StoreError:
    """The error of a URL that names no store."""
    if scheme := _SCHEME.match(url):
        unknown = f"unknown store URL scheme {scheme[1]!r}"  # the rest may hold a password
    else:
        unknown = f"the store {url!r} is no URL" if _WORD.fullmatch(url) else "the store is no URL"
    return StoreError(f"{unknown}; use sqlite:///FILE, postgresql://... or memory:")


def sqlite_path(url: str) -> Path:
    """The file of `sqlite:///FILE`, relative unless FILE begins with a slash. Raises StoreError."""
    name = url.removeprefix("sqlite:///")
    if name == ":memory:" or not Path(name).name:  # as of . and /
        raise StoreError("use sqlite:///FILE for a file, or memory: for a store in memory")
    if "?" in name:
        raise StoreError(f"sqlite:///FILE takes no options: {name.partition('?')[2]!r}")
    return Path(name)


@contextlib.contextmanager
def needs_driver() -> Iterator[None]:
    """Import PostgreSQL's driver inside it: raises StoreError with the name of the extra where it is missing."""
    try:
        yield
    except ImportError as error:
        raise StoreError("PostgreSQL needs its driver: pip install 'ticketfeed[postgres]'") from error
