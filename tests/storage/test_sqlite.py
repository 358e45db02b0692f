"""The SQLite store keeps the contract, and what only a file can: it lasts, is ours, and is shared."""

import asyncio
import contextlib
import itertools
import re
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import msgspec
import pytest

from tests.storage.contract import NOON, START, ManualClock, putting, ticket
from tests.storage.engine_contract import EngineContract
from tests.storage.search_contract import found
from ticketfeed.protocol.errors import BadInput, StoreError, StoreUnavailable
from ticketfeed.protocol.model import Account, Slice, TicketList
from ticketfeed.protocol.rate_limits import RateLimit
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.rows import ChangeRow
from ticketfeed.storage.contract import Store
from ticketfeed.storage.queries import load_migrations
from ticketfeed.storage.sqlite.file import APPLICATION_ID, PAGE_BYTES
from ticketfeed.storage.sqlite.session import QUERIES
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction


class TestSqlite(EngineContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self._names = (tmp_path / f"{number}.db" for number in itertools.count())

    async def open_store(self, clock: ManualClock) -> Store:
        return SqliteStore.open(next(self._names), clock)


def test_pragmas(tmp_path: Path) -> None:
    """The file is in WAL mode with large pages, marked as ours; writes wait for the disk."""
    path = tmp_path / "t.db"
    store = SqliteStore.open(path, ManualClock())
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA journal_mode").get == "wal"
    assert connection.execute("PRAGMA page_size").get == PAGE_BYTES
    assert connection.execute("PRAGMA application_id").get == APPLICATION_ID
    assert store._writer.connection.execute("PRAGMA synchronous").get == 2
    connection.close()
    asyncio.run(store.close())


def test_reopening_keeps_everything(tmp_path: Path) -> None:
    """Closed and opened again, the store has the same id, accounts, state and tickets."""

    async def main() -> None:
        first = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await first.create_account("acme")
        await first.write(account, putting([ticket(1)]))
        state = await first.read_state(account)
        await first.close()
        await first.close()
        second = SqliteStore.open(tmp_path / "t.db", ManualClock(), create=False)
        assert second.store_id == first.store_id
        assert await second.list_accounts() == [account]
        assert await second.read_state(account) == state
        await second.close()

    asyncio.run(main())


def test_migrations_are_recorded_once(tmp_path: Path) -> None:
    """Each migration is applied and recorded once, however often the store is opened."""
    for _ in range(2):
        asyncio.run(SqliteStore.open(tmp_path / "t.db", ManualClock()).close())
    connection = apsw.Connection(str(tmp_path / "t.db"))
    recorded = connection.execute("SELECT number, name FROM migration").fetchall()
    connection.close()
    assert recorded == [(number, name) for number, name, _ in load_migrations("sqlite")]


def _foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def _newer(path: Path) -> None:
    asyncio.run(SqliteStore.open(path, ManualClock()).close())
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO migration VALUES (9999, '9999_future.sql')")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_foreign, "another program"),
        (_newer, "newer ticketfeed"),
        (lambda path: path.write_bytes(b"hello, this is some text\n" * 100), "not an SQLite database"),
        (lambda path: path.mkdir(), "is a directory, not a file"),
    ],
)
def test_what_is_not_our_store(tmp_path: Path, prepare: Callable[[Path], None], message: str) -> None:
    """A file that is not ours, or newer than we are, is refused with the reason, and left as it is."""
    path = tmp_path / "t.db"
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=message):
        SqliteStore.open(path, ManualClock())
    assert before is None or path.read_bytes() == before


def test_missing_store(tmp_path: Path) -> None:
    """A missing file is an error when it must be there, and so is a missing folder; nothing is made."""
    with pytest.raises(StoreError, match="there is no store"):
        SqliteStore.open(tmp_path / "t.db", ManualClock(), create=False)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(tmp_path / "no" / "t.db", ManualClock())
    assert list(tmp_path.iterdir()) == []


