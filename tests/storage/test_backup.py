"""check, backup and restore, on real files and a real PostgreSQL: damage is named, and a copy keeps the promise."""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from tests.citus import CitusServer
from tests.engines import EngineName
from tests.postgres import PostgresServer
from tests.storage.contract import ALL, NOON, START, ManualClock, putting, ticket, user
from ticketfeed.data.integrity_check import REPORTS_MAX, check_store
from ticketfeed.export.source import read_page
from ticketfeed.protocol.errors import StoreError
from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.storage import Store, migrations, open_store
from ticketfeed.storage.backup import backup_store, restore_store
from ticketfeed.storage.sqlite.store import SqliteStore

LAST = NOON - 1000
TICKETS = 50


def use_programs_of(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the test server's version come first on PATH."""
    monkeypatch.setenv("PATH", f"{server._server.bin_path}{os.pathsep}{os.environ['PATH']}")


class Sqlite:
    """Stores as files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def new_url(self) -> str:
        self._number += 1
        return f"sqlite:///{self.folder}/{self._number}.db"

    def execute(self, url: str, sql: str, *values: object) -> list[Any]:
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def new_store(self) -> str:
        return self.new_url()

    def release(self, url: str) -> None:
        """The store is not needed any more."""

    def is_absent(self, url: str) -> bool:
        path = Path(url.removeprefix("sqlite:///"))
        return list(path.parent.glob(f"{path.name}*")) == []


class Postgres:
    """Stores as databases of one server."""

    def __init__(self, folder: Path, server: PostgresServer | CitusServer) -> None:
        self.folder, self._server = folder, server

    def new_url(self) -> str:
        """Where no store is yet."""
        return self._server.new_database()

    def new_store(self) -> str:
        """Where a store is, empty: on Citus it is distributed."""
        return self._server.new_store()

    def release(self, url: str) -> None:
        if isinstance(self._server, CitusServer):
            self._server.take_back([url])

    def execute(self, url: str, sql: str, *values: object) -> list[Any]:
        for table in (
            "feed_state",
            "mirror",
            "kind_state",
            "ticket",
            "record",
            "credential",
            "account",
            "migration",
            "meta",
        ):
            sql = sql.replace(f" {table} ", f" ticketfeed.{table} ")
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(sql.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []

    def is_absent(self, url: str) -> bool:
        return self.execute(url, "SELECT to_regnamespace('ticketfeed')") == [(None,)]


Engine = Sqlite | Postgres


@pytest.fixture
def engine(
    engine_name: EngineName, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    if engine_name == "sqlite":
        yield Sqlite(tmp_path)
        return
    server = request.getfixturevalue(engine_name)
    if engine_name == "postgres":
        use_programs_of(server, monkeypatch)
    yield Postgres(tmp_path, server)
    if engine_name == "citus":
        server.take_back()


def nothing(_done: int, _total: int) -> None:
    """No progress bar."""


async def fill(store: Store) -> Account:
    account = await store.create_account("acme")
    drafts = [ticket(id, LAST - TICKETS + id, status="open", group_id=3) for id in range(1, TICKETS + 1)]
    await store.write(account, putting(drafts, keep=True))
    await store.write(account, lambda t: t.put_records([user(7, "a@example.com")]))
    await store.write(account, lambda t: t.add_credential(7, "api_token", "h1"))
    return account


def filled(engine: Engine) -> str:
    async def main() -> None:
        store = await open_store(url, ManualClock())
        await fill(store)
        await store.close()

    url = engine.new_store()
    asyncio.run(main())
    return url


def findings(url: str) -> list[str]:
    """What `check` prints."""

    async def main() -> list[str]:
        store = await open_store(url, ManualClock(), create=False)
        try:
            found: list[str] = []
            await store.inspect(lambda snapshot: check_store(snapshot, found.append))
            return found
        finally:
            await store.close()

    return asyncio.run(main())


BODY = ticket(3, LAST - TICKETS + 3, status="open", group_id=3).body(LAST - TICKETS + 3)
USER = user(7, "a@example.com").body

# what is done to the store -> the one line that tells it
DAMAGE: list[tuple[str, tuple[object, ...], str]] = [
    ("DELETE FROM ticket WHERE id = 3", (), "account acme: its ticket_count is 50, but it has 49 tickets"),
    (
        "UPDATE feed_state SET ticket_count = 51",
        (),
        "account acme: its ticket_count is 51, but it has 50 tickets",
    ),
    (
        "UPDATE feed_state SET watermark = watermark - 10",
        (),
        f"account acme: its watermark {LAST - 10} is more than a second before its last_generated_timestamp {LAST}",
    ),
    (
        "UPDATE feed_state SET last_generated_timestamp = last_generated_timestamp - 1",
        (),
        f"account acme: ticket 50 has second {LAST}, after the account's last_generated_timestamp {LAST - 1}",
    ),
    ("DELETE FROM feed_state WHERE account_id = 1", (), "account acme has no row in feed_state"),
    (
        "UPDATE ticket SET status = 'closed' WHERE id = 3",
        (),
        "account acme: ticket 3: its status is 'closed' in the row, but 'open' in the body",
    ),
    (
        "UPDATE ticket SET group_id = NULL WHERE id = 3",
        (),
        "account acme: ticket 3: its group_id is null in the row, but 3 in the body",
    ),
    (
        "UPDATE ticket SET user_ids = ? WHERE id = 3",
        ((5).to_bytes(8, "little"),),
        "account acme: ticket 3: its user_ids is [5] in the row, but [] in the body",
    ),
    (
        "UPDATE ticket SET generated_timestamp = generated_timestamp - 900 WHERE id = 3",
        (),
        f"account acme: ticket 3: its generated_timestamp is {LAST - 947} in the row, but {LAST - 47} in the body",
    ),
    (
        "UPDATE ticket SET id = 333 WHERE id = 3",
        (),
        "account acme: ticket 333: its id is 333 in the row, but 3 in the body",
    ),
    (
        "UPDATE ticket SET body = ? WHERE id = 3",
        (BODY[:100],),
        "account acme: ticket 3: its body cannot be read: not valid JSON: Input data was truncated",
    ),
    (
        "UPDATE ticket SET body = ? WHERE id = 3",
        (BODY.replace(b"{", b"{ ", 1),),
        "account acme: ticket 3: its body is not in the form that is stored: "
        "a key is missing, or keys are in another order",
    ),
    (
        "DELETE FROM record WHERE kind = 'users'",
        (),
        "account acme: credential 1 belongs to user 7, which does not exist",
    ),
    (
        "UPDATE record SET email = 'b@example.com' WHERE id = 7",
        (),
        "account acme: users 7: its email is 'b@example.com' in the row, but 'a@example.com' in the body",
    ),
    (
        "UPDATE record SET body = ? WHERE id = 7",
        (USER[:-1],),
        "account acme: users 7: its body cannot be read: not valid JSON: Input data was truncated",
    ),
    (
        "UPDATE record SET generated_timestamp = 2000000000 WHERE id = 7",
        (),
        "account acme: users 7 has second 2000000000, after the account's record_last_timestamp 1700000000",
    ),
    ("UPDATE migration SET name = 'x'", (), "migration 1 (x) is recorded, but unknown to this release"),
]
ORPHANS = [
    "INSERT INTO ticket (account_id, generated_timestamp, id, status, user_ids, body) "
    "SELECT 99, generated_timestamp, id, status, user_ids, body FROM ticket ",
    "INSERT INTO record (account_id, kind, id, generated_timestamp, body) SELECT 99, kind, id, 0, body FROM record ",
    "INSERT INTO credential (account_id, id, user_id, kind, secret_hash, created_at) "
    "SELECT 99, 1, 7, 'password', 'h', 0",
    "INSERT INTO feed_state (account_id) VALUES (99)",
]


def test_a_sound_store_checks_clean(engine: Engine) -> None:
    """Nothing is found in a store that nobody damaged."""
    assert findings(filled(engine)) == []


def test_damage_is_named(engine: Engine) -> None:
    """Each kind of damage is told in one line that names what is wrong and where."""
    for sql, values, expected in DAMAGE:
        url = filled(engine)
        engine.execute(url, sql, *values)
        assert expected in findings(url), sql
        engine.release(url)


def test_orphans_are_named(engine: Engine) -> None:
    """Rows of an account that is not there are told, table by table."""
    url = filled(engine)
    for sql in ORPHANS:
        engine.execute(url, sql)
    found = findings(url)
    for table, count in (("ticket", TICKETS), ("record", 1), ("credential", 1), ("feed_state", 1)):
        assert f"{table} has {count} rows of account_id 99, which does not exist" in found


def test_findings_are_bounded(engine: Engine) -> None:
    """Of one kind of damage the first twenty are told, and then how many more there are."""
    url = filled(engine)
    engine.execute(url, "UPDATE ticket SET group_id = 4 WHERE id > 5")
    found = findings(url)
    assert len(found) == REPORTS_MAX + 1
    assert found[-1] == f"tickets: {TICKETS - 5 - REPORTS_MAX} more"


def test_a_damaged_index_shows_in_sqlite(tmp_path: Path) -> None:
    """A ticket that the index by id has lost is named, by our walks and by SQLite's own check."""
    engine = Sqlite(tmp_path)
    url = filled(engine)
    hidden = engine.execute(url, "SELECT * FROM sqlite_master WHERE name = 'ticket_by_id'")[0]
    for sql, values in (
        ("DELETE FROM sqlite_master WHERE name = 'ticket_by_id'", ()),
        ("UPDATE ticket SET generated_timestamp = generated_timestamp + 0, id = 777 WHERE id = 3", ()),
        ("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", hidden),
    ):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(sql, values)
        connection.close()
    found = findings(url)
    second = LAST - TICKETS + 3
    assert f"account acme: ticket 777 of second {second} is in the feed, but not in the index by id" in found
    assert f"account acme: ticket 3 of second {second} is in the index by id, but not in the feed" in found
    assert any(line.startswith("SQLite reports: row") for line in found)


def test_a_damaged_index_shows_in_postgres(postgres: PostgresServer, tmp_path: Path) -> None:
    """A ticket that the feed's index has lost is named."""
    engine = Postgres(tmp_path, postgres)
    url = filled(engine)
    switch = "UPDATE pg_index SET indisready = ? WHERE indexrelid = 'ticketfeed.ticket_feed'::regclass"
    engine.execute(url, switch, False)
    assert "the index ticketfeed.ticket_feed is not valid; rebuild it with REINDEX" in findings(url)
    columns = "account_id, generated_timestamp, status, user_ids, body"
    engine.execute(url, f"INSERT INTO ticket (id, {columns}) SELECT 777, {columns} FROM ticket WHERE id = 3")
    engine.execute(url, switch, True)
    second = LAST - TICKETS + 3
    expected = f"account acme: ticket 777 of second {second} is in the index by id, but not in the feed"
    assert expected in findings(url)


def test_a_missing_index_is_named(engine: Engine) -> None:
    """An index that was dropped is told."""
    url = filled(engine)
    schema = "ticketfeed." if isinstance(engine, Postgres) else ""
    engine.execute(url, f"DROP INDEX {schema}record_by_email")
    assert any("record_by_email" in line and "is missing" in line for line in findings(url))


def test_an_unreadable_page_is_a_finding(tmp_path: Path) -> None:
    """Pages of noise in a file end a walk early; what is wrong is told, and the rest is still looked at."""
    engine = Sqlite(tmp_path)
    url = filled(engine)
    engine.execute(url, "DELETE FROM record WHERE kind = 'users'")
    path = Path(url.removeprefix("sqlite:///"))
    root = engine.execute(url, "SELECT rootpage FROM sqlite_master WHERE name = 'ticket'")[0][0]
    with path.open("r+b") as file:
        file.seek((root - 1) * 32768)
        file.write(b"\xff" * 32768)
    found = findings(url)
    assert any(line.startswith("SQLite reports: ") for line in found)
    assert any(line.startswith("account acme: reading the tickets ended early") for line in found)
    assert "account acme: credential 1 belongs to user 7, which does not exist" in found


class Reader:
    """Walks the feed and keeps its cursor; what it was given last, by ticket."""

    def __init__(self) -> None:
        self.after = START
        self.seen: dict[int, bytes] = {}

    async def walk(self, store: Store, account: Account, now: int) -> None:
        while True:
            request = ExportRequest(self.after, 10, ALL, (), ())
            page = await read_page(store, account, request, now=now, settle_seconds=0)
            self.seen |= {row[1]: row[2] for row in page.rows}
            self.after = Position(*page.after)
            if page.end_of_stream:
                return


async def write_until(store: Store, account: Account, clock: ManualClock, done: "asyncio.Future[Any]") -> int:
    """Write on until `done`, the clock moving now and then; returns how many writes there were."""
    count = 0
    while not done.done() or count < 20:
        clock.now += count % 3 == 0
        await store.write(account, putting([ticket(1000 + count), ticket(count % TICKETS + 1, subject=str(count))]))
        count += 1
        await asyncio.sleep(0)
    return count


async def backup_while_busy(url: str, file: Path, reader: Reader, clock: ManualClock) -> None:
    """Fill a store, copy it while a writer is busy, write on, and have `reader` read to the end of all that."""
    store = await open_store(url, clock)
    account = await fill(store)
    copying = asyncio.ensure_future(asyncio.to_thread(backup_store, url, file, nothing))
    await write_until(store, account, clock, copying)
    await copying
    for number in range(30):
        clock.now += 1
        await store.write(account, putting([ticket(5000 + number)]))
    clock.now += 1
    await reader.walk(store, account, clock.now)
    assert len([id for id in reader.seen if id >= 5000]) == 30
    await store.close()


async def write_anew_and_read(url: str, clock: ManualClock, reader: Reader) -> list[int]:
    """New writes on the restored store; returns those that the reader misses, which goes on from its cursor."""
    store = await open_store(url, clock, create=False)
    account = await store.create_account("acme")
    expected = {}
    for number in (1, 2, 9000, 9001, 9002):
        draft = ticket(number, subject="after the restore")
        await store.write(account, putting([draft]))
        expected[number] = draft
        await reader.walk(store, account, clock.now)
        clock.now += 1
    clock.now += 3600
    await reader.walk(store, account, clock.now)
    await store.close()
    return [id for id in expected if b"after the restore" not in reader.seen.get(id, b"")]


@pytest.mark.parametrize("behind", [0, 3, 5, -600])
def test_a_reader_misses_nothing_after_a_restore(engine: Engine, behind: int) -> None:
    """A cursor taken after the backup goes on in the restored store and meets every new write.

    Also when the clock there is behind by as much as the clock error that was allowed for.
    """
    reader, clock = Reader(), ManualClock()
    file, url = engine.folder / "backup", engine.new_url()
    asyncio.run(backup_while_busy(engine.new_store(), file, reader, clock))
    clock.now -= behind
    [(account, state)] = restore_store(url, file, 5, nothing, clock)
    assert (account.subdomain, state.watermark) == ("acme", clock.now + 5)
    assert findings(url) == []
    assert asyncio.run(write_anew_and_read(url, clock, reader)) == []


def test_without_a_fence_it_would_miss_some(tmp_path: Path) -> None:
    """The story above has teeth: in a copy that was not fenced, with the clock behind, the reader misses a write."""
    reader, clock = Reader(), ManualClock()
    asyncio.run(backup_while_busy(Sqlite(tmp_path).new_url(), tmp_path / "backup", reader, clock))
    shutil.copy(tmp_path / "backup", tmp_path / "copy.db")
    clock.now -= 5
    assert asyncio.run(write_anew_and_read(f"sqlite:///{tmp_path}/copy.db", clock, reader)) != []


def test_a_backup_is_of_one_instant(engine: Engine) -> None:
    """A backup taken while a writer is busy restores to a store in which everything agrees."""
    clock, url = ManualClock(), engine.new_url()
    asyncio.run(backup_while_busy(engine.new_store(), engine.folder / "backup", Reader(), clock))
    restore_store(url, engine.folder / "backup", 5, nothing, clock)
    count = engine.execute(url, "SELECT ticket_count FROM feed_state ")[0][0]
    assert count >= TICKETS
    assert engine.execute(url, "SELECT count(*) FROM ticket ") == [(count,)]


def test_a_restored_store_has_an_id_of_its_own(engine: Engine) -> None:
    """The copy may go another way, so its ETags must not be those of the store it was made from."""
    source, url = filled(engine), engine.new_url()
    backup_store(source, engine.folder / "backup", nothing)
    restore_store(url, engine.folder / "backup", 5, nothing)
    ids = [engine.execute(each, "SELECT value FROM meta WHERE name = 'store_id'")[0][0] for each in (source, url)]
    assert ids[0] != ids[1]
    assert all(len(id) == 32 for id in ids)


def test_accounts_without_tickets_are_fenced(engine: Engine) -> None:
    """An account that the backup holds no ticket of is fenced as well: it may have had some since."""

    async def main() -> None:
        store = await open_store(source, ManualClock())
        await store.create_account("acme")
        await store.close()

    source, url = engine.new_store(), engine.new_url()
    asyncio.run(main())
    backup_store(source, engine.folder / "backup", nothing)
    [(_, state)] = restore_store(url, engine.folder / "backup", 7, nothing, ManualClock())
    assert state.watermark == NOON + 7


def test_a_backup_overwrites_nothing(engine: Engine) -> None:
    """A file that is there is refused and left as it is; so is a part that somebody else is writing."""
    url = filled(engine)
    for name, there, message in (("a", "a", "already exists"), ("b", "b.part", "another process is writing it")):
        (engine.folder / there).write_bytes(b"mine")
        with pytest.raises(StoreError, match=message):
            backup_store(url, engine.folder / name, nothing)
        assert (engine.folder / there).read_bytes() == b"mine"
    assert not (engine.folder / "b").exists()


def test_a_store_is_not_restored_over(engine: Engine) -> None:
    """Where a store is, none is restored, and it stays as it was."""
    source, url = filled(engine), filled(engine)
    backup_store(source, engine.folder / "backup", nothing)
    before = engine.execute(url, "SELECT * FROM meta ")
    with pytest.raises(StoreError, match=r"already exists|has a schema"):
        restore_store(url, engine.folder / "backup", 5, nothing)
    assert engine.execute(url, "SELECT * FROM meta ") == before


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    "spoil",
    [Path.unlink, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"text\n" * 1000), _cut],
    ids=["absent", "empty", "another", "cut"],
)
def test_a_bad_backup_leaves_nothing(engine: Engine, spoil: Callable[[Path], None]) -> None:
    """A file that is no whole backup is refused in one line, and no half store is left."""
    file, url = engine.folder / "backup", engine.new_url()
    backup_store(filled(engine), file, nothing)
    spoil(file)
    with pytest.raises(StoreError) as caught:
        restore_store(url, file, 5, nothing)
    assert "\n" not in str(caught.value)
    assert engine.is_absent(url)


