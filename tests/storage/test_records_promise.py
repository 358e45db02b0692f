"""The promise for the feed of records: writers and readers at once, on several openings of one store."""

import asyncio
import time

import msgspec

from tests.storage.contract import user
from tests.waiting import SECONDS_MAX
from ticketfeed.clock import system_clock
from ticketfeed.export.source import read_page
from ticketfeed.protocol.model import Account, Filters, Position
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.storage import Store, open_store

WRITERS, READERS, USERS = 4, 3, 40
SECONDS = 6.0


class _User(msgspec.Struct):
    id: int
    name: str


async def _write(url: str, number: int, ends: float, latest: dict[int, str]) -> None:
    """Each writer has users of its own, and says what it has committed last of each."""
    store = await open_store(url, create=False)
    (account,) = await store.list_accounts()
    step = 0
    while time.monotonic() < ends or step < USERS:
        step += 1
        id = number * USERS + step % USERS + 1
        name = f"{number}-{step}"
        await store.write(account, lambda t, id=id, name=name: t.put_records([user(id, name=name)]))
        latest[id] = name
        await asyncio.sleep(0.01 if step % 50 else 0.3)
    await store.close()


async def _read(url: str, seen: dict[int, str], done: asyncio.Event, latest: dict[int, str]) -> None:
    """A walk that goes on from its cursor, until it has seen what was written last of every user."""
    store = await open_store(url, create=False)
    (account,) = await store.list_accounts()
    after, last = Position(0, -1), Position(0, -1)
    deadline = time.monotonic() + SECONDS + 2 * SECONDS_MAX
    while not (done.is_set() and seen == latest):
        assert time.monotonic() < deadline, {
            id: (seen.get(id), name) for id, name in latest.items() if seen.get(id) != name
        }
        after = await _step(store, account, after, seen)
        assert after >= last
        last = after
        await asyncio.sleep(0.02)
    await store.close()


async def _step(store: Store, account: Account, after: Position, seen: dict[int, str]) -> Position:
    asked = ExportRequest(after, 7, Filters(), (), ())
    page = await read_page(store, account, asked, now=system_clock(), settle_seconds=0, kind="users")
    for row in page.rows:
        found = msgspec.json.decode(row[2], type=_User)
        seen[found.id] = found.name
    return page.after


def test_nothing_is_missed(url: str) -> None:
    """However writers and readers interleave, every reader that walks users from its cursor is given the latest
    state of each, and its position never goes back."""

    async def main() -> None:
        store = await open_store(url)
        await store.create_account("acme")
        await store.close()
        latest: dict[int, str] = {}
        done = asyncio.Event()
        readers = [asyncio.create_task(_read(url, {}, done, latest)) for _ in range(READERS)]
        ends = time.monotonic() + SECONDS
        await asyncio.gather(*(_write(url, number, ends, latest) for number in range(WRITERS)))
        done.set()
        await asyncio.gather(*readers)
        assert len(latest) == WRITERS * USERS

    asyncio.run(main())
