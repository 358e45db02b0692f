"""A disk that fills up under a store that writes: what `test_full_disk.py` runs, in a child where a limit is set.

`python -m tests.process.small_disk full PATH` limits how large a file may grow, which no user can go around, root
included; `... read-only PATH` opens a store as a user who may only read it.
"""

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import dump
from tests.simulation.observer import Attempt, Observer, Row, version_of
from tests.storage.contract import NOON, START, ManualClock, putting, ticket
from ticketfeed.export.source import read_page
from ticketfeed.protocol.errors import StoreUnavailable
from ticketfeed.protocol.query import parse_export_request
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.sqlite.store import SqliteStore

WRITES_MAX = 3000
ROOM_BYTES = 1_000_000
NOBODY = 65534


async def fill_up(url: str, fill: Callable[[int], None], make_room: Callable[[], None]) -> str:
    """Write until the disk is full, read on, make room, write on. Returns what the refused write said.

    `fill` leaves so many bytes: some once there are writes, so that the disk is full soon, and then none at all.
    """
    clock = ManualClock()
    store = await open_store(url, clock)
    attempts: list[Attempt] = []
    try:
        account = await store.create_account("acme")
        for number in range(20):
            attempts.append(await _write(store, clock, number))
        fill(ROOM_BYTES)
        reason = ""
        for number in range(20, WRITES_MAX):
            try:
                attempts.append(await _write(store, clock, number))
            except StoreUnavailable as error:
                reason = str(error)
                break
        assert reason, "the disk did not fill up"
        fill(0)
        await _check(store, url, attempts)
        for number in range(3):
            with pytest.raises(StoreUnavailable):
                await _write(store, clock, WRITES_MAX + number)
        clock.now += 1
        await _check(store, url, attempts)
        make_room()
        attempts.append(await _write(store, clock, WRITES_MAX + 10))
        clock.now += 10
        assert await store.close_newest(account)
        await _check(store, url, attempts)
    finally:
        await store.close()
    again = await open_store(url, clock, create=False)
    try:
        await _check(again, url, attempts)
    finally:
        await again.close()
    return reason


async def _write(store: Store, clock: ManualClock, number: int) -> Attempt:
    drafts = [ticket(id, subject=f"write {number}", description="x" * 2000) for id in range(number + 1, number + 31)]
    [account] = await store.list_accounts()
    began = float(number)
    await store.write(account, putting(drafts))
    versions = {draft.id: version_of(draft.body(0), 0) for draft in drafts}
    clock.now += 1
    return Attempt(f"write {number}", "acme", versions, began, began + 0.5)


async def _check(store: Store, url: str, attempts: list[Attempt]) -> None:
    """All that was acknowledged is there, and whatever is closed can be read, full disk or not."""
    [account] = await store.list_accounts()
    observer, final = Observer(), dump(url, account)
    assert observer.writes("acme", attempts, final) == len(attempts)
    request = parse_export_request({"start_time": "0"}, now=2**40, start_time_margin_seconds=0)
    page = await read_page(store, account, request, now=2**40, settle_seconds=0)
    state = await store.read_state(account)
    given = {Row(second, id, version_of(bytes(body), second)) for second, id, body in page.rows}
    rows = (Row(second, id, version_of(body, second)) for id, (second, body) in final.items())
    wanted = {row for row in rows if row.second <= state.watermark and row[:2] > START}
    assert given == wanted, (state, sorted(given - wanted), sorted(wanted - given))
    assert observer.violations == []


def fill_up_by_limit(path: Path) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(room: int) -> None:
        largest = max(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room if room else 0, hard))

    def make_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    return asyncio.run(fill_up(f"sqlite:///{path}", fill, make_room))


async def read_only(path: Path) -> str:
    """A store that may only be read is read; a write says why it cannot be."""
    store = SqliteStore.open(path, ManualClock(NOON + 10), create=False)
    try:
        [account] = await store.list_accounts()
        assert not await store.close_newest(account)
        request = parse_export_request({"start_time": "0"}, now=2**40, start_time_margin_seconds=0)
        page = await read_page(store, account, request, now=2**40, settle_seconds=0)
        assert [(row.generated_timestamp, row.id) for row in page.rows] == [(NOON, 1)]
        with pytest.raises(StoreUnavailable) as refused:
            await store.write(account, putting([ticket(3)]))
        return str(refused.value)
    finally:
        await store.close()


def main() -> None:
    what, path = sys.argv[1], Path(sys.argv[2])
    if what == "full":
        print(fill_up_by_limit(path))
        return
    if os.geteuid() == 0:  # who may write whatever the file's mode says
        os.seteuid(NOBODY)
    print(asyncio.run(read_only(path)))


if __name__ == "__main__":
    main()
