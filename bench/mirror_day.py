"""A day of a mirror at ten requests a minute, in virtual time: a first copy, then changes that it follows.

The source is a server in another process whose account's clock stands still but where everybody waits; the mirror runs
here with the same clock, over real requests and a real store. What a request takes is no part of it.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.mirror_world import SourceServer, VirtualTime, compare_stores
from bench.world import Credentials
from ticketfeed.client.exporter import connect
from ticketfeed.client.oauth import Basic
from ticketfeed.client.sources import parse_source
from ticketfeed.client.steps import Answer, Failed, Request
from ticketfeed.client.transport import Transport
from ticketfeed.mirror.run import MirrorOptions, MirrorRun
from ticketfeed.mirror.status import streams_of
from ticketfeed.mirror.verify_run import VerifyOptions, verify_mirror
from ticketfeed.protocol.model import Account
from ticketfeed.storage import Store, open_store

__all__ = ["Day", "measure_day"]


@dataclass
class Day:
    """`copied_after`: seconds until the tickets were copied; `all_copied_after`: everything. `used`: requests sent
    until then, as a part of the budget, of which ten may be sent at once in the beginning. `behind`: for each change,
    the seconds until readers of the mirror were given it.
    """

    tickets: int = 0
    pages: int = 0
    refused: int = 0
    requests: int = 0
    copied_after: float = 0.0
    all_copied_after: float = 0.0
    used: float = 0.0
    behind: list[float] = field(default_factory=list)
    changes: int = 0
    verifications: int = 0
    false_alarms: list[str] = field(default_factory=list)
    differing: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, str]:
        """What was found, a name and a text each."""
        ordered, pages = sorted(self.behind), self.pages
        p99 = ordered[int(len(ordered) * 0.99)] if ordered else float("nan")
        return {
            "429s": f"{self.refused} of {self.requests:,} requests",
            "budget used until all was copied": f"{self.used:.1%}",
            f"first copy, {pages:,} pages of tickets": f"{self.copied_after / 60:.1f} min ({pages / 10:.0f} in theory)",
            "first copy of everything": f"{self.all_copied_after / 60:.1f} min",
            f"behind, p50 and p99 of {len(ordered):,} changes": f"{ordered[len(ordered) // 2]:.0f} s, {p99:.0f} s"
            if ordered
            else "-",
            "false alarms": f"{len(self.false_alarms)} in {self.verifications} verifications, and its own",
            "differences at the end": str(self.differing),
        }


class _CountedTransport:
    def __init__(self, transport: Transport, clock: Callable[[], float]) -> None:
        self._transport, self._clock = transport, clock
        self.sent: list[float] = []
        self.refused = 0

    def send(self, request: Request) -> Answer | Failed:
        self.sent.append(self._clock())
        reply = self._transport.send(request)
        self.refused += isinstance(reply, Answer) and reply.status == 429
        return replace(reply, at=self._clock())

    def close(self) -> None:
        self._transport.close()


def measure_day(
    folder: Path,
    *,
    tickets: int,
    per_page: int,
    hours: float,
    changes_per_minute: float,
    verify_hours: float = 1.0,
    comments: bool = False,
    seed: int = 1,
    tell: Callable[[str], None] = print,
) -> Day:
    """`verify_hours`: between two runs of `mirror verify` beside the mirror."""
    credentials = Credentials("admin@example.com/token", secrets.token_urlsafe(24))
    source = SourceServer(folder, tickets, credentials)
    with source.running():
        return asyncio.run(
            _Desk(folder, source, per_page, changes_per_minute, verify_hours, comments, random.Random(seed), tell).run(
                hours
            )
        )


@dataclass
class _Desk:
    folder: Path
    source: SourceServer
    per_page: int
    changes_per_minute: float
    verify_hours: float
    comments: bool
    chance: random.Random
    tell: Callable[[str], None]
    day: Day = field(default_factory=Day)
    # Changes that the mirror has not given yet: when they were made.
    open: dict[int, float] = field(default_factory=dict)

    async def run(self, hours: float) -> Day:
        self.time = VirtualTime(self.source)
        self.end = self.time.now + hours * 3600
        self.store = await open_store(f"sqlite:///{self.folder / 'mirror.db'}", self.time.seconds)
        self.address = parse_source(f"http://127.0.0.1:{self.source.port}")
        username, password = self.source.credentials.username, self.source.credentials.password
        self.secret = Basic(username.removesuffix("/token"), password)
        self.transport = _CountedTransport(connect(self.address)[0], self.time)
        run = MirrorRun(
            self.store,
            "copy",
            self.address,
            self.secret,
            MirrorOptions(comments=self.comments, per_page=self.per_page, give_up_after_seconds=60),
            note=self._note,
            transport=self.transport,
            clock=self.time,
            sleep=self._sleep,
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.time.joined())  # this task, until all have begun
            tasks = [asyncio.create_task(self._joined(work)) for work in (run.run, self._change, self._verify)]
            await asyncio.sleep(0.5)
        done, _ = await asyncio.wait(tasks[1:], return_when=asyncio.ALL_COMPLETED)
        run.stop()
        await tasks[0]
        for task in done:
            task.result()
        await self._finish()
        return self.day

    async def _joined(self, work: Callable[[], Any]) -> None:
        with self.time.joined():
            await work()

    def _note(self, text: str) -> None:
        self.tell(text)
        if "differs from its source" in text:
            self.day.false_alarms.append(text)

    async def _copy(self) -> Account | None:
        return next(iter(await self.store.list_accounts()), None)

    async def _sleep(self, seconds: float) -> None:
        await self._look()
        await self.time.sleep(seconds)

    async def _look(self) -> None:
        """Note when the first copy is done, and when each change can be read: the mirror waits behind its pages."""
        copy = await self._copy()
        mirror = None if copy is None else await self.store.read_mirror(copy)
        if copy is None or mirror is None:
            return
        passed = self.time.now - self.time.began
        tickets = mirror.stream("tickets")
        if tickets.is_copied and not self.day.copied_after:
            self.day.copied_after, self.day.pages = passed, tickets.pages
            self.tell(f"tickets copied after {passed / 60:.1f} virtual minutes")
        if (
            not self.day.all_copied_after
            and len(mirror.streams) == len(streams_of(comments=self.comments))
            and all(stream.is_copied for stream in mirror.streams.values())
        ):
            self.day.all_copied_after = passed
            self.day.used = len(self.transport.sent) / (10 * (passed / 60 + 1))
            self.tell(f"everything copied after {passed / 60:.1f} virtual minutes, {self.day.used:.1%} used")
        for second in [second for second in self.open if second <= tickets.passed]:
            made_at = self.open.pop(second)
            if self.day.all_copied_after and made_at > self.time.began + self.day.all_copied_after:
                self.day.behind.append(self.time.now - made_at)

    async def _change(self) -> None:
        """Change a ticket now and then, through the API of the source."""
        count = self.source.call("GET", "/api/v2/tickets/count.json")["count"]["value"]
        while self.time.now < self.end:
            await self.time.sleep(self.chance.expovariate(self.changes_per_minute / 60))
            body = {"ticket": {"comment": {"body": f"change {self.day.changes}"}, "priority": "high"}}
            with contextlib.suppress(RuntimeError):  # it may be closed or deleted
                id = self.chance.randrange(1, count + 1)
                path = f"/api/v2/tickets/{id}.json"
                if self.chance.random() < 0.05:
                    self.source.call("DELETE", path)
                else:
                    self.source.call("PUT", path, body)
                self.day.changes += 1
                self.open[self.time.seconds()] = self.time.now

    async def _verify(self) -> None:
        """`mirror verify` beside the mirror, again and again once everything is copied."""
        while self.time.now < self.end - 900:
            await self.time.sleep(min(self.verify_hours * 3600, max(1.0, self.end - 900 - self.time.now)))
            copy = await self._copy()
            if copy is None or not self.day.all_copied_after:
                continue
            findings = await verify_mirror(
                self.store,
                copy,
                self.address,
                self.secret,
                VerifyOptions(per_page=self.per_page),
                transport=_CountedTransport(connect(self.address)[0], self.time),
                clock=self.time,
                sleep=self.time.sleep,
            )
            self.day.verifications += 1
            self.day.false_alarms += [each.line() for each in findings.differences]
            self.tell(f"verified {findings.compared:,} records: {len(findings.differences)} differences")

    async def _finish(self) -> None:
        self.day.refused, self.day.requests = self.transport.refused, len(self.transport.sent)
        self.source.call("POST", "/_ticketfeed/clock", {"set": int(self.time.now) + 180})
        self.time.now += 180
        run = MirrorRun(
            self.store,
            "copy",
            self.address,
            self.secret,
            MirrorOptions(follow=False, per_page=self.per_page),
            clock=self.time,
            sleep=self.time.sleep,
        )
        with self.time.joined():
            await run.run()
        copy = await self._copy()
        assert copy is not None
        source: Store = await open_store(self.source.url, create=False)
        (theirs,) = await source.list_accounts()
        self.day.differing = await compare_stores(source, theirs, self.store, copy)
        self.day.tickets = self.day.differing["tickets"]
        await source.close()
        await self.store.close()
