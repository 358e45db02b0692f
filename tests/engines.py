"""The engines that tests and long runs are made on: new, empty stores of the named kind, and what they hold."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import apsw
import psycopg

from tests.citus import CITUS_URL, NO_CITUS, CitusServer
from tests.postgres import PostgresServer
from ticketfeed.protocol.model import Account

# (second, body) by ticket id.
Final = dict[int, tuple[int, bytes]]
EngineName = Literal["sqlite", "postgres", "citus"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
# Those of the tests over HTTP, which are too many to be told that each was skipped.
HTTP_ENGINES = ("memory", "sqlite", *(("citus",) if CITUS_URL else ()))


class Engine:
    """Makes stores: in a folder of its own, on a server of its own, which may be killed, or on Citus."""

    def __init__(self, folder: Path, server: PostgresServer | None, citus: CitusServer | None = None) -> None:
        self.server, self._citus = server, citus
        self._folders = (folder / str(number) for number in itertools.count())

    def new_folder(self) -> Path:
        folder = next(self._folders)
        folder.mkdir()
        return folder

    def new_url(self) -> str:
        """Of a store that is not there yet, or is empty. On Citus all but this one are forgotten."""
        if self._citus:
            self._citus.take_back()
            return self._citus.new_store()
        return self.server.new_database() if self.server else sqlite_url(self.new_folder())


@contextmanager
def engine(name: EngineName) -> Iterator[Engine]:
    """An engine for as long as it is wanted."""
    with tempfile.TemporaryDirectory(prefix="ticketfeed-", ignore_cleanup_errors=True) as folder:
        if name == "sqlite":
            yield Engine(Path(folder), None)
            return
        if name == "citus":
            if not CITUS_URL:
                raise SystemExit(NO_CITUS)
            yield Engine(Path(folder), None, CitusServer())
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


def forget_fences(url: str) -> None:
    """New accounts start as if no account of this store had ever been fenced: one store serves many tests."""
    sql = "UPDATE {}meta SET value = '0' WHERE name = 'fenced_at'"
    if url.startswith("sqlite:///"):
        with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            connection.execute(sql.format(""))
    else:
        with psycopg.connect(url) as postgres:
            postgres.execute(sql.format("ticketfeed.").encode())


def dump(url: str, account: Account) -> Final:
    """The rows of an account by ticket id, read past the store.

    With the same SQLite library: two of them in one process take each other's file locks away.
    """
    sql = "SELECT id, generated_timestamp, body FROM {} WHERE account_id = {}"
    if url.startswith("sqlite:///"):
        with contextlib.closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            rows: list[Any] = connection.execute(sql.format("ticket", account.account_id)).fetchall()
    else:
        with psycopg.connect(url) as postgres:
            rows = postgres.execute(sql.format("ticketfeed.ticket", account.account_id).encode()).fetchall()
    assert len({row[0] for row in rows}) == len(rows)
    return {id: (second, bytes(body)) for id, second, body in rows}
