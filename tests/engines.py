"""The engines that long runs are made on: an empty store of the named kind, for as long as it is wanted."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.postgres import PostgresServer

EngineName = Literal["sqlite", "postgres"]
ENGINES: tuple[EngineName, ...] = ("sqlite", "postgres")


@contextmanager
def engine(name: EngineName) -> Iterator[str]:
    """The URL of a store that is not there yet, in a folder or server of its own."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-", ignore_cleanup_errors=True) as folder:
        if name == "sqlite":
            yield sqlite_url(Path(folder))
            return
        with own_server(Path(folder)) as server:
            yield server.new_database()


@contextmanager
def own_server(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server that nobody else uses, and that may be killed."""
    server = PostgresServer(folder / "postgres")
    try:
        yield server
    finally:
        server.stop()


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tickets.db'}"
