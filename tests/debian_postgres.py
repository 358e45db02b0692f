"""Servers of the system's packages: PostgreSQL of an older major version, and PgBouncer."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port
from tests.waiting import SECONDS_MAX

__all__ = ["PGBOUNCER", "POSTGRES_15", "serve_pgbouncer", "serve_postgres"]

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PGBOUNCER = Path(shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/pgbouncer")
START_SECONDS_MAX = 60
# As whom PostgreSQL runs where we are root.
USER = "postgres"


@contextlib.contextmanager
def serve_postgres(programs: Path, folder: Path) -> Iterator[str]:
    """A new server until the block ends; yields the start of a URL, to which a database is added."""
    folder = _own_folder(folder, USER)
    data, port = folder / "data", free_port()
    _run([str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    options = [f"--{name}={value}" for name, value in settings.items()]
    with _process([str(programs / "postgres"), "-D", str(data), *options], port, USER):
        url = f"postgresql://postgres@127.0.0.1:{port}/"
        _wait_for_answer(url)
        yield url


@contextlib.contextmanager
def serve_pgbouncer(folder: Path, host: Path, user: str, server_port: int) -> Iterator[str]:
    """PgBouncer in transaction mode in front of a server; yields the start of a URL, to which a database is added."""
    # The folder of a server's socket is its user's own.
    owner = host.owner()
    folder, port = _own_folder(folder, owner), free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n* = host={host} port={server_port} user={user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\nserver_lifetime = 5\n"
    )
    configuration.chmod(0o644)
    with _process([str(PGBOUNCER), str(configuration)], port, owner):
        yield f"postgresql://{user}@127.0.0.1:{port}/"


def _own_folder(folder: Path, user: str) -> Path:
    """A folder of the user that servers run as: none of them runs as root."""
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        for parent in folder.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    return folder


def _as_user(user: str) -> dict[str, Any]:
    return {"user": user, "extra_groups": []} if os.geteuid() == 0 else {}


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/", **_as_user(USER))


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, user: str) -> Iterator[None]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd="/", **quiet, **_as_user(user)) as process:
        try:
            _wait_for_port(process, port)
            yield
        finally:
            process.send_signal(2)  # SIGINT: both end their connections and stop
            try:
                process.wait(SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS_MAX):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not start")


def _wait_for_answer(url: str) -> None:
    """A server listens some time before it lets anyone in."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(f"{url}postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
