"""check, fence, backup and restore as commands: exit codes, one line a failure, servers and loads beside them."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import psycopg

from tests.postgres import PostgresServer
from tests.process.conftest import (
    COMMAND,
    ENVIRONMENT,
    PATH,
    TICKETS,
    TOKEN,
    Done,
    Running,
    Start,
    run,
)
from tests.waiting import wait_until


@contextlib.contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def load(folder: Path, store: str, first_id: int, count: int = 1) -> None:
    lines = "".join(json.dumps({"id": first_id + number}) + "\n" for number in range(count))
    done = run("load", "-", "--store", store, cwd=folder, input=lines.encode())
    assert done.code == 0, done.err


class Reader:
    """A client that keeps its cursor from one server to the next."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.ids: set[int] = set()

    def walk(self, server: Running) -> set[int]:
        while True:
            place = f"cursor={self.cursor}" if self.cursor else "start_time=0"
            answer = server.ask(f"{PATH}?{place}&support_type_scope=all")
            assert answer.status == 200
            page = json.loads(answer.body)  # type: ignore[attr-defined]
            self.ids |= {ticket["id"] for ticket in page["tickets"]}
            self.cursor = page["after_cursor"]
            if page["end_of_stream"]:
                return self.ids


def keep_promise(folder: Path, serve: Start, source: str, target: str, env: dict[str, str]) -> None:
    """Back up `source` while it is served and written, lose it, restore to `target`, and go on reading there."""
    reader, stop = Reader(), threading.Event()

    def write_on() -> None:
        for number in range(1, 100):
            load(folder, source, 10**12 + number)
            if stop.is_set():
                return

    writer = threading.Thread(target=write_on)
    first = serve("--store", source)
    writer.start()
    try:
        reader.walk(first)
        done = run("backup", "copy", "--store", source, cwd=folder, env=env)
        assert (done.code, done.out, done.err) == (0, b"wrote copy\n", "")
    finally:
        stop.set()
        writer.join()
    load(folder, source, 2 * 10**12, 5)
    wait_until(lambda: 2 * 10**12 + 4 in reader.walk(first))
    assert first.end() == 0
    done = run("restore", "copy", "--store", target, "--clock-error", "1", cwd=folder, env=env)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(b"demo\tfenced at ")
    second = serve("--store", target)
    load(folder, target, 3 * 10**12, 5)
    load(folder, target, 2 * 10**12, 1)
    wait_until(lambda: 3 * 10**12 + 4 in reader.walk(second))
    assert reader.ids >= {3 * 10**12 + number for number in range(5)}
    done = run("check", "--store", target, cwd=folder)
    assert (done.code, done.err) == (0, ""), done.out
    assert done.out.endswith(b"no problems\n")


def test_sqlite_backup_and_restore(folder: Path, serve: Start) -> None:
    """A store that is served and written is copied; a reader goes on in the restored one and misses nothing."""
    keep_promise(folder, serve, "sqlite:///ticketfeed.db", "sqlite:///new.db", {})


