"""Files of Zendesk's own account export are loaded into an archive, and into nothing else that is read-only."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.storage.contract import ALL, NOON, START, ManualClock
from ticketfeed.data.import_files import read_input
from ticketfeed.data.integrity_check import check_store
from ticketfeed.data.load import load_records
from ticketfeed.protocol.errors import AccountIsMirror, BadInput
from ticketfeed.protocol.mirrors import Mirror, StreamState
from ticketfeed.protocol.model import INT64_MAX, Account
from ticketfeed.protocol.tickets import parse_ticket
from ticketfeed.storage import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.sqlite.store import SqliteStore
from ticketfeed.storage.write_contract import WriteTransaction

SOURCE = "https://acme.zendesk.com"
COMMENT = {"id": 1, "type": "Comment", "author_id": 7, "body": "first words", "public": True, "attachments": []}


def exported(id: int, second: int, subject: str) -> dict[str, Any]:
    """A line of an account export: a ticket with its comments."""
    time = f"2023-11-14T20:00:{second:02}Z"
    comments = [{**COMMENT, "id": 100 + id, "created_at": time}]
    return {"id": id, "subject": subject, "updated_at": time, "created_at": time, "comments": comments}


LINES = [exported(1, 1, "old"), exported(2, 2, "same"), exported(3, 3, "new"), exported(4, 4, "only here")]
# The second of line N, and so its position where nothing is stored.
BASE = 1_699_992_000
FOUND = {1: ("newer", BASE + 50), 2: ("same, and more", BASE + 2), 3: ("older", BASE)}


def opened(engine: str, folder: Path) -> Store:
    clock = ManualClock()
    return MemoryStore(clock) if engine == "memory" else SqliteStore.open(folder / "t.db", clock)


async def load(store: Store, account: Account, *, into_archive: bool, lines: list[dict[str, Any]] | None = None) -> str:
    data = "".join(json.dumps(line) + "\n" for line in (LINES if lines is None else lines)).encode()
    records = read_input("f", io.BytesIO(data), None)
    return str(await load_records(store, account, records, now=NOON, into_archive=into_archive))


def mirrored(closed_at: int | None) -> Any:
    def work(write: WriteTransaction) -> None:
        streams = {"tickets": StreamState(passed=BASE + 60, has_ended=True)}
        write.put_mirror(Mirror(SOURCE, streams=streams, closed_at=closed_at))
        for id, (subject, second) in FOUND.items():
            values = {"id": id, "subject": subject, "generated_timestamp": second}
            write.put_tickets([parse_ticket(json.dumps(values).encode(), account="acme", now=NOON)])

    return work


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_exported_files_in_an_archive(engine: str, tmp_path: Path) -> None:
    """What is newer, or as new and of the API, stays; the rest is added, whole and readable, and only once."""

    async def main() -> None:
        store = opened(engine, tmp_path)
        account = await store.create_account("acme")
        await store.write(account, mirrored(NOON), mirror=True)
        with pytest.raises(AccountIsMirror, match="closed on 2023-11-14"):
            await load(store, account, into_archive=False)
        assert await load(store, account, into_archive=True) == "4 tickets, 4 audits"
        await check(store, account, {1: "newer", 2: "same, and more", 3: "new", 4: "only here"})
        state = await store.read_state(account)
        await load(store, account, into_archive=True)
        assert await store.read_state(account) == state
        with pytest.raises(BadInput, match="line 1"):
            await load(store, account, into_archive=True, lines=[{"id": "x", "subject": 1}])
        assert await store.read_state(account) == state
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_an_archive_of_files_alone(engine: str, tmp_path: Path) -> None:
    """A new account becomes one, with the positions that the files say; it is read-only from then on."""

    async def main() -> None:
        store = opened(engine, tmp_path)
        await load(store, Account(0, "old"), into_archive=True)
        (account,) = await store.list_accounts()
        await check(store, account, {1: "old", 2: "same", 3: "new", 4: "only here"})
        _, rows = await store.read_changes(account, START, INT64_MAX, 9, ALL, links=False)
        assert [row.generated_timestamp for row in rows] == [BASE + number for number in (1, 2, 3, 4)]
        with pytest.raises(AccountIsMirror, match=r"^This account is an archive of exported files, closed on"):
            await load(store, account, into_archive=False)
        await load(store, account, into_archive=True, lines=[exported(5, 5, "more")])
        await check(store, account, {1: "old", 2: "same", 3: "new", 4: "only here", 5: "more"})
        for name, work, problem in (
            ("mirror", mirrored(None), "mirrors https://acme.zendesk.com still; close it first"),
            ("used", None, "of its own"),
        ):
            other = await store.create_account(name)
            if work:
                await store.write(other, work, mirror=True)
            else:
                await load(store, other, into_archive=False)
            state = await store.read_state(other)
            with pytest.raises(BadInput, match=problem):
                await load(store, other, into_archive=True)
            assert await store.read_state(other) == state
        await store.close()

    asyncio.run(main())


async def check(store: Store, account: Account, subjects: dict[int, str]) -> None:
    """The feed has these tickets, all of them; every audit is in its own feed; `check` finds nothing."""
    _, rows = await store.read_changes(account, START, INT64_MAX, 99, ALL, links=False)
    assert {row.id: json.loads(row.body)["subject"] for row in rows} == subjects
    _, audits = await store.read_record_changes(account, "audits", START, INT64_MAX, 99)
    assert len(audits) >= 4
    found: list[str] = []
    await store.inspect(lambda snapshot: check_store(snapshot, found.append))
    assert found == []
