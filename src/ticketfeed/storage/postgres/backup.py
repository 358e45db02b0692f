"""Backup and restore of a PostgreSQL store, by PostgreSQL's own pg_dump and pg_restore.

A restored store must not be used before it is fenced, and pg_restore commits by itself. So the rows of feed_state and
of migration are deferred: until both are there, a process that starts finds no store it can open, and one that already
runs can neither read nor write. They are restored last, fenced, in one transaction.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ticketfeed.atomic_file import atomic_file
from ticketfeed.clock import Clock
from ticketfeed.protocol.errors import NoStore, StoreError
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage.migrations import apply_migrations
from ticketfeed.storage.postgres.schema import prepare_schema, refuse_encoding, refuse_unreadable
from ticketfeed.storage.postgres.session import PostgresSession
from ticketfeed.storage.sql_session import fence_copy

__all__ = ["backup_postgres", "restore_postgres"]

# The copy holds hashes of credentials.
BACKUP_MODE = 0o600
CONNECT_SECONDS = 10
# program -> the environment variable that says where it is
PROGRAMS = {"pg_dump": "PG_DUMP", "pg_restore": "PG_RESTORE"}
DEFERRED = ("migration", "feed_state")

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_COPY = re.compile(r"COPY ticketfeed\.(\w+) \(.*\) FROM stdin;")


def backup_postgres(url: str, file: Path) -> None:
    """Dump the schema of ours into the new `file`, in pg_dump's custom format. Raises StoreError."""
    with _connected(url) as connection:
        if connection.execute("SELECT to_regclass('ticketfeed.migration')").fetchone() == (None,):
            raise NoStore("there is no store in this database")
        program = _find_program("pg_dump", connection)
    with atomic_file(file, BACKUP_MODE) as part:
        _run(program, ["--format=custom", "--schema=ticketfeed", f"--file={part}"], url)


def restore_postgres(file: Path, url: str, clock: Clock, clock_error_seconds: int) -> list[tuple[Account, FeedState]]:
    """Make the backup `file` the store of a database that has none. Returns the accounts and their fenced rows.

    Raises StoreError; the database is then as it was.
    """
    if not file.is_file():
        raise StoreError(f"there is no backup at {file}")
    with _connected(url) as connection:
        refuse_encoding(connection)
        program = _find_program("pg_restore", connection)
        deferred = _read_deferred(program, file)
        if connection.execute("SELECT to_regnamespace('ticketfeed')").fetchone() != (None,):
            raise StoreError("this database has a schema ticketfeed already; restore into one without it")
        _restore_others(program, file, url)
        try:
            return _fence_copy(connection, deferred, clock, clock_error_seconds)
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                connection.execute("DROP SCHEMA ticketfeed CASCADE")
            raise


def _fence_copy(
    connection: psycopg.Connection[Any], deferred: dict[str, list[str]], clock: Clock, clock_error_seconds: int
) -> list[tuple[Account, FeedState]]:
    """Restore what was deferred, migrate, fence every account and give the store an id of its own, in one transaction.

    From here on the store may differ from the one it was copied from, and ETags are made of the store's id and
    positions: with the same id, two different pages could have one ETag.
    """
    with connection.transaction():
        for header, *rows in deferred.values():
            with connection.cursor().copy(header.rstrip(";").encode()) as copy:
                copy.write("".join(f"{row}\n" for row in rows))
        prepare_schema(connection, create=False)
        fenced = fence_copy(PostgresSession(connection), clock(), clock_error_seconds)
        connection.execute("UPDATE ticketfeed.feed_state SET wal_timeline = DEFAULT")
        connection.execute("UPDATE ticketfeed.meta SET value = %s WHERE name = 'store_id'", (uuid.uuid4().hex,))
    return fenced


def _read_deferred(program: str, file: Path) -> dict[str, list[str]]:
    """Table -> its COPY statement and rows, in the backup. Raises StoreError when we cannot know what it holds."""
    tables = [f"--table={table}" for table in DEFERRED]
    found: dict[str, list[str]] = {}
    lines = iter(_run(program, ["--data-only", "--schema=ticketfeed", *tables, "--file=-", str(file)]).splitlines())
    for line in lines:
        if match := _COPY.fullmatch(line):
            found[match[1]] = [line, *iter(lines.__next__, "\\.")]
    if set(found) != set(DEFERRED):
        raise StoreError(f"{file} is not a backup of a ticketfeed store")
    applied = {int(row.partition("\t")[0]) for row in found["migration"][1:]}
    apply_migrations("postgres", applied, lambda _number, _name, _sql: None)  # refuses a newer store
    return {table: found[table] for table in DEFERRED}


def _restore_others(program: str, file: Path, url: str) -> None:
    excluded = tuple(f" TABLE DATA ticketfeed {table} " for table in DEFERRED)
    entries = _run(program, ["--list", str(file)]).splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("".join(f"{entry}\n" for entry in entries if not any(text in entry for text in excluded)))
        listed.flush()
        options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
        _run(program, [*options, f"--use-list={listed.name}", str(file)], url)


def _find_program(name: str, connection: psycopg.Connection[Any]) -> str:
    """The program's path. Raises StoreError where it is absent, or older than the server."""
    variable = PROGRAMS[name]
    program = shutil.which(os.environ.get(variable) or name)
    if program is None:
        raise StoreError(
            f"{name} is not on PATH: install PostgreSQL's client programs, or say {variable}=/path/to/{name}"
        )
    match = _VERSION.search(_run(program, ["--version"]))
    server = connection.info.server_version // 10000
    if match is None or int(match[1]) < server:
        found = match[1] if match else "of an unknown version"
        raise StoreError(f"{program} is {found}, the server is {server}: say {variable}=/path/to/{name} of {server}")
    return program


def _run(program: str, arguments: list[str], url: str | None = None) -> str:
    """Run a program and return its output. A password is passed in the environment: every user can read arguments."""
    environment = dict(os.environ)
    if url is not None:
        parameters = conninfo_to_dict(url)
        if password := parameters.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        arguments = [f"--dbname={make_conninfo('', **parameters)}", "--no-password", *arguments]
    try:
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        raise StoreError(f"cannot run {program}: {error.strerror or error}") from error
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.strip()), f"it ended with {done.returncode}")
        raise StoreError(f"{Path(program).name} failed: {reason.strip()}")
    return done.stdout


@contextlib.contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the database. Its errors are translated into StoreError."""
    refuse_unreadable(url)
    try:
        with psycopg.connect(
            url, autocommit=True, connect_timeout=CONNECT_SECONDS, prepare_threshold=None
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise StoreError(f"the database cannot serve: {str(error).strip().partition(chr(10))[0]}") from error