def test_another_process_holds_the_lock(tmp_path: Path) -> None:
    """While another connection writes, reads go on, closing gives up at once, and a write ends in a clear error."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", clock := ManualClock(), busy_seconds=0.1)
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(1)]))
        clock.now += 1
        other = apsw.Connection(str(tmp_path / "t.db"))
        other.execute("BEGIN IMMEDIATE")
        assert (await store.read_state(account)).last_generated_timestamp == NOON
        assert not await store.close_newest(account)
        with pytest.raises(StoreUnavailable, match="write lock"):
            await store.write(account, putting([ticket(2)]))
        other.execute("ROLLBACK")
        other.close()
        assert await store.close_newest(account)
        await store.close()

    asyncio.run(main())


def test_waiting_for_the_lock_is_bounded_as_a_whole(tmp_path: Path) -> None:
    """Each write and job waits once, from when it was asked for, however many wait before it."""

    async def refused(work: Awaitable[object], after: float) -> float:
        await asyncio.sleep(after)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="write lock"):
            await work
        return time.monotonic() - began

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock(), busy_seconds=1.0)
        account = await store.create_account("acme")
        with contextlib.closing(apsw.Connection(str(tmp_path / "t.db"))) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = [refused(store.write(account, putting([ticket(number)])), number * 0.1) for number in range(1, 5)]
            waited = await asyncio.gather(
                *asked, refused(store.fence(account, 5), 0.05), refused(store.fence(account, 5), 0.2)
            )
            other.execute("ROLLBACK")
        assert max(waited) < 2.0
        await store.write(account, putting([ticket(9)]))
        await store.close()

    asyncio.run(main())


LONG_READS: dict[str, Callable[[SqliteStore, Account], Awaitable[object]]] = {
    "list_tickets": lambda store, account: store.list_tickets(account, TicketList(), Slice(10)),
    "count_tickets": lambda store, account: store.count_tickets(account, TicketList()),
    "list_records": lambda store, account: store.list_records(account, "users", Slice(10)),
    "count_records": lambda store, account: store.count_records(account, "users"),
    "count_comments": lambda store, account: store.count_comments(account, [1]),
    "count_incidents": lambda store, account: store.count_incidents(account, [1]),
    "list_aged": lambda store, account: store.list_aged(account, "solved", START, NOON, 10),
    "read_consumers": lambda store, account: store.read_consumers(account),
    "inspect": lambda store, _account: store.inspect(lambda snapshot: list(snapshot.accounts())),
}


@pytest.mark.parametrize("name", LONG_READS)
def test_long_reads_leave_the_event_loop_alone(name: str, tmp_path: Path) -> None:
    """Whatever may read many rows does so in a thread that is made for it."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        before = set(threading.enumerate())
        await LONG_READS[name](store, account)
        (made,) = set(threading.enumerate()) - before
        assert made.name.startswith(("sqlite-reader", "sqlite-inspector"))
        await store.close()

    asyncio.run(main())


