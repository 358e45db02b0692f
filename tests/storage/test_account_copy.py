"""Whole accounts between stores: a copy is equal in every table, seen only when whole, and cursors go on with it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engines import ENGINES, EngineName, sqlite_url
from tests.postgres import PostgresServer
from tests.storage.contract import NOON, ManualClock, putting, ticket, user
from tests.storage.mirror_contract import copying
from tests.storage.moving import move_while_written
from tests.storage.oauth_contract import CLIENT, token
from tests.storage.saved_contract import changes, organization, problems
from tests.storage.search_contract import found
from tests.storage.usage_contract import noted
from tests.storage.usage_contract import request as a_request
from ticketfeed.data.saved_accounts import save_account
from ticketfeed.protocol.errors import AccountFrozen, BadInput, StoreError, StoreUnavailable
from ticketfeed.protocol.idempotency import IdempotentAnswer
from ticketfeed.protocol.mirrors import Lease
from ticketfeed.protocol.model import Account, Position
from ticketfeed.protocol.moved_clock import MovedClock
from ticketfeed.protocol.oauth import AuthorizationCode
from ticketfeed.protocol.records import parse_record
from ticketfeed.storage import account_copy, open_store, sql_accounts
from ticketfeed.storage.account_copy import copy_account
from ticketfeed.storage.account_file import open_account_file, write_account_file
from ticketfeed.storage.account_row import StateRow
from ticketfeed.storage.contract import Store
from ticketfeed.storage.queries import ACCOUNT_TABLES
from ticketfeed.storage.snapshot_contract import Snapshot
from ticketfeed.storage.sql_accounts import COPIED_TABLES, MOVED
from ticketfeed.storage.sql_snapshot import SqlSnapshot
from ticketfeed.storage.write_contract import WriteTransaction

# Columns that are each engine's own, or another one's after a fence; of searches, what they find is compared.
OWN_COLUMNS = {
    "feed_state": {
        *("wal_timeline", "frozen_until", "watermark", "record_watermark", "invalidations", "record_changes"),
        "scrubbed_until",
    },
    "mirror": {"body"},
    "search_entry": {"entry_id", "words"},
}
SIDECAR_TABLES = ("request_window", "consumer", "request", "anonymous_request", "login")
LEASE = Lease("a process", "host", 1, 1.0, 2.0)
Rows = dict[str, list[tuple[Any, ...]]]


class Stores:
    """Makes stores on both engines, and closes them."""

    def __init__(self, folder: Path, server: Callable[[], PostgresServer]) -> None:
        self._folder, self._server = folder, server
        self.clock = ManualClock()
        self._opened: list[Store] = []

    def url(self, name: EngineName) -> str:
        if name == "postgres":
            return self._server().new_database()
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        return sqlite_url(folder)

    async def open(self, name: EngineName) -> Any:
        store = await open_store(self.url(name), self.clock)
        self._opened.append(store)
        return store

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            try:
                await scenario()
            finally:
                while self._opened:
                    await self._opened.pop().close()

        asyncio.run(main())


@pytest.fixture
def stores(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stores:
    for module in (account_copy, sql_accounts):
        monkeypatch.setattr(module, "BATCH", 25)
    return Stores(tmp_path, lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


async def fill(store: Any, clock: ManualClock) -> tuple[Account, Account]:
    """An account and a mirror that together have rows in every table."""

    def work(write: WriteTransaction) -> None:
        write.put_records([user(id, f"{id}@example.com", name=f"user {id}") for id in range(1, 8)])
        write.put_tickets([ticket(id, NOON - 9000 + id, subject=f"printer {id}") for id in range(1, 60)])
        metrics = b'{"id":1,"ticket_id":1,"solved_at":"2023-11-14T00:00:00Z"}'
        write.put_records([parse_record("ticket_metrics", metrics, account="acme", now=clock.now)])
        write.add_credential(1, "api_token", "first token")
        write.put_client(CLIENT)
        write.add_oauth_token(token(20_001))
        write.add_code(AuthorizationCode("h", CLIENT.id, 1, "read", "https://a.b", None, None, clock.now + 60, None))
        write.put_idempotent_answer("key", IdempotentAnswer("f", clock.now, 201, "/1", b'{"id":1}'))

    account, mirror = await store.create_account("acme"), await store.create_account("mirrored")
    await store.write(account, work)
    clock.now += 100
    await store.close_newest(account)
    await store.write(account, changes(1))
    await store.write(account, lambda write: write.put_clock(MovedClock(60)))
    page = [ticket(1, 100), ticket(2, 200), user(5)._replace(generated_timestamp=300), organization(9, "makers")]
    await store.write(mirror, copying(*page, tickets=199, users=300), mirror=True)
    await store.write(
        mirror, lambda write: write.put_mirror(msgspec.structs.replace(write.mirror, lease=LEASE)), mirror=True
    )
    await store.record_usage(account, {"a": noted()}, [a_request(1), a_request(2)], NOON)
    empty = [table for table in COPIED_TABLES if not any([(await rows_of(store, n))[table] for n in (1, 2)])]
    for table in empty:  # one that was added since: its columns are taken to be numbers
        columns = [name for name in await store.list_columns(table) if name != "account_id"]
        await store.fill_table(account, table, columns, [tuple(range(1, 1 + len(columns)))])
    return account, mirror


async def rows_of(store: Any, account_id: int) -> Rows:
    """All rows of an account, but for the columns of OWN_COLUMNS."""

    def read(snapshot: Snapshot) -> Rows:
        assert isinstance(snapshot, SqlSnapshot)
        rows: Rows = {}
        for table in ACCOUNT_TABLES:
            own = OWN_COLUMNS.get(table, set()) | {"account_id"}
            columns = [name for (name,) in snapshot.scan("list_columns", name=table) if name not in own]
            found = snapshot.rows_of(Account(account_id, ""), table, columns or ["1"])
            rows[table] = sorted(map(tuple, found), key=repr)
        return rows

    return await store.inspect(read)


async def usage_of(store: Any, account: Account) -> Any:
    consumers, requests = await store.read_usage(account)
    return consumers, requests


@pytest.mark.parametrize("target_engine", ENGINES)
def test_a_copy_is_equal_in_every_table(
    engine: EngineName, target_engine: EngineName, stores: Stores, tmp_path: Path
) -> None:
    """On each pair of engines, directly and through a file, tickets to consumers are the same, and searches find the
    same; the feed is fenced, and the lease of a mirror is free. An erased account then leaves no row of any table, and
    other accounts as they are."""

    async def scenario() -> None:
        source, target = await stores.open(engine), await stores.open(target_engine)
        originals = await fill(source, stores.clock)
        before = {each.subdomain: await rows_of(source, each.account_id) for each in originals}
        own = OWN_COLUMNS["feed_state"] | {"account_id"}
        assert set(await target.list_columns("feed_state")) <= own | set(StateRow._fields)
        assert {table for rows in before.values() for table in rows if rows[table]} == set(ACCOUNT_TABLES)
        await target.create_account("other")
        for account in originals:
            await copy_account(source, account, target, account.subdomain, clock_error_seconds=5, freeze_seconds=30)
            file = tmp_path / f"{account.subdomain}.db"
            async with write_account_file(file, stores.clock) as written:
                await copy_account(
                    source,
                    account,
                    written,
                    account.subdomain,
                    clock_error_seconds=5,
                    freeze_seconds=None,
                    is_file=True,
                )
            assert file.stat().st_mode & 0o777 == 0o600
            assert [path.name for path in tmp_path.glob(f"{file.name}*")] == [file.name]
            async with open_account_file(file, stores.clock) as (read, inside):
                await copy_account(
                    read, inside, target, f"{account.subdomain}2", clock_error_seconds=5, freeze_seconds=None
                )
        copies = {each.subdomain: each for each in await target.list_accounts()}
        assert sorted(copies) == ["acme", "acme2", "mirrored", "mirrored2", "other"]
        for name in ("acme", "acme2", "mirrored", "mirrored2"):
            original = next(each for each in originals if name.startswith(each.subdomain))
            copied = copies[name]
            assert await rows_of(target, copied.account_id) == before[original.subdomain], name
            assert await usage_of(target, copied) == await usage_of(source, original)
            of_source, of_target = await source.read_mirror(original), await target.read_mirror(copied)
            assert of_target == (of_source and msgspec.structs.replace(of_source, lease=None))
            for text in ("printer", "quiet", "changed", "type:user user"):
                assert await found(target, copied, text) == await found(source, original, text)
            state, copied_state = await source.read_state(original), await target.read_state(copied)
            now = stores.clock.now + 60  # the account's clock
            assert copied_state.watermark == (state.watermark if state.is_mirror else now + 5)
        assert await problems(target) == []
        assert {each.subdomain: await rows_of(source, each.account_id) for each in originals} == before
        await save_account(target, copies["acme"], "saved")
        others = await rows_of(target, copies["acme2"].account_id)
        await target.put_default_account(copies["acme"])
        for name in ("acme", "mirrored"):
            await target.erase_account(name)
            assert not any((await rows_of(target, copies[name].account_id)).values())
            assert await usage_of(target, copies[name]) == ([], [])
        assert await rows_of(target, copies["acme2"].account_id) == others
        assert await problems(target) == []
        assert await target.find_default_account() == copies["other"]
        for name in ("acme2", "mirrored2"):
            await target.erase_account(name)
        made = await target.create_account("new")
        assert made.account_id > max(each.account_id for each in copies.values())

    stores.run(scenario)


def test_writes_of_a_frozen_account_are_refused(engine: EngineName, stores: Stores) -> None:
    """While it is frozen its writes are refused, and reads and other accounts are not; a freeze ends by itself, and
    whoever has set it then learns that it has. The freeze of an account that was moved does not end."""

    async def scenario() -> None:
        store = await stores.open(engine)
        account, other = [await store.create_account(name) for name in ("acme", "other")]

        async def write() -> None:
            await store.write(account, putting([ticket(1)]))

        until = await store.freeze(account, stores.clock.now + 30)
        with pytest.raises(AccountFrozen) as refused:
            await write()
        assert refused.value.retry_after_seconds == 1
        assert (await store.read_state(account)).ticket_count == 0
        await store.write(other, putting([ticket(1)]))
        await store.fence(account, 5)
        assert [type(state).__name__ for _, state in await store.fence_accounts(5)] == ["FeedState"] * 2
        stores.clock.now += 30
        end = await store.freeze(account, stores.clock.now + 30, own=until)
        assert end > until
        stores.clock.now += 31
        await write()
        with pytest.raises(StoreError, match="longer"):
            await store.freeze(account, stores.clock.now + 30, own=end)
        assert await store.freeze(account, MOVED) == MOVED == await store.freeze(account, stores.clock.now + 30)
        stores.clock.now += 10**9
        with pytest.raises(AccountFrozen) as refused:
            await write()
        assert refused.value.retry_after_seconds == 30
        assert await store.unfreeze(account)
        assert not await store.unfreeze(account)
        await write()

    stores.run(scenario)


def deleting(write: WriteTransaction) -> None:
    """What only a mirror does, to lists."""
    write.delete_records("organizations", [9])
    write.delete_tickets([1])


CHANGES: dict[str, Callable[[WriteTransaction], object]] = {
    "in the same second": lambda write: write.put_tickets([ticket(3, subject="again"), ticket(900)]),
    "with seconds of their own": lambda write: write.put_records([user(3, "renamed@example.com")]),
    "to what it was": lambda write: write.rewind_account("saved", fences=True),
    "of everything else": changes(7),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_while_it_is_copied(name: str, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes of an account during a pass, however it is changed, the copy has it, and nothing more."""

    async def scenario() -> None:
        source, target = await stores.open("sqlite"), await stores.open("sqlite")
        account, mirror = await fill(source, stores.clock)
        await save_account(source, account, "saved")
        await source.write(account, putting([ticket(4, subject="after the save"), ticket(901)]))
        copies = {account: CHANGES[name], mirror: deleting}
        fill_account = target.fill_account
        for each, change in copies.items():
            calls = 0

            async def changing(hidden: Account, rows: Any, each: Account = each, change: Any = change) -> None:
                nonlocal calls
                calls += 1
                await fill_account(hidden, rows)
                if calls == 2:
                    await source.write(each, change, exclusive=True, mirror=each == mirror)

            monkeypatch.setattr(target, "fill_account", changing)
            await copy_account(source, each, target, each.subdomain, clock_error_seconds=5, freeze_seconds=30)
            assert calls > 2
        for each, copied in zip(copies, await target.list_accounts(), strict=True):
            assert await rows_of(target, copied.account_id) == await rows_of(source, each.account_id)
            for text in ("printer", "again", "renamed", "makers", "after the save"):
                assert await found(target, copied, text) == await found(source, each, text)
        assert await problems(target) == []

    stores.run(scenario)


