"""An account is moved to another store while it is read and written: what does a reader that goes on there miss?

`python -m tests.storage.moving --cursors 1000 --tickets 10000 --from sqlite --to postgres` prints the figures.
"""

import argparse
import asyncio
import random
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from tests.engines import ENGINES, engine
from tests.storage.contract import ALL, START, user
from ticketfeed.clock import system_clock
from ticketfeed.protocol.cursor import decode_cursor, encode_cursor
from ticketfeed.protocol.errors import AccountFrozen
from ticketfeed.protocol.model import INT64_MAX, Account, Position
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket
from ticketfeed.storage import Store, open_store
from ticketfeed.storage.account_copy import copy_account, with_accounts
from ticketfeed.storage.contract import FeedRows
from ticketfeed.storage.write_contract import WriteTransaction

_VERSION = re.compile(rb'"(?:subject|name)":"v(\d+)"')
KINDS = ("users", "tickets")
USERS = 200
# The clock at the target is behind that at the source.
BEHIND_SECONDS = 40


@dataclass
class Figures:
    cursors: int = 0
    writes: int = 0
    refused: int = 0
    pages: int = 0
    changes_missed: int = 0
    copy_seconds: float = 0.0
    frozen_ms: float = 0.0
    longest_read_ms: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass
class _Walk:
    """What one reader was given of one kind: each change in turn, and the cursors with how many came before."""

    kind: str
    after: Position = START
    given: list[tuple[int, int]] = field(default_factory=list)
    cursors: list[tuple[str, int]] = field(default_factory=list)


def _ticket(id: int, version: int, second: int = 0) -> TicketDraft:
    values = {"id": id, "subject": f"v{version}", **({"generated_timestamp": second} if second else {})}
    return parse_ticket(msgspec.json.encode(values), account="acme", now=system_clock())


def _version(body: bytes) -> int:
    match = _VERSION.search(body)
    assert match is not None
    return int(match[1])


async def _read(store: Store, account: Account, kind: str, after: Position, limit: int) -> FeedRows:
    if kind == "tickets":
        _, rows = await store.read_changes(account, after, INT64_MAX, limit, ALL, links=False)
    else:
        _, rows = await store.read_record_changes(account, kind, after, INT64_MAX, limit)
    return rows


