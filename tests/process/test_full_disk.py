"""A full disk or a file that cannot be written: a clear refusal, nothing lost, and on as soon as there is room."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.engines import own_server, sqlite_url
from tests.process.small_disk import fill_up
from tests.process.team import PATIENCE_SECONDS, ROOT
from tests.storage.contract import ManualClock, putting, ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.sqlite.store import SqliteStore


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A disk of a few megabytes of its own, where mounting one is permitted."""
    folder = open_folder / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "small", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a disk is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class _Ballast:
    """Takes all room on a disk but so many bytes, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, room: int) -> None:
        disk = os.statvfs(self._folder)
        with (self._folder / "ballast").open("ab") as ballast:
            ballast.write(bytes(max(0, disk.f_bavail * disk.f_frsize - room)))

    def make_room(self) -> None:
        (self._folder / "ballast").unlink()


def test_sqlite_on_a_full_disk(small_disk: Path) -> None:
    """On a full disk writes are refused with that reason, reads go on, nothing is lost; with room, writes go on."""
    ballast = _Ballast(small_disk)
    reason = asyncio.run(fill_up(sqlite_url(small_disk), ballast.fill, ballast.make_room))
    assert "disk is full" in reason


def _in_child(what: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.process.small_disk", what, str(path)],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_sqlite_with_a_file_that_cannot_grow(tmp_path: Path) -> None:
    """Where the system refuses every write to a file, the same holds, and what is closed is still served."""
    assert "cannot serve" in _in_child("full", tmp_path / "t.db")


def test_sqlite_read_only() -> None:
    """Who may only read the file of a store that others write can serve it, and is told why a write is refused."""

    async def main(path: Path) -> None:
        store = SqliteStore.open(path, clock := ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        await store.write(account, putting([ticket(2)]))
        for file in path.parent.iterdir():
            file.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            reason = await asyncio.to_thread(_in_child, "read-only", path)
        finally:
            path.parent.chmod(0o755)
        assert "read-only" in reason
        await store.write(account, putting([ticket(3)]))
        await store.close()

    with tempfile.TemporaryDirectory() as folder:  # which another user can reach, as tmp_path cannot be
        asyncio.run(main(Path(folder) / "t.db"))


def test_postgres_on_a_full_disk(small_disk: Path, open_folder: Path) -> None:
    """The same on PostgreSQL, whose tickets lie on the disk that fills up."""
    with own_server(open_folder) as server:
        url = server.new_database()
        space = small_disk / "space"
        space.mkdir()
        if os.geteuid() == 0:
            owner = (open_folder / "postgres").stat()
            for folder in (small_disk, space):
                os.chown(folder, owner.st_uid, owner.st_gid)
        asyncio.run(_move_tickets(url, space))
        ballast = _Ballast(small_disk)
        reason = asyncio.run(fill_up(url, ballast.fill, ballast.make_room))
    assert "cannot serve" in reason


async def _move_tickets(url: str, space: Path) -> None:
    await (await open_store(url)).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
        connection.execute(b"ALTER TABLE ticketfeed.ticket SET TABLESPACE small")