def test_a_newer_backup_is_refused(engine: Engine) -> None:
    """A backup that a newer release made is refused before anything is made of it."""
    source, file, url = filled(engine), engine.folder / "backup", engine.new_url()
    if isinstance(engine, Sqlite):  # a release refuses to back up what it does not know, too
        backup_store(source, file, nothing)
        engine.execute(f"sqlite:///{file}", "INSERT INTO migration VALUES (9999, 'future')")
    else:
        engine.execute(source, "INSERT INTO migration VALUES (9999, 'future')")
        backup_store(source, file, nothing)
    with pytest.raises(StoreError, match="newer ticketfeed"):
        restore_store(url, file, 5, nothing)
    assert engine.is_absent(url)


def test_a_failure_behind_pg_restore_leaves_nothing(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the fence cannot be set, what pg_restore has made is taken away again."""
    use_programs_of(postgres, monkeypatch)
    engine = Postgres(tmp_path, postgres)
    url = engine.new_url()
    backup_store(filled(engine), tmp_path / "backup", nothing)

    def broken_clock() -> int:
        # What a process meets that starts at this very moment: no store that it could open.
        assert engine.execute(url, "SELECT count(*) FROM ticket ") == [(TICKETS,)]
        assert engine.execute(url, "SELECT count(*) FROM feed_state ") == [(0,)]
        assert engine.execute(url, "SELECT count(*) FROM meta ") == [(5,)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_store(url, tmp_path / "backup", 5, nothing, broken_clock)
    assert engine.is_absent(url)


def test_a_failure_before_the_name_leaves_nothing(tmp_path: Path) -> None:
    """When the fence cannot be set, no file is left behind."""
    engine = Sqlite(tmp_path)
    url = engine.new_url()
    backup_store(filled(engine), tmp_path / "backup", nothing)
    target = engine.new_url()

    def broken_clock() -> int:
        assert Path(f"{target.removeprefix('sqlite:///')}.part").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_store(target, tmp_path / "backup", 5, nothing, broken_clock)
    assert engine.is_absent(target)
    assert engine.is_absent(url)


def test_the_copy_is_one_clean_file(tmp_path: Path) -> None:
    """An SQLite backup is one file without a log that only its owner can read, whatever the mode of the store; it
    can be read where nothing can be written."""
    engine = Sqlite(tmp_path)
    source = filled(engine)
    Path(source.removeprefix("sqlite:///")).chmod(0o644)
    folder = tmp_path / "backups"
    folder.mkdir()
    backup_store(source, folder / "b.db", nothing)
    assert [path.name for path in folder.iterdir()] == ["b.db"]
    assert stat.S_IMODE((folder / "b.db").stat().st_mode) == 0o600
    connection = apsw.Connection(str(folder / "b.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.execute("PRAGMA journal_mode").get == "delete"
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    connection.close()
    assert [path.name for path in folder.iterdir()] == ["b.db"]


def test_an_empty_file_may_become_the_store(tmp_path: Path) -> None:
    """A file of no bytes, as mktemp makes it, counts as no store; an old log beside it does not."""
    engine = Sqlite(tmp_path)
    backup_store(filled(engine), tmp_path / "backup", nothing)
    target = tmp_path / "new.db"
    target.touch()
    stale = tmp_path / "new.db-wal"
    stale.write_bytes(b"an old log")
    with pytest.raises(StoreError, match="left over from an earlier"):
        restore_store(f"sqlite:///{target}", tmp_path / "backup", 5, nothing)
    assert stale.read_bytes() == b"an old log"
    stale.unlink()
    restore_store(f"sqlite:///{target}", tmp_path / "backup", 5, nothing)
    assert findings(f"sqlite:///{target}") == []


def test_an_old_backup_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of an older release is brought to the current schema before it gets its name."""
    engine = Sqlite(tmp_path)
    backup_store(filled(engine), tmp_path / "backup", nothing)
    known = migrations.load_migrations("sqlite")
    number = known[-1][0] + 1
    later = (number, f"{number:04}_more.sql", "CREATE TABLE more (x)")
    monkeypatch.setattr(migrations, "load_migrations", lambda _dialect: [*known, later])
    url = engine.new_url()
    restore_store(url, tmp_path / "backup", 5, nothing)
    assert engine.execute(url, "SELECT number FROM migration ") == [(each[0],) for each in (*known, later)]
    assert engine.execute(url, "SELECT count(*) FROM more") == [(0,)]


@contextlib.contextmanager
def program(path: Path, text: str) -> Iterator[str]:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    yield str(path)


def test_programs_that_cannot_do_it(postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pg_dump or pg_restore that is absent, older than the server, or fails is told in one line."""
    engine = Postgres(tmp_path, postgres)
    url, file = filled(engine), tmp_path / "backup"
    file_there = tmp_path / "there"
    file_there.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="pg_dump is not on PATH"):
        backup_store(url, file, nothing)
    with pytest.raises(StoreError, match="pg_restore is not on PATH"):
        restore_store(url, file_there, 5, nothing)
    with program(tmp_path / "old", "echo 'pg_dump (PostgreSQL) 12.4'") as old:
        monkeypatch.setenv("PG_DUMP", old)
        with pytest.raises(StoreError, match="is 12, the server is"):
            backup_store(url, file, nothing)
    with program(tmp_path / "new", "echo 'pg_restore (PostgreSQL) 17.1'") as new, monkeypatch.context() as patch:
        patch.setattr(psycopg.ConnectionInfo, "server_version", 160_004)
        patch.setenv("PG_RESTORE", new)
        with pytest.raises(StoreError, match="is 17, the server is 16: say PG_RESTORE=/path/to/pg_restore of 16"):
            restore_store(engine.new_url(), file_there, 5, nothing)
    failing = '[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit; echo "no: $PGPASSWORD $1" >&2; exit 1'
    with program(tmp_path / "failing", failing) as bad:
        monkeypatch.setenv("PG_DUMP", bad)
        with pytest.raises(StoreError, match="failing failed: no: "):
            backup_store(url, file, nothing)
    assert not file.exists()
    assert not (tmp_path / "backup.part").exists()


def test_the_password_is_no_argument(postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's password reaches pg_dump by the environment, where other users do not see it."""
    engine = Postgres(tmp_path, postgres)
    text = '[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit; echo "$PGPASSWORD; $*" >&2; exit 1'
    url = filled(engine)
    url += ("&" if "?" in url else "?") + "password=hush"
    with program(tmp_path / "telling", text) as telling:
        monkeypatch.setenv("PG_DUMP", telling)
        monkeypatch.setenv("PATH", os.environ["PATH"])
        with pytest.raises(StoreError) as caught:
            backup_store(url, tmp_path / "backup", nothing)
    environment, _, arguments = str(caught.value).partition("; ")
    assert environment.endswith("hush")
    assert "--schema=ticketfeed" in arguments
    assert "hush" not in arguments


def test_no_care_in_memory(tmp_path: Path) -> None:
    """A store in memory is refused, and so is a URL that names no store."""
    for url, message in (("memory:", "no backup"), ("mysql://x", "unknown store URL scheme 'mysql'")):
        with pytest.raises(StoreError, match=message):
            backup_store(url, tmp_path / "b", nothing)
        with pytest.raises(StoreError, match=message):
            restore_store(url, tmp_path / "b", 5, nothing)


def test_a_store_that_is_not_there(engine: Engine) -> None:
    """Where there is no store, a backup says so and makes neither a store nor a file."""
    url = engine.new_url()
    with pytest.raises(StoreError, match="there is no store"):
        backup_store(url, engine.folder / "b", nothing)
    assert engine.is_absent(url)
    assert not (engine.folder / "b").exists()


def test_a_large_backup_moves_in_steps(tmp_path: Path) -> None:
    """The progress of a copy is told up to the last page, and a writer between two steps does not start it again."""

    async def main() -> list[tuple[int, int]]:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        drafts = [ticket(id, description="x" * 30_000) for id in range(1, 1500)]
        await store.write(account, putting(drafts, keep=True))
        told: list[tuple[int, int]] = []

        def advance(done: int, total: int) -> None:
            told.append((done, total))
            other = apsw.Connection(str(tmp_path / "t.db"))
            other.set_busy_timeout(10_000)
            other.execute("UPDATE feed_state SET watermark = watermark + 1")
            other.close()

        await asyncio.to_thread(backup_store, f"sqlite:///{tmp_path}/t.db", tmp_path / "b", advance)
        await store.close()
        return told

    told = asyncio.run(main())
    assert len(told) >= 2
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1][0] == told[-1][1]
