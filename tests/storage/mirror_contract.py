"""What every Store does for a mirror: an account that is a copy of another one."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest

from tests.storage.contract import ALL, NOON, START, ManualClock, StoreCase, putting, ticket, user
from ticketfeed.export.source import read_page
from ticketfeed.protocol.errors import AccountIsMirror, BadInput, BadRecord
from ticketfeed.protocol.jobs import Job
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN, Mirror, StreamState, passed_second
from ticketfeed.protocol.model import INT64_MAX, Account, FeedState, Position, Slice
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.query import ExportRequest
from ticketfeed.protocol.records import RecordDraft, parse_record
from ticketfeed.protocol.tickets import TicketDraft, parse_ticket, stored_draft
from ticketfeed.protocol.watermark import FENCED, SOURCE_BEHIND_SECONDS
from ticketfeed.storage.contract import Store
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction

SOURCE = "https://source.example"
Draft = TicketDraft | RecordDraft


def copying(*drafts: Draft, ended: bool = False, **passed: int) -> Callable[[WriteTransaction], int]:
    """A page of a mirror: its records, and how far each stream has passed."""

    def work(write: WriteTransaction) -> int:
        mirror = write.mirror or Mirror(SOURCE)
        for stream, second in passed.items():
            mirror = mirror.with_stream(stream, StreamState({"n": second}, second, has_ended=ended))
        write.put_mirror(mirror)
        return write.load(drafts)

    return work


def group(id: int, second: int = NOON - 500, **values: object) -> RecordDraft:
    return user(id, **values)._replace(kind="groups", generated_timestamp=second)


class MirrorContract(StoreCase):
    """What every Store does for a mirror. `walks`: how often a random one is made."""

    walks: ClassVar[int] = 2

    async def _feed(self, store: Store, account: Account, kind: str = "tickets") -> list[tuple[int, int]]:
        if kind == "tickets":
            _, rows = await store.read_changes(account, START, INT64_MAX, 1000, ALL, links=False)
        else:
            _, rows = await store.read_record_changes(account, kind, START, INT64_MAX, 1000)
        return [(row.generated_timestamp, row.id) for row in rows]

    def test_a_mirror_is_read_as_far_as_its_source_was_walked(self) -> None:
        """Tickets and each kind of record keep their seconds, up to what their stream has passed, whatever the time."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            event = parse_record("audits", b'{"id":1,"ticket_id":1}', account="acme", now=600)
            page = [ticket(1, 100), ticket(2, 200), ticket(3, 200), user(5)._replace(generated_timestamp=300), event]
            count = await store.write(account, copying(*page, group(9), tickets=199, users=300), mirror=True)
            assert count == 6
            clock.now += 3600
            assert not await store.close_newest(account)
            assert await self._feed(store, account) == [(100, 1)]
            assert await self._feed(store, account, "users") == [(300, 5)]
            assert await self._feed(store, account, "audits") == []
            state, _ = await store.read_record_changes(account, "users", START, INT64_MAX, 1)
            assert state == FeedState(300, 300, is_mirror=True)
            await store.write(account, copying(ticket(1, 201), tickets=201, ticket_events=600, ended=True), mirror=True)
            assert await self._feed(store, account) == [(200, 2), (200, 3), (201, 1)]
            assert await self._feed(store, account, "audits") == [(600, 1)]
            state, left = await store.read_invalidations(account, 0)
            assert (state, left) == (FeedState(201, 201, 3, 1, 1, is_mirror=True), [Position(100, 1)])
            mirror = await store.read_mirror(account)
            assert mirror is not None
            assert mirror.stream("tickets").state == {"n": 201}
            assert await store.read_mirrors() == {account.account_id: mirror}
            other = await store.create_account("other")
            assert await store.read_mirror(other) is None

        self.run(scenario)

    def test_every_other_write_of_a_mirror_is_refused(self) -> None:
        """Nothing of it is stored; credentials and users of the mirror's own are, and no export has those."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, copying(ticket(1, 100), user(5), tickets=100, users=NOON), mirror=True)
            before = await store.read_state(account)
            job = Job("a", "create tickets", 5, NOON, 1)
            refused: list[Callable[[WriteTransaction], object]] = [
                putting([ticket(2)]),
                lambda write: write.put_records([user(6)]),
                lambda write: write.load([ticket(2)]),
                lambda write: write.rewind(5),
                lambda write: write.add_job(job, [b"{}"]),
                lambda write: write.put_records([user(LOCAL_ID_MIN), user(6)]),
            ]
            for work in refused:
                with pytest.raises(AccountIsMirror, match=f"^This account mirrors {SOURCE} and is read-only$"):
                    await store.write(account, work)
            for change in (
                lambda write: write.put_mirror(Mirror("x")),
                lambda write: write.delete_tickets([1]),
                lambda write: write.delete_records("users", [5]),
                lambda write: write.overwrite([]),
                lambda write: write.fence_mirror(5),
            ):
                with pytest.raises(ValueError, match="mirror=True"):
                    await store.write(account, change)
            assert await store.read_state(account) == before

            def add_reader(write: WriteTransaction) -> None:
                write.put_records([user(LOCAL_ID_MIN + 7, "reader@acme.com")])
                write.add_credential(LOCAL_ID_MIN + 7, "api_token", "hash")
                write.add_credential(5, "api_token", "other")

            await store.write(account, add_reader)
            for secret in ("hash", "other"):
                assert await store.find_token_user(account, secret) is not None
            await store.write(account, copying(users=INT64_MAX - 1, ended=True), mirror=True)
            assert await self._feed(store, account, "users") == [(NOON, 5)]
            assert len(await store.list_records(account, "users", Slice(10))) == 2
            with pytest.raises(BadRecord, match="mirror's own"):
                await store.write(account, copying(user(LOCAL_ID_MIN + 7, "thief@x.com")), mirror=True)

            def remove_all(write: WriteTransaction) -> tuple[list[int], int]:
                return write.list_ids("users"), write.delete_records("users", [5, LOCAL_ID_MIN + 7])

            assert await store.write(account, remove_all, mirror=True) == ([5], 1)
            assert await store.find_token_user(account, "hash") is not None

            await store.write(account, _closing(NOON), mirror=True)
            with pytest.raises(
                AccountIsMirror, match=r"^This account is an archive of .*, closed on 2023-11-14, and is"
            ):
                await store.write(account, putting([ticket(2)]))

        self.run(scenario)

    def test_only_an_empty_account_becomes_a_mirror(self) -> None:
        """One with tickets or records is refused and stays as it is; a fence does not hide what the source has."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            people = await store.create_account("people")
            await store.write(account, putting([ticket(1)]))
            await store.write(people, lambda write: write.put_records([user(1)]))
            for each in (account, people):
                before = await store.read_state(each)
                with pytest.raises(BadInput, match="of its own"):
                    await store.write(each, copying(ticket(7, 100), tickets=100), mirror=True)
                assert await store.read_state(each) == before
                assert await store.read_mirror(each) is None
            await store.fence(account, 5)
            fenced = await store.create_account("fenced")
            await store.write(fenced, copying(ticket(7, 100), user(5), tickets=100, users=NOON), mirror=True)
            assert await self._feed(store, fenced) == [(100, 7)]
            assert await self._feed(store, fenced, "users") == [(NOON, 5)]

        self.run(scenario)

    def test_a_page_is_stored_whole_or_not_at_all(self) -> None:
        """A write that fails after it has put its records leaves neither them nor the state of the walk."""

        async def scenario(store: Store, account: Account, _clock: ManualClock) -> None:
            await store.write(account, copying(ticket(1, 100), tickets=100), mirror=True)
            before = await store.read_state(account), await store.read_mirror(account)

            def failing(write: WriteTransaction) -> None:
                copying(ticket(1, 150), ticket(2, 200), user(5), tickets=200, users=200)(write)
                raise BadInput("the disk is full")

            with pytest.raises(BadInput, match="disk"):
                await store.write(account, failing, mirror=True)
            assert (await store.read_state(account), await store.read_mirror(account)) == before
            assert await self._feed(store, account) == [(100, 1)]
            assert await store.read_records(account, "users", [5]) == []

        self.run(scenario)

    def test_what_comes_again_late_or_old(self) -> None:
        """What is stored is left alone, older states replace no newer ones, and late ones are put where none passed."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            clock.now = 350
            page = [ticket(1, 100), ticket(2, 200), ticket(3, 300), user(5, "a@acme.com"), group(7, 400)]
            await store.write(account, copying(*page, tickets=300, users=NOON, ended=True), mirror=True)
            state = await store.read_state(account)
            assert await store.write(account, copying(*page), mirror=True) == 0
            assert await store.write(account, copying(ticket(2, 150, subject="old")), mirror=True) == 0
            assert await store.read_state(account) == state
            late = [ticket(1, 250, subject="late"), ticket(4, 50), user(5, "b@acme.com"), group(7, 399, name="new")]
            assert await store.write(account, copying(*late), mirror=True) == 4
            assert await self._feed(store, account) == [(200, 2), (300, 3)]
            clock.now = 301 + SOURCE_BEHIND_SECONDS - 1
            await store.write(account, copying(), mirror=True)
            assert await self._feed(store, account) == [(200, 2), (300, 3)]
            clock.now += 1
            await store.write(account, copying(), mirror=True)
            assert await self._feed(store, account) == [(200, 2), (300, 3), (301, 1), (301, 4)]
            clock.now = NOON + 1 + SOURCE_BEHIND_SECONDS
            await store.write(account, copying(), mirror=True)
            assert await self._feed(store, account, "users") == [(NOON + 1, 5)]
            (row,) = await store.read_tickets(account, [1])
            assert b'"generated_timestamp":301,' in row.body

            def repair(write: WriteTransaction) -> int:
                return write.overwrite([ticket(3, 100, subject="as there"), ticket(2, 200)])

            assert await store.write(account, repair, mirror=True) == 1
            assert await store.write(account, lambda write: write.delete_tickets([4, 4, 9]), mirror=True) == 1
            assert await store.write(account, lambda write: write.delete_records("groups", [7, 8]), mirror=True) == 1
            assert (await store.read_state(account)).ticket_count == 3
            assert await store.read_records(account, "groups", [7]) == []
            _, left = await store.read_invalidations(account, 0)
            assert sorted(left) == [(100, 1), (300, 3), (301, 4)]
            await store.write(account, copying(), mirror=True)
            assert await self._feed(store, account) == [(200, 2), (301, 1), (302, 3)]

        self.run(scenario)

    def test_fences(self) -> None:
        """A fence of the store leaves a mirror where it is; its own one, for a source that went back, does not."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            page = copying(ticket(1, 100), user(5)._replace(generated_timestamp=100), tickets=100, users=100)
            await store.write(account, page, mirror=True)
            fenced = await store.fence(account, 5)
            assert fenced == replace(await store.read_state(account))
            assert fenced == FeedState(100, 100, 1, FENCED, 1 + FENCED, is_mirror=True)
            await store.write(account, lambda write: write.fence_mirror(5), mirror=True)
            assert (await store.read_state(account)).watermark == NOON + 5
            again = copying(ticket(1, 90, subject="other"), user(6)._replace(generated_timestamp=90))
            await store.write(account, again, mirror=True)
            clock.now += 6 + SOURCE_BEHIND_SECONDS
            await store.write(account, copying(tickets=90, users=90, ended=True), mirror=True)
            assert await self._feed(store, account) == [(100, 1)]
            await store.write(account, overwriting(ticket(1, 90, subject="other")), mirror=True)
            assert await self._feed(store, account) == [(NOON + 6, 1)]
            assert await self._feed(store, account, "users") == [(100, 5), (NOON + 6, 6)]

        self.run(scenario)

    def test_no_reader_misses_a_change(self) -> None:
        """A source is written, walked and read at random, the walk is cut at any place, and readers move between both.

        At the end each of them has been given the latest state of every ticket.
        """
        for seed in range(self.walks):

            async def scenario(store: Store, account: Account, clock: ManualClock, seed: int = seed) -> None:
                await Walk(random.Random(seed), store, account, clock).run()

            self.run(scenario)

    def test_readers_beside_the_walk(self) -> None:
        """Pages that are written while others are read: each reader ends with what is stored, and none goes back."""

        async def scenario(store: Store, account: Account, clock: ManualClock) -> None:
            await store.write(account, copying(tickets=1), mirror=True)
            stop = asyncio.Event()

            async def walk() -> None:
                for number in range(30):
                    second = 100 + number
                    page = [
                        ticket(id, second, subject=str(number)) for id in (1 + number % 7, 20 + number, 7 + number % 3)
                    ]
                    await store.write(
                        account, copying(*page, tickets=passed_second(second, has_ended=False)), mirror=True
                    )
                await store.write(account, copying(tickets=129, ended=True), mirror=True)
                stop.set()

            async def read() -> dict[int, bytes]:
                after, given, is_last = START, dict[int, bytes](), False
                while not is_last:
                    is_last = stop.is_set()
                    request = ExportRequest(after, 5, ALL, (), ())
                    page = await read_page(store, account, request, now=clock.now, settle_seconds=0)
                    assert all(position_of(row) > after for row in page.rows)
                    given |= {row.id: row.body for row in page.rows}
                    after, is_last = page.after, is_last and page.end_of_stream
                    await asyncio.sleep(0)
                return given

            _, *all_given = await asyncio.gather(walk(), *(read() for _ in range(3)))
            stored = {row.id: row.body for row in await store.read_tickets(account, range(100))}
            assert all(given == stored for given in all_given)

        self.run(scenario)


