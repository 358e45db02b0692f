"""The file of an SQLite store: creating it, migrating it, connecting to it, and translating its errors."""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import apsw

from ticketfeed.protocol.errors import StoreError, StoreUnavailable
from ticketfeed.storage.lookup_fill import LOOKUP_MIGRATION, READ_NAMED, WRITE_KEY, make_lookup_keys
from ticketfeed.storage.migrations import (
    CREATE_MIGRATION_TABLE,
    additive_numbers,
    apply_migrations,
    is_current,
    parse_additive,
)
from ticketfeed.storage.queries import SQLITE, translate
from ticketfeed.storage.search_fill import build_search_index, needs_search_index
from ticketfeed.storage.sqlite.file_id import new_file_id, refuse_foreign_log
from ticketfeed.storage.sqlite.search_index import write_entries
from ticketfeed.storage.sqlite.session import QUERIES, SqliteSession

__all__ = [
    "APPLICATION_ID",
    "PAGE_BYTES",
    "PRIVATE_MODE",
    "connect",
    "connect_reader",
    "create_private",
    "explain",
    "prepare",
    "put_file_id",
    "read_applied",
    "snapshot",
    "transaction",
    "translated",
    "use_write_ahead_log",
]

# "tkfd": marks the file as ours, so that the database of another program is never migrated.
APPLICATION_ID = 0x746B6664
# A ticket takes 2 to 3 KB. With the default 4 KB pages, reading takes twice the time and half as much disk again.
PAGE_BYTES = 32768
# The write-ahead log is truncated to this after a large load.
WAL_BYTES_MAX = 64 * 1024 * 1024
RETRY_SECONDS = 0.01
# A store holds hashes of credentials, and what people wrote.
PRIVATE_MODE = 0o600


def prepare(path: Path, busy_seconds: float) -> None:
    """Create the file or check it, and apply missing migrations. A current file is not written to, so that a backup can
    be opened without changing it."""
    if path.is_dir():
        raise StoreError(f"{path} is a directory, not a file")
    create_private(path)
    refuse_foreign_log(path)
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(round(busy_seconds * 1000))
        if connection.execute("SELECT count(*) FROM sqlite_master").get == 0:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            with transaction(connection):  # in the file itself, before there is a log
                put_file_id(connection)
            use_write_ahead_log(connection, busy_seconds)
        elif connection.execute("PRAGMA application_id").get != APPLICATION_ID:
            raise StoreError(f"{path} is a database of another program, not a ticketfeed store")
        if not _is_current(connection):  # read first: a load may hold the write lock for minutes
            with transaction(connection):
                _migrate(connection)
    finally:
        connection.close()


def put_file_id(connection: apsw.Connection, *, anew: bool = False) -> int:
    """Store the file's id, in a transaction; another one if `anew`. Returns it."""
    number = 0 if anew else int(connection.execute("PRAGMA user_version").get)
    number = number or new_file_id()
    connection.execute(f"PRAGMA user_version = {number}")
    return number


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, unless it exists. SQLite gives its logs the same mode.

    An existing file is not opened: closing it would release the locks that this process has on it.
    """
    with contextlib.suppress(OSError):  # it exists; or SQLite finds the same reason in a moment, and tells it
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, PRIVATE_MODE))


def use_write_ahead_log(connection: apsw.Connection, busy_seconds: float) -> None:
    """Switch the file to WAL mode, in which readers and the writer never wait for each other; it lasts.

    If two processes create one file, SQLite refuses this to the second at once, whatever its busy timeout; so it is
    repeated here, and does not wait by itself."""
    deadline = time.monotonic() + busy_seconds
    connection.set_busy_timeout(0)
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
    connection.set_busy_timeout(round(busy_seconds * 1000))


def _is_current(connection: apsw.Connection) -> bool:
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'migration'").get == 0:
        return False
    return is_current("sqlite", *read_applied(connection)) and not needs_search_index(SqliteSession(connection))


def read_applied(connection: apsw.Connection) -> tuple[set[int], set[int]]:
    """The numbers of the migrations that a store has, and of those that a release may lack."""
    applied = {number for (number,) in connection.execute("SELECT number FROM migration")}
    return applied, parse_additive(connection.execute(QUERIES["read_additive"]).get if applied else None)


def _migrate(connection: apsw.Connection) -> None:
    connection.execute(translate(SQLITE, CREATE_MIGRATION_TABLE))
    applied, additive = read_applied(connection)

    def apply(number: int, name: str, sql: str) -> None:
        connection.execute(sql)
        connection.execute("INSERT INTO migration (number, name) VALUES (?, ?)", (number, name))
        if name == LOOKUP_MIGRATION:
            rows = connection.execute(translate(SQLITE, READ_NAMED)).fetchall()
            connection.executemany(translate(SQLITE, WRITE_KEY), make_lookup_keys(rows))

    apply_migrations("sqlite", applied, additive, apply)
    session = SqliteSession(connection)
    session.execute("write_additive", {"value": additive_numbers("sqlite", read_applied(connection)[0], additive)})
    if needs_search_index(session):
        build_search_index(session, lambda account_id, new: write_entries(connection, QUERIES, account_id, {}, new))
    if not applied:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("INSERT INTO meta (name, value) VALUES ('store_id', ?)", (uuid.uuid4().hex,))


def connect(path: Path, busy_seconds: float, cache_kib: int) -> apsw.Connection:
    """A connection to the file, which must exist."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(round(busy_seconds * 1000))
    # Without it a statement is compiled again whenever a value is bound that a plan might depend on: a tenth of a read.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in (
        "synchronous = FULL",
        "secure_delete = ON",  # what is deleted or replaced is overwritten with zeros
        f"cache_size = -{cache_kib}",
        "mmap_size = 0",
        f"journal_size_limit = {WAL_BYTES_MAX}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_reader(path: Path, busy_seconds: float, cache_kib: int) -> apsw.Connection:
    """A connection that only reads, to a file that others have open.

    The file may be replaced while it is opened: closing it writes nothing of the log into the new one.
    """
    connection = connect(path, busy_seconds, cache_kib)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


@contextlib.contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """A read transaction: everything in it is of one instant, that of its first read."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """A write transaction. It takes the write lock at once: one that reads first could be refused it later."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk makes SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate SQLite's errors into StoreUnavailable, with the original as the cause."""
    try:
        yield
    except apsw.Error as error:
        raise StoreUnavailable(f"the store {path} cannot serve: {explain(error)}") from error


def explain(error: apsw.Error) -> str:
    """The reason of an error, for an operator."""
    reasons: dict[type[apsw.Error], str] = {
        apsw.BusyError: "another process holds the write lock",
        apsw.FullError: "the disk is full",
        apsw.ReadOnlyError: "the file or its folder is read-only",
        apsw.CantOpenError: "the file cannot be opened or created; does its folder exist, and is it writable?",
        apsw.NotADBError: "it is not an SQLite database",
        apsw.CorruptError: "the file is damaged",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), str(error))
