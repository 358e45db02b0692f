"""`ticketfeed account copy`, `export`, `import` and `erase` as an operator uses them: bad input, and SIGKILL."""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import apsw
import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.process.conftest import COMMAND, ENVIRONMENT, run
from tests.waiting import SECONDS_MAX

STORE, OTHER = "sqlite:///ticketfeed.db", "sqlite:///other.db"


@pytest.fixture
def read_only_url(postgres: PostgresServer, folder: Path) -> str:
    """A store that takes no writes, as on a standby."""
    url = postgres.new_database()
    assert run("migrate", "--store", url, cwd=folder).code == 0
    name = url.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
    return url


def set_migration(file: Path, sql: str) -> None:
    with contextlib.closing(apsw.Connection(str(file))) as connection:
        connection.execute(sql)


def test_bad_input(folder: Path, read_only_url: str) -> None:
    """Each is one line and exit code 2, and leaves everything as it was."""

    def done(*arguments: str) -> str:
        made = run("account", *arguments, cwd=folder)
        assert made.code == 0, made.err
        return made.out.decode()

    assert done("export", "demo", "demo.db").startswith("demo\twritten to demo.db\t1,200 tickets\t")
    done("create", "second")
    assert done("quota", "second", "--tickets-max", "5") == "second\t5\ttickets\nsecond\tany number of\tbytes\n"
    assert done("quota", "second", "--bytes-max", "9") == "second\t5\ttickets\nsecond\t9\tbytes\n"
    assert done("quota", "second", "--clear").count("any number of") == 2
    for name in ("newer.db", "older.db", "several.db"):
        shutil.copy(folder / ("ticketfeed.db" if name == "several.db" else "demo.db"), folder / name)
    set_migration(folder / "newer.db", "INSERT INTO migration VALUES (9999, '9999_later.sql')")
    (folder / "text.db").write_text("longer than the header of a database\n" * 9)
    (folder / "empty.db").touch()
    (folder / "there.db").touch()
    copy = ("copy", "demo", "--from", STORE, "--to")
    refused: dict[tuple[str, ...], str] = {
        ("copy", "nobody", "--from", STORE, "--to", OTHER): "there is no account 'nobody'",
        (*copy, STORE): "both are the same store",
        ("copy", "demo", "--from", "sqlite:///none.db", "--to", OTHER): "there is no store at none.db",
        (*copy, "memory:"): "a store in memory ends with its process",
        (*copy, "mysql://host/db"): "unknown store URL scheme 'mysql'",
        (*copy, read_only_url): "the server is a standby",
        (*copy, OTHER, "--name", "a@b"): "a@b",
        ("copy", "demo", "--from", "sqlite:///newer.db", "--to", OTHER): "newer ticketfeed",
        (*copy, "sqlite:///newer.db"): "newer ticketfeed",
        ("export", "nobody", "new.db"): "there is no account 'nobody'",
        ("export", "demo", "there.db"): "",
        ("export", "demo", "demo.db"): "already exists",
        ("export", "demo", "no/folder.db"): "there is no folder no",
        ("import", "none.db", "--store", OTHER): "there is no file none.db",
        ("import", "text.db", "--store", OTHER): "not an SQLite database",
        ("import", "empty.db", "--store", OTHER): "empty.db is empty",
        ("import", "newer.db", "--store", OTHER): "newer ticketfeed",
        ("import", "several.db", "--store", OTHER): "holds 2 accounts",
        ("import", "demo.db"): "there is an account 'demo' already",
        ("erase", "nobody"): "there is no account 'nobody'",
        ("unfreeze", "nobody"): "there is no account 'nobody'",
        ("isolate", "demo"): "only a PostgreSQL store on Citus has shards",
    }
    for arguments, line in refused.items():
        made = run("account", *arguments, cwd=folder)
        assert (made.code, made.out, made.err.count("\n")) == (2, b"", 1), (arguments, made)
        assert line in made.problem, (arguments, made.err)
    assert not (folder / "new.db").exists()
    assert done("list").splitlines() == ["demo\t1200 tickets\tdefault", "second\t0 tickets"]
    set_migration(folder / "older.db", "DELETE FROM migration WHERE number = 15")
    set_migration(folder / "older.db", "ALTER TABLE feed_state DROP COLUMN frozen_until")
    set_migration(folder / "older.db", "DELETE FROM meta WHERE name = 'erased_account_id'")
    assert done("import", "older.db", "--store", OTHER).startswith("demo\timported\t1,200 tickets\t")
    assert done(*copy, OTHER, "--name", "moved", "--move").startswith("moved\tcopied\t")
    made = run("token", "create", "--email", "a@example.com", "--account", "demo", cwd=folder)
    assert "account demo was moved to another store" in made.problem
    assert done("unfreeze", "demo") == "demo\ttakes writes again\n"
    assert done("unfreeze", "demo") == "demo\ttook writes already\n"
    assert done("erase", "demo") == "demo\terased\n"
    assert done("list") == "second\t0 tickets\n"
    for url in (STORE, OTHER):
        assert run("check", "--store", url, cwd=folder).code == 0


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_kill(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Killed at any moment, a copy and an erasure leave nothing that anybody sees half, and are done when run again."""
    folder, url = tmp_path, OTHER if engine == "sqlite" else request.getfixturevalue("postgres").new_database()
    for arguments in (("migrate", "--store", url), ("generate", "60", "--account", "demo", "--store", STORE)):
        assert run(*arguments, cwd=folder).code == 0
    chance = random.Random(1)

    def run_killed(seconds: float, *arguments: str) -> bool:
        """Whether it was killed before its end."""
        process = subprocess.Popen(
            [*COMMAND, "account", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        return process.wait(SECONDS_MAX) == -signal.SIGKILL

    def listed() -> set[str]:
        made = run("account", "list", "--store", url, cwd=folder)
        assert made.code == 0, made.err
        assert run("check", "--store", url, cwd=folder).code == 0
        accounts = dict(line.split("\t")[:2] for line in made.out.decode().splitlines())
        assert set(accounts.values()) == {"60 tickets"}
        return set(accounts)

    copy = ("copy", "demo", "--from", STORE, "--to", url)
    began = time.monotonic()
    assert not run_killed(60, *copy, "--name", "timed")
    seconds = time.monotonic() - began
    killed = 0
    for _ in range(6):
        is_killed = run_killed(chance.uniform(0.3, 1) * seconds, *copy)
        killed += is_killed
        assert is_killed or "demo" in listed()
        if "demo" in listed():
            killed += run_killed(chance.uniform(0.3, 1) * seconds, "erase", "demo", "--store", url)
            listed()
            run("account", "erase", "demo", "--store", url, cwd=folder)
        if killed > 1:
            break
    assert killed
    made = run("account", *copy, cwd=folder)
    assert made.code == 0, made.err
    assert listed() == {"timed", "demo"}