def test_copies_in_the_way(engine: EngineName, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that fails or is overtaken shows nothing at the target and leaves the source writable; a later one of the
    same account is whole. Nothing is copied to an account that exists, or within one store."""

    async def scenario() -> None:
        source, target = await stores.open("sqlite"), await stores.open(engine)
        account, _ = await fill(source, stores.clock)

        async def copy(**options: Any) -> None:
            await copy_account(
                source, account, target, "acme", clock_error_seconds=5, **{"freeze_seconds": 30, **options}
            )

        async def check_writable() -> None:
            assert await target.list_accounts() == []
            await source.write(account, putting([ticket(2000)]))

        complete = target.complete_account

        async def write_first(*_arguments: Any) -> Account:
            """The freeze has ended, and a write came in."""
            stores.clock.now += 100
            await source.write(account, putting([ticket(2000)]))
            raise StoreUnavailable("the target is away")

        monkeypatch.setattr(target, "complete_account", write_first)
        with pytest.raises(StoreUnavailable):
            await copy()
        monkeypatch.setattr(target, "complete_account", complete)
        await check_writable()
        fill_table = target.fill_table

        async def freeze_ends(*arguments: Any) -> None:
            stores.clock.now += 100
            await source.write(account, putting([ticket(2001)]))
            await fill_table(*arguments)

        monkeypatch.setattr(target, "fill_table", freeze_ends)
        with pytest.raises(StoreError, match="longer --freeze"):
            await copy()
        monkeypatch.setattr(target, "fill_table", fill_table)
        await check_writable()

        async def another(*arguments: Any) -> None:
            monkeypatch.setattr(target, "fill_table", fill_table)
            await copy()
            await target.erase_account("acme")
            await fill_table(*arguments)

        monkeypatch.setattr(target, "fill_table", another)
        with pytest.raises(StoreError, match="another copy"):
            await copy()
        await check_writable()
        await copy(moves=True)
        with pytest.raises(AccountFrozen):
            await source.write(account, putting([ticket(2000)]))
        (copied,) = await target.list_accounts()
        assert await rows_of(target, copied.account_id) == await rows_of(source, account.account_id)
        with pytest.raises(BadInput, match="already"):
            await copy()
        with pytest.raises(BadInput, match="same store"):
            await copy_account(source, account, source, "new", clock_error_seconds=5, freeze_seconds=30)

    stores.run(scenario)


def test_copies_after_everything_that_readers_were_given(stores: Stores) -> None:
    """Changes of the copy come after all that the source gave, though the clock at the target is an hour behind."""

    async def scenario() -> None:
        source, target = await stores.open("sqlite"), await stores.open("sqlite")
        account, _ = await fill(source, stores.clock)
        stores.clock.now += 100
        await source.close_newest(account)
        given = (await source.read_state(account)).watermark
        stores.clock.now -= 3600
        await copy_account(source, account, target, "acme", clock_error_seconds=5, freeze_seconds=30, moves=True)
        (copied,) = await target.list_accounts()
        await target.write(copied, putting([ticket(1)]))
        (row,) = await target.inspect(lambda snapshot: [row for row in snapshot.positions_by_id(copied) if row.id == 1])
        assert Position(*row) > Position(given, 1 << 60)

    stores.run(scenario)


@pytest.mark.parametrize("pair", [("sqlite", "postgres"), ("postgres", "sqlite")], ids=" to ".join)
def test_cursors_go_on_at_the_target(pair: tuple[EngineName, EngineName], stores: Stores) -> None:
    """Every cursor that a reader was given while an account was written and moved is continued at the target without a
    change missed; what the source acknowledged is there."""
    figures = asyncio.run(move_while_written(*map(stores.url, pair), cursors=50, tickets=2000, seed=random.random()))
    assert figures.problems == []
    assert figures.cursors == 50
    assert figures.writes > 0