def test_postgres_backup_and_restore(folder: Path, serve: Start, postgres: PostgresServer) -> None:
    """The same between two PostgreSQL databases."""
    source, target = postgres.new_database(), postgres.new_database()
    for arguments in (["generate", "50"], ["token", "create", "--email", "a@example.com", "--token", TOKEN]):
        assert run(*arguments, "--store", source, cwd=folder).code == 0
    programs = postgres._server.bin_path
    keep_promise(folder, serve, source, target, {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"})
    with psycopg.connect(target) as connection:
        connection.execute("UPDATE ticketfeed.feed_state SET ticket_count = 7")
    done = run("check", "--store", target, cwd=folder)
    assert done.code == 1
    assert b"its ticket_count is 7, but it has" in done.out


def test_check(folder: Path) -> None:
    """Clean: code 0 and one line. Damaged: code 1 and a line for each finding. Absent: code 2 and nothing made."""
    done = run("check", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"accounts 1, tickets {TICKETS:,}, ".encode())
    assert done.out.endswith(b": no problems\n")
    with opened(folder / "ticketfeed.db") as connection:
        connection.execute("DELETE FROM ticket WHERE id = (SELECT min(id) FROM ticket)")
        connection.execute("UPDATE feed_state SET watermark = 5")
    done = run("check", cwd=folder)
    assert (done.code, done.out.count(b"\n")) == (1, 2)
    assert f"its ticket_count is {TICKETS}, but it has {TICKETS - 1} tickets".encode() in done.out
    assert b"its watermark 5 is more than a second before" in done.out
    assert done.err.endswith(": 2 problems\n")
    assert "there is no store" in run("check", "--store", "sqlite:///none.db", cwd=folder).problem
    assert not (folder / "none.db").exists()


def test_looking_at_a_backup_leaves_it_alone(folder: Path) -> None:
    """A backup that is checked, and read, is byte for byte what it was, with nothing beside it."""
    assert run("backup", "kept.db", cwd=folder).code == 0
    before = (folder / "kept.db").read_bytes()
    assert run("check", "--store", "sqlite:///kept.db", cwd=folder).code == 0
    target = "/api/v2/incremental/tickets/cursor?start_time=0"
    assert run("get", target, "--store", "sqlite:///kept.db", cwd=folder).code == 0
    assert (folder / "kept.db").read_bytes() == before
    assert [path.name for path in folder.glob("kept.db*")] == ["kept.db"]


def test_check_beside_a_long_write(folder: Path) -> None:
    """While a long write holds the write lock, a check and a backup neither wait nor find anything."""
    with opened(folder / "ticketfeed.db") as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE feed_state SET ticket_count = 0")
        assert run("check", cwd=folder).code == 0
        assert run("backup", "copy", cwd=folder).code == 0
        connection.execute("ROLLBACK")
    assert run("check", "--store", "sqlite:///copy", cwd=folder).code == 0


def test_fence(folder: Path) -> None:
    """One line for each account; the watermark goes up and never back, however often it is run."""
    assert run("account", "create", "empty", cwd=folder).code == 0
    watermarks = []
    for error in ("60", "5"):
        done = run("fence", "--clock-error", error, cwd=folder)
        assert (done.code, done.err) == (0, "")
        assert [line.split("\t")[0] for line in done.out.decode().splitlines()] == ["demo", "empty"]
        with opened(folder / "ticketfeed.db") as connection:
            watermarks.append([row[0] for row in connection.execute("SELECT watermark FROM feed_state ORDER BY 1")])
    assert watermarks[0] == watermarks[1]
    for error in ("-1", "86401", "x"):
        assert "--clock-error" in run("fence", "--clock-error", error, cwd=folder).problem
    assert "there is no store" in run("fence", "--store", "sqlite:///none.db", cwd=folder).problem


def problems(folder: Path) -> Iterator[tuple[Done, str]]:
    text = folder / "text"
    text.write_bytes(b"not a store\n" * 100)
    yield run("backup", "text", cwd=folder), "text already exists"
    for name in ("", "."):
        yield run("backup", name, cwd=folder), ". is a directory, not a file"
    yield run("backup", "no/such/folder", cwd=folder), "cannot write no/such/folder: there is no folder no/such"
    yield run("backup", "copy", "--store", "memory:", cwd=folder), "has no backup"
    yield run("backup", "copy", "--store", "sqlite:///none.db", cwd=folder), "there is no store at none.db"
    yield run("backup", "copy", "--store", "sqlite:///text", cwd=folder), "not an SQLite database"
    yield run("backup", "copy", "--store", "postgresql://nobody@127.0.0.1:1/x", cwd=folder), "refused"
    yield run("restore", "none", "--store", "sqlite:///new.db", cwd=folder), "there is no backup at none"
    yield run("restore", "text", "--store", "sqlite:///new.db", cwd=folder), "not an SQLite database"
    yield run("restore", "text", "--store", "memory:", cwd=folder), "has no backup"
    yield run("restore", "text", cwd=folder), "ticketfeed.db already exists"
    yield run("restore", "text", "--store", "sqlite:///no/new.db", cwd=folder), "there is no folder no"


def test_failures(folder: Path) -> None:
    """Every failure is one line and code 2, and no file is changed, made or left."""
    before = (folder / "ticketfeed.db").read_bytes()
    for done, expected in problems(folder):
        assert expected in done.problem
        assert done.out == b""
    assert sorted(path.name for path in folder.iterdir()) == ["text", "ticketfeed.db"]
    assert (folder / "ticketfeed.db").read_bytes() == before


def test_a_restore_that_is_killed(folder: Path) -> None:
    """A restore that is killed at any moment leaves no store, or a whole and fenced one; never a half."""
    assert run("backup", "copy", cwd=folder).code == 0
    for milliseconds in (150, 250, 300, 350, 400, 450):
        process = subprocess.Popen(
            [*COMMAND, "restore", "copy", "--store", "sqlite:///new.db"], cwd=folder, env=ENVIRONMENT,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with process, contextlib.suppress(subprocess.TimeoutExpired):
            try:
                process.wait(milliseconds / 1000)
            finally:
                process.send_signal(signal.SIGKILL)
        if (folder / "new.db").exists():
            with opened(folder / "new.db") as connection:
                last, watermark = connection.execute("SELECT last_generated_timestamp, watermark FROM feed_state").get
            assert watermark > last
            assert run("check", "--store", "sqlite:///new.db", cwd=folder).code == 0
        for left in folder.glob("new.db*"):
            left.unlink()


def test_accounts_that_cannot_be_reached(folder: Path, postgres: PostgresServer) -> None:
    """fence and maintain do all accounts but the one whose row is locked, name it, and end with 1."""
    url = postgres.new_database()
    (folder / "solved.ndjson").write_text('{"id": 1, "status": "solved", "generated_timestamp": 1}')
    for name in ("acme", "beta", "gamma"):
        assert run("account", "create", name, "--store", url, cwd=folder).code == 0
        assert run("load", "solved.ndjson", "--account", name, "--store", url, cwd=folder).code == 0
    with psycopg.connect(url) as stranger:
        stranger.execute("SELECT FROM ticketfeed.feed_state WHERE account_id = 2 FOR UPDATE")
        for command in (("fence",), ("maintain", "--close-solved-days", "1")):
            done = run(*command, "--store", url, cwd=folder)
            assert done.code == 1
            assert [line.split(":")[0].split("\t")[0] for line in done.out.decode().splitlines()] == ["acme", "gamma"]
            assert done.err.startswith("ticketfeed: account beta")
            assert done.err.count("\n") == 1
    assert run("fence", "--store", url, cwd=folder).code == 0
