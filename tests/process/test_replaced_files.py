"""A store file that is put in the place of another: it is noticed, and neither of the two is damaged."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.engines import sqlite_url
from tests.process.conftest import Running, Start, run
from tests.process.test_waits import ask, fill

NAME = "tickets.db"


def make_store(folder: Path) -> Path:
    folder.mkdir()
    asyncio.run(fill(sqlite_url(folder)))
    return folder / NAME


def move(other: Path, path: Path) -> None:
    other.replace(path)


def copy_over(other: Path, path: Path) -> None:
    path.write_bytes(other.read_bytes())


def back_up(other: Path, path: Path) -> None:
    """A backup of the very store is put back."""
    other.unlink()
    assert run("backup", str(other), "--store", f"sqlite:///{path}", cwd=other.parent).code == 0
    other.replace(path)


@pytest.mark.parametrize("replace", [move, copy_over, back_up])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_file_that_is_replaced(
    replace: Callable[[Path, Path], None], end: signal.Signals, serve: Start, tmp_path: Path
) -> None:
    """The server that had the other one open refuses writes and is not ready, and whoever opens the new one beside the
    old log refuses it; once the log is moved away, the new one is what it was."""
    path, other = make_store(tmp_path / "served"), make_store(tmp_path / "other")
    server = serve("--store", f"sqlite:///{path}")
    for _ in range(3):
        assert ask(server, "POST", "/api/v2/tickets").status == 201
    replace(other, path)
    expected = path.read_bytes()
    assert ask(server, "POST", "/api/v2/tickets").status == 503
    assert ask(server, "GET", "/api/v2/tickets/count").status == 503
    assert is_unready(server)
    refused = run("check", "--store", f"sqlite:///{path}", cwd=tmp_path).problem
    assert "belongs to another file" in refused
    server.end(end)
    assert any("was replaced by another file while it was open" in line["event"] for line in server.logs)
    assert "belongs to another file" in run("serve", "--store", f"sqlite:///{path}", cwd=tmp_path).problem
    assert path.read_bytes() == expected
    for name in (f"{NAME}-wal", f"{NAME}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    done = run("check", "--store", f"sqlite:///{path}", cwd=tmp_path)
    assert done.code == 0, done


def is_unready(server: Running) -> bool:
    answer = ask(server, "GET", "/_ticketfeed/ready")
    return (answer.status, b"cannot be read" in answer.body) == (503, True)


def test_a_log_of_its_own(tmp_path: Path, serve: Start) -> None:
    """What a server that was killed left in its log is there again, also in a store without a file id."""
    path = make_store(tmp_path / "served")
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 0")
    connection.close()
    for count in (1, 2):
        server = serve("--store", f"sqlite:///{path}")
        assert ask(server, "POST", "/api/v2/tickets").status == 201
        server.end(signal.SIGKILL)
        assert os.path.getsize(f"{path}-wal") > 0
        shutil.copytree(path.parent, tmp_path / f"copy-{count}")
        done = run("check", "--store", f"sqlite:///{tmp_path}/copy-{count}/{NAME}", cwd=tmp_path)
        assert (done.code, f"tickets {count}," in done.out.decode()) == (0, True), done