def overwriting(*drafts: Draft) -> Callable[[WriteTransaction], int]:
    return lambda write: write.overwrite(drafts)


def _closing(second: int) -> Callable[[WriteTransaction], None]:
    def work(write: WriteTransaction) -> None:
        assert write.mirror is not None
        write.put_mirror(Mirror(SOURCE, write.mirror.identity, write.mirror.streams, closed_at=second))

    return work


class _Cut(Exception):
    """The walk is ended in the middle of a page."""


class Walk:
    """A source, its mirror, and readers that go from one to the other. From some sources rows come late,
    and nobody reads there."""

    def __init__(self, chance: random.Random, mirror: Store, account: Account, clock: ManualClock) -> None:
        self.chance, self.mirror, self.account, self.clock = chance, mirror, account, clock
        self.source = MemoryStore(clock)
        # A reader's position, and what it was given last of each ticket.
        self.readers: list[tuple[Position, dict[int, bytes]]] = [(START, {}) for _ in range(4)]
        self.keeps_promise = chance.random() < 0.6

    async def run(self) -> None:
        self.at_source = await self.source.create_account("acme")
        for _ in range(150):
            step = self.chance.choice([self.write, self.write, self.walk, self.walk, self.read])
            await step()
        for _ in range(60):
            self.clock.now += 60
            await self.walk(cuts=False)
        for number in range(len(self.readers)):
            for _ in range(60):
                await self.read_one(number, self.mirror, self.account)
        stored = {row.id: row.body for row in await self.mirror.read_tickets(self.account, range(1, 13))}
        final = {row.id: row.body for row in await self.source.read_tickets(self.at_source, range(1, 13))}
        if self.keeps_promise:
            assert stored == final
        else:
            assert stored.keys() == final.keys()
        for number, (_, given) in enumerate(self.readers):
            assert given == stored, number

    async def write(self) -> None:
        self.clock.now += self.chance.choice([0, 0, 0, 1, 2, 30])
        ids = {self.chance.randint(1, 12) for _ in range(self.chance.randint(1, 3))}
        text = str(self.chance.random())
        await self.source.write(self.at_source, putting([ticket(id, subject=text) for id in ids]))

    async def walk(self, *, cuts: bool = True) -> None:
        """Copy one page."""
        known = await self.mirror.read_mirror(self.account)
        stream = (known or Mirror(SOURCE)).stream("tickets")
        after = Position(*stream.state["after"]) if stream.state else START
        request = ExportRequest(after, self.chance.choice([1, 2, 5]), ALL, (), ())
        page = await read_page(self.source, self.at_source, request, now=self.clock.now, settle_seconds=0)
        drafts = [parse_ticket(row.body, account="acme", now=self.clock.now) for row in page.rows]
        if not self.keeps_promise:
            drafts = [draft if self.chance.random() < 0.7 else self._late(draft) for draft in drafts]
        passed = passed_second(page.after.generated_timestamp, has_ended=page.end_of_stream)
        state = StreamState({"after": list(page.after)}, passed, has_ended=page.end_of_stream)

        def work(write: WriteTransaction) -> None:
            write.put_mirror((write.mirror or Mirror(SOURCE)).with_stream("tickets", state))
            write.put_tickets(drafts)
            if cuts and self.chance.random() < 0.2:
                raise _Cut

        with contextlib.suppress(_Cut):
            await self.mirror.write(self.account, work, mirror=True)

    def _late(self, draft: TicketDraft) -> TicketDraft:
        return stored_draft(draft.row_at(max(1, draft.generated_timestamp - self.chance.randint(0, 60))))

    async def read(self) -> None:
        number = self.chance.randrange(len(self.readers))
        is_source = self.keeps_promise and self.chance.random() < 0.5
        if is_source:
            await self.read_one(number, self.source, self.at_source)
        elif await self.mirror.read_mirror(self.account) is not None:
            await self.read_one(number, self.mirror, self.account)

    async def read_one(self, number: int, store: Store, account: Account) -> None:
        after, given = self.readers[number]
        request = ExportRequest(after, self.chance.choice([1, 2, 7]), ALL, (), ())
        page = await read_page(store, account, request, now=self.clock.now, settle_seconds=0)
        given.update({row.id: row.body for row in page.rows})
        assert all(position_of(row) > after for row in page.rows)
        self.readers[number] = page.after, given
