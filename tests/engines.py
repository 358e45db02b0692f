"""The engines that tests and long runs are made on: new, empty stores of the named kind."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from tests.postgres import PostgresServer

EngineName = Literal["sqlite", "postgres"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)


class Engine:
    """Makes stores in a folder of its own, on a server of its own where there is one; it may be killed."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self.server = server
        self._folders = (folder / str(number) for number in itertools.count())

    def new_folder(self) -> Path:
        folder = next(self._folders)
        folder.mkdir()
        return folder

    def new_url(self) -> str:
        """Of a store that is not there yet."""
        return self.server.new_database() if self.server else sqlite_url(self.new_folder())


@contextmanager
def engine(name: EngineName) -> Iterator[Engine]:
    """An engine for as long as it is wanted."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-", ignore_cleanup_errors=True) as folder:
        if name == "sqlite":
            yield Engine(Path(folder), None)
            return
        with own_server(Path(folder)) as server:
            yield Engine(Path(folder), server)


@contextmanager
def own_server(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server that nobody else uses."""
    server = PostgresServer(folder / "postgres")
    try:
        yield server
    finally:
        server.stop()


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'tickets.db'}"
