"""check, backup, restore and fence of a mirror, on real files and a real PostgreSQL."""

import asyncio
from pathlib import Path

from tests.storage.contract import NOON, ManualClock, ticket, user
from tests.storage.test_backup import Engine, Reader, Sqlite, engine, findings, nothing
from ticketfeed.data.maintenance import maintain
from ticketfeed.protocol.mirrors import Lease, Mirror, StreamState
from ticketfeed.protocol.model import Account, FeedState
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.backup import backup_store, restore_store
from ticketfeed.storage.write_contract import WriteTransaction
from ticketfeed.writing.credentials import add_user_credential

assert engine  # a fixture

SOURCE = "https://source.example"
LEASE = Lease("owner", "here", 1, NOON, NOON)
FIRST = 1000


async def copy_page(store: Store, account: Account, number: int) -> None:
    """The page of this number: three tickets and a user, in ten seconds; some tickets come again."""
    second = FIRST + 10 * number
    drafts = [ticket(id, second + id % 10, subject=str(number)) for id in (1, 2 + number, 30 + number)]
    streams = {"tickets": StreamState({"page": number}, second + 9), "users": StreamState({}, second + 9)}

    def work(write: WriteTransaction) -> None:
        write.put_mirror(Mirror(SOURCE, streams=streams, lease=LEASE))
        write.load([*drafts, user(number + 1)._replace(generated_timestamp=second)])

    await store.write(account, work, mirror=True)


def filled_mirror(engine: Engine, pages: int = 5) -> str:
    """The URL of a store with a mirror, which has a reader of its own."""

    async def main() -> None:
        store = await open_store(url, ManualClock())
        account = await store.create_account("acme")
        for number in range(pages):
            await copy_page(store, account, number)
        await add_user_credential(store, account, "reader@acme.com", None, "api_token", "a-token-that-is-long-enough")
        await store.close()

    url = engine.new_url()
    asyncio.run(main())
    return url


def test_a_restored_mirror_goes_on(engine: Engine) -> None:
    """From where its walk stood, without a lease; a reader that was further has everything in the end."""
    url, file = filled_mirror(engine), engine.folder / "copy"
    backup_store(url, file, nothing)
    reader, copied = Reader(), engine.new_url()

    async def go_on(url: str) -> dict[int, bytes]:
        store = await open_store(url, ManualClock(), create=False)
        (account,) = await store.list_accounts()
        for number in range(5, 9):
            await copy_page(store, account, number)
        await reader.walk(store, account, NOON)
        rows = await store.read_tickets(account, range(100))
        await store.close()
        return {row.id: row.body for row in rows}

    lost = asyncio.run(go_on(url))
    ((account, state),) = restore_store(copied, file, 5, nothing, ManualClock())
    assert state.is_mirror
    assert (state.last_generated_timestamp, state.watermark) == (FIRST + 46, FIRST + 49)
    assert findings(copied) == []

    async def look() -> None:
        store = await open_store(copied, ManualClock(), create=False)
        mirror = await store.read_mirror(account)
        assert mirror is not None
        assert (mirror.lease, mirror.stream("tickets").state) == (None, {"page": 4})
        for fenced in (await store.fence(account, 5), *(each for _, each in await store.fence_accounts(5))):
            assert isinstance(fenced, FeedState)
            assert fenced.watermark == state.watermark
            assert fenced.invalidations > state.invalidations
        await store.close()

    asyncio.run(look())
    assert asyncio.run(go_on(copied)) == lost == reader.seen
    assert findings(copied) == []


# what is done to the store -> the one line that tells it
DAMAGE = [
    ("DELETE FROM mirror WHERE account_id = 1", "account acme: it is a mirror, but its source is not known"),
    ("UPDATE feed_state SET is_mirror = 0", "account acme: it has a source, but is no mirror"),
    (
        "UPDATE feed_state SET watermark = 1040",
        "account acme: the watermark of tickets is 1040, but its walk has passed 1049",
    ),
    (
        "UPDATE kind_state SET watermark = 3 WHERE kind = 'users'",
        "account acme: the watermark of users is 3, but its walk has passed 1049",
    ),
    (
        "UPDATE kind_state SET last_generated_timestamp = 1039 WHERE kind = 'users'",
        "account acme: users 5 has second 1040, after the account's record_last_timestamp 1039",
    ),
    ("UPDATE mirror SET body = 'x' WHERE account_id = 1", "account acme: reading the mirror ended early: "),
    ("UPDATE kind_state SET account_id = 99", "kind_state has 4 rows of account_id 99, which does not exist"),
]


def test_damage_of_a_mirror_is_named(engine: Engine) -> None:
    """Each kind is told in one line; a sound mirror with a user of its own has none."""
    url = filled_mirror(engine)
    assert findings(url) == []
    for sql, expected in DAMAGE:
        damaged = url if sql == DAMAGE[-1][0] else filled_mirror(engine)
        engine.execute(damaged, sql)
        assert any(line.startswith(expected) for line in findings(damaged)), sql


def test_maintenance_leaves_a_mirror_alone(tmp_path: Path) -> None:
    """It closes and scrubs nothing there: the source does."""

    async def main() -> None:
        store = await open_store(Sqlite(tmp_path).new_url(), ManualClock())
        account = await store.create_account("acme")

        def work(write: WriteTransaction) -> None:
            write.put_mirror(Mirror(SOURCE))
            write.put_tickets([ticket(1, 100, status="solved"), ticket(2, 100, status="deleted")])

        await store.write(account, work, mirror=True)
        done = await maintain(store, account, close_solved_days=1, scrub_deleted_days=1, now=NOON)
        assert done == {"closed": 0, "scrubbed": 0}
        await store.close()

    asyncio.run(main())
