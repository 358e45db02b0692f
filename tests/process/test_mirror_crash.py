"""A process that copies pages is killed at random moments: each page is stored with the state of its walk, or not."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ticketfeed.protocol.mirrors import Mirror, StreamState
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage import open_store
from ticketfeed.storage.write_contract import WriteTransaction

KILLS = 5
TICKETS = 40


def page(number: int) -> list[TicketDraft]:
    """Ten tickets, most of which come again on later pages."""
    lines = ({"id": 1 + (number * 7 + each) % TICKETS, "subject": str(number)} for each in range(10))
    second = {"generated_timestamp": 1000 + number}
    return [parse_ticket(json.dumps({**line, **second}).encode(), account="acme", now=10**9) for line in lines]


async def copy_pages(url: str) -> None:
    """Copy pages until the process is killed, from where the last one stopped. A line is printed for each."""
    store = await open_store(url)
    (account,) = await store.list_accounts()
    mirror = await store.read_mirror(account)
    number = mirror.stream("tickets").state["page"] + 1 if mirror else 0
    while True:
        drafts, state = page(number), StreamState({"page": number}, 1000 + number - 1)

        def work(write: WriteTransaction, drafts: list[TicketDraft] = drafts, state: StreamState = state) -> None:
            write.put_mirror(Mirror("https://source.example", streams={"tickets": state}))
            write.put_tickets(drafts)

        await store.write(account, work, mirror=True)
        print(number, flush=True)
        number += 1


def test_a_walk_that_is_killed(tmp_path: Path) -> None:
    """What was acknowledged is stored; the tickets are those of the pages up to the state, and the walk goes on."""
    url, chance = f"sqlite:///{tmp_path / 't.db'}", random.Random(7)

    async def prepare() -> None:
        store = await open_store(url)
        await store.create_account("acme")
        await store.close()

    async def look() -> int:
        store = await open_store(url)
        (account,) = await store.list_accounts()
        mirror = await store.read_mirror(account)
        assert mirror is not None
        last: int = mirror.stream("tickets").state["page"]
        expected = {draft.id: draft.row.body for number in range(last + 1) for draft in page(number)}
        stored = await store.read_tickets(account, range(1, TICKETS + 1))
        assert {row.id: row.body for row in stored} == expected
        assert (await store.read_state(account)).watermark == 1000 + last - 1
        await store.close()
        return last

    asyncio.run(prepare())
    last = -1
    for _ in range(KILLS):
        command = [sys.executable, "-m", "tests.process.test_mirror_crash", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as walk:
            assert walk.stdout is not None
            walk.stdout.readline()
            time.sleep(chance.random() / 10)
            walk.send_signal(signal.SIGKILL)
            told = [int(line) for line in walk.stdout.read().split()]
        before, last = last, asyncio.run(look())
        assert last > before
        assert last >= max(told, default=0)


if __name__ == "__main__":
    asyncio.run(copy_pages(sys.argv[1]))