def test_which_write_gets_which_error(tmp_path: Path) -> None:
    """In a group whose commit fails, a write that was refused gets its own error, and every other one the engine's."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        is_running, is_queued = threading.Event(), threading.Event()

        def wait(_write: WriteTransaction) -> None:
            is_running.set()
            assert is_queued.wait(30)

        def refused(_write: WriteTransaction) -> None:
            raise BadInput("refused")

        def broken(_write: WriteTransaction) -> None:
            store._writer.connection.execute("SELECT * FROM nowhere")

        first = asyncio.create_task(store.write(account, wait))
        assert await asyncio.to_thread(is_running.wait, 30)
        works = [putting([ticket(1)]), refused, putting([ticket(2)]), broken]
        group = [asyncio.create_task(store.write(account, work)) for work in works]
        await asyncio.sleep(0)  # all of them are queued, in this order
        is_queued.set()
        errors = await asyncio.gather(*group, return_exceptions=True)
        assert [type(error) for error in errors] == [StoreUnavailable, BadInput, StoreUnavailable, StoreUnavailable]
        await first
        assert await store.read_tickets(account, [1, 2]) == []
        await store.close()

    asyncio.run(main())


def test_a_page_is_one_range_read(tmp_path: Path) -> None:
    """The query of a page searches the clustered key; nothing is sorted, and no row is looked up apart."""
    store = SqliteStore.open(tmp_path / "t.db", ManualClock())
    names = ("account_id", "after_timestamp", "after_id", "until", "exclude_deleted", "scope", "limit")
    plan = store._reader.execute(
        "EXPLAIN QUERY PLAN " + QUERIES.select("read_changes", ChangeRow), dict.fromkeys(names, 0)
    ).fetchall()
    assert len(plan) == 1
    assert "SEARCH ticket USING PRIMARY KEY" in plan[0][3]
    asyncio.run(store.close())


def test_the_stamp_knows_other_processes(tmp_path: Path) -> None:
    """What another opening of the same file commits changes the stamp of this one."""

    async def main() -> None:
        stores = [SqliteStore.open(tmp_path / "t.db", ManualClock()) for _ in range(2)]
        account = await stores[0].create_account("acme")
        before = stores[1].change_counter()
        await stores[0].write(account, putting([ticket(1)]))
        assert stores[1].change_counter() != before
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_the_sidecar_of_an_older_release_is_renamed(tmp_path: Path) -> None:
    """FILE-beside becomes FILE-sidecar with all that is in it; where both are there, the newer one is used."""

    async def count_request(times: int) -> int:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        for _ in range(times):
            result = await store.count_request(account, [RateLimit("account_requests", 100, 60)], NOON)
        await store.close()
        (_, remaining, _) = result.left["account_requests"]
        return remaining

    path, old = tmp_path / "t.db-sidecar", tmp_path / "t.db-beside"
    assert asyncio.run(count_request(3)) == 97
    path.rename(old)
    assert asyncio.run(count_request(1)) == 96
    assert (path.exists(), old.exists()) == (True, False)
    old.write_bytes(b"made again by a process of the older release")
    assert asyncio.run(count_request(1)) == 95


def test_a_sidecar_is_renamed_with_its_journal(tmp_path: Path) -> None:
    """The journal that a killed process left is renamed with the file, which cannot be rolled back without it."""
    asyncio.run(SqliteStore.open(tmp_path / "t.db", ManualClock()).close())
    for name in ("t.db-beside", "t.db-beside-journal"):
        (tmp_path / name).write_bytes(b"")
    asyncio.run(SqliteStore.open(tmp_path / "t.db", ManualClock()).close())
    assert {path.name for path in tmp_path.iterdir()} == {"t.db", "t.db-sidecar", "t.db-sidecar-journal"}


def test_the_search_index_of_an_older_store(tmp_path: Path) -> None:
    """A store whose index was not filled yet is filled when it is opened, and finds as if it always had been."""

    async def main() -> None:
        path = tmp_path / "t.db"
        store = SqliteStore.open(path, ManualClock())
        account = await store.create_account("acme")
        await store.write(account, putting([ticket(id, subject="paper") for id in range(1, 600)]))
        await store.close()
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            connection.execute("DELETE FROM search_entry; INSERT INTO search_text (search_text) VALUES ('delete-all')")
            connection.execute("UPDATE meta SET value = '0' WHERE name = 'search_index_version'")
        store = SqliteStore.open(path, ManualClock())
        assert await found(store, account, "paper") == list(range(1, 600))
        await store.close()

    asyncio.run(main())


def test_erased_words_leave_no_bytes_between_pages(tmp_path: Path) -> None:
    """A word that a page of the index began with is nowhere in the file either, once its user was erased."""
    path = tmp_path / "t.db"

    def put(id: int, name: str) -> RecordDraft:
        return parse_record("users", msgspec.json.encode({"id": id, "name": name}), account="acme", now=NOON)

    def begins() -> list[int]:
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            terms = [bytes(term) for (term,) in connection.execute("SELECT term FROM search_text_idx WHERE term <> ''")]
        return [int(term[-3:]) for term in terms if re.fullmatch(rb"0xyzzy\d{3}", term)]

    async def scenario() -> None:
        store = SqliteStore.open(path, ManualClock())
        account = await store.create_account("acme")
        store._writer.connection.execute("INSERT INTO search_text (search_text, rank) VALUES ('pgsz', 64)")
        await store.write(account, lambda write: write.put_records([put(id, f"xyzzy{id}") for id in range(100, 400)]))
        ids = begins()[::2]
        words = [f"xyzzy{id}".encode() for id in ids]
        assert words

        def erase(write: WriteTransaction) -> None:
            write.put_records([put(id, "gone") for id in ids])
            write.erase_copies(lambda body: body)

        await store.write(account, erase)
        content = path.read_bytes() + (tmp_path / "t.db-wal").read_bytes()
        assert [word for word in words if word in content] == []
        assert len(await found(store, account, "xyzzy*")) == 300 - len(ids)
        await store.close()

    asyncio.run(scenario())


def test_removed_words_leave_no_bytes(tmp_path: Path) -> None:
    """A word that no ticket has any more is nowhere in the index."""

    async def main() -> None:
        path = tmp_path / "t.db"
        store = SqliteStore.open(path, ManualClock())
        account = await store.create_account("acme")
        for subject in ("xyzzyword here", "gone"):
            drafts = [ticket(id, subject=subject) for id in range(1, 300)]
            await store.write(account, putting(drafts))
            with contextlib.closing(apsw.Connection(str(path))) as connection:
                blocks = b"".join(block for (block,) in connection.execute("SELECT block FROM search_text_data"))
            assert (b"xyzzyword" in blocks) == (subject != "gone")
        await store.close()

    asyncio.run(main())


def test_a_file_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that was about to open it neither writes the log of the old file into the new one, nor removes it."""

    async def main() -> None:
        store = SqliteStore.open(tmp_path / "t.db", ManualClock())
        account = await store.create_account("acme")
        other = SqliteStore.open(tmp_path / "other.db", ManualClock())
        await other.create_account("other")
        await other.close()
        await store.write(account, putting([ticket(1)]))
        log = (tmp_path / "t.db-wal").read_bytes()
        (tmp_path / "other.db").replace(tmp_path / "t.db")
        expected = (tmp_path / "t.db").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(store._file_id, "refuse_replaced", lambda: None)  # as looked at a moment ago
            for read in (
                lambda: store.inspect(lambda snapshot: list(snapshot.accounts())),
                lambda: store.count_tickets(account, TicketList()),
            ):
                with contextlib.suppress(StoreError, StoreUnavailable):
                    await read()
        await store.close()
        assert (tmp_path / "t.db").read_bytes() == expected
        assert (tmp_path / "t.db-wal").read_bytes() == log

    asyncio.run(main())