class _Move:
    def __init__(self, source: Store, target: Store, chance: random.Random) -> None:
        self.source, self.target, self.chance = source, target, chance
        self.figures = Figures()
        self.walks = [_Walk(kind) for kind in KINDS]
        self.acknowledged: dict[tuple[str, int], int] = {}
        self._version = 0
        self._stops = False

    async def fill(self, tickets: int) -> Account:
        account, now = await self.source.create_account("acme"), system_clock()

        def work(write: WriteTransaction) -> None:
            write.put_records([user(id, f"{id}@example.com", name="v0") for id in range(1, USERS)])
            write.put_tickets(
                (_ticket(id, 0, now - 10 * tickets + 10 * id) for id in range(1, tickets + 1)),
                keep_generated_timestamp=True,
            )

        await self.source.write(account, work)
        return account

    async def write(self, store: Store, account: Account, tickets: int) -> None:
        self._version += 1
        version, chance = self._version, self.chance
        ids = chance.sample(range(1, tickets + 50), chance.randint(1, 8))
        users = chance.sample(range(1, USERS + 5), chance.randint(0, 2))

        def work(write: WriteTransaction) -> None:
            write.put_tickets([_ticket(id, version) for id in ids])
            write.put_records([user(id, f"{id}@example.com", name=f"v{version}") for id in users])

        try:
            await store.write(account, work)
        except AccountFrozen:
            self.figures.refused += 1
            await asyncio.sleep(0.01)
            return
        self.figures.writes += 1
        for kind, changed in zip(KINDS, (users, ids), strict=True):
            self.acknowledged.update({(kind, id): version for id in changed})

    async def write_on(self, account: Account, tickets: int) -> None:
        while not self._stops:
            await self.write(self.source, account, tickets)
            await asyncio.sleep(self.chance.uniform(0.0, 0.01))

    async def read_on(self, account: Account, walk: _Walk, limit_max: int) -> None:
        while not self._stops:
            began = time.monotonic()
            await self.source.close_newest(account)
            rows = await _read(self.source, account, walk.kind, walk.after, self.chance.randint(1, limit_max))
            self.figures.longest_read_ms = max(self.figures.longest_read_ms, 1000 * (time.monotonic() - began))
            self.figures.pages += 1
            walk.given += [(row.id, _version(row.body)) for row in rows]
            if rows:
                walk.after = position_of(rows[-1])
                walk.cursors.append((encode_cursor(walk.after), len(walk.given)))
            await asyncio.sleep(0.002 if rows else 0.05)

    async def run(self, cursors: int, tickets: int) -> None:
        account = await self.fill(tickets)
        # So many pages that there are cursors enough by the time that the account is moved.
        limit_max = max(1, min(100, tickets // max(1, cursors)))
        beside = [
            asyncio.create_task(self.write_on(account, tickets)),
            *(asyncio.create_task(self.read_on(account, walk, limit_max)) for walk in self.walks),
        ]
        while sum(len(walk.cursors) for walk in self.walks) < cursors:
            await asyncio.sleep(0.02)
        began = time.monotonic()
        copied = await copy_account(
            with_accounts(self.source),
            account,
            with_accounts(self.target),
            "acme",
            clock_error_seconds=5,
            freeze_seconds=30,
            moves=True,
        )
        self.figures.copy_seconds = round(time.monotonic() - began, 3)
        self.figures.frozen_ms = round(1000 * copied.frozen_seconds, 1)
        await asyncio.sleep(0.2)
        self._stops = True
        await asyncio.gather(*beside)
        (moved,) = await self.target.list_accounts()
        for _ in range(20):
            await self.write(self.target, moved, tickets)
        await self.target.fence(moved, 3600)  # closes the newest second
        await self.check(moved, cursors)

    async def check(self, moved: Account, cursors: int) -> None:
        for number, walk in enumerate(self.walks):
            final = dict(await self._walk(moved, walk.kind, START))
            for (kind, id), version in self.acknowledged.items():
                if kind == walk.kind and final.get(id, -1) < version:
                    self.figures.problems.append(f"{kind} {id} is at v{final.get(id)}, v{version} was acknowledged")
            wanted = min(len(walk.cursors), cursors - self.figures.cursors if number else cursors // 2)
            chosen = sorted(self.chance.sample(walk.cursors, wanted), key=lambda cursor: cursor[1])
            stale, told = set(final), 0
            for cursor, count in chosen:
                for id, version in walk.given[told:count]:
                    (stale.discard if final.get(id) == version else stale.add)(id)
                told = count
                rest = await self._walk(moved, walk.kind, decode_cursor(cursor))
                missed = stale - {id for id, version in rest if final[id] == version}
                self.figures.cursors += 1
                self.figures.changes_missed += len(missed)
                if missed:
                    self.figures.problems.append(f"{walk.kind} {sorted(missed)[:3]} are missed after {cursor}")

    async def _walk(self, account: Account, kind: str, after: Position) -> list[tuple[int, int]]:
        given: list[tuple[int, int]] = []
        while rows := await _read(self.target, account, kind, after, 1000):
            given += [(row.id, _version(row.body)) for row in rows]
            after = position_of(rows[-1])
        return given


async def move_while_written(source_url: str, target_url: str, *, cursors: int, tickets: int, seed: float) -> Figures:
    """Move an account between new stores; `cursors` of those that were given out before are continued at the target."""
    source = await open_store(source_url)
    target = await open_store(target_url, lambda: system_clock() - BEHIND_SECONDS)
    try:
        move = _Move(source, target, random.Random(seed))
        await move.run(cursors, tickets)
        return move.figures
    finally:
        await source.close()
        await target.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storage.moving")
    parser.add_argument("--cursors", type=int, default=1000)
    parser.add_argument("--tickets", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--from", dest="source", default="sqlite", help="sqlite, postgres or a URL")
    parser.add_argument("--to", dest="target", default="postgres")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        urls: dict[str, Any] = {}
        for name in ("source", "target"):
            kind = getattr(options, name)
            urls[name] = stack.enter_context(engine(kind)).new_url() if kind in ENGINES else kind
        figures = asyncio.run(
            move_while_written(
                urls["source"], urls["target"], cursors=options.cursors, tickets=options.tickets, seed=options.seed
            )
        )
    print(f"seed {options.seed}: {asdict(figures)}")
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
