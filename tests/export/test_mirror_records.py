"""Readers of users and organizations go from a source to its mirror and back, at any page, and miss no change."""

import asyncio
import random

import msgspec
import pytest

from tests.storage.contract import NOON, START, ManualClock
from ticketfeed.export.source import FeedReader, read_page
from ticketfeed.protocol.mirrors import Mirror, StreamState, passed_second, place_records
from ticketfeed.protocol.model import Account, Filters, Position
from ticketfeed.protocol.query import ExportRequest, SpanRequest
from ticketfeed.protocol.records import RecordDraft, make_record, parse_record
from ticketfeed.storage.memory import MemoryStore
from ticketfeed.storage.write_contract import WriteTransaction

RECORDS = 9
Given = dict[int, bytes]
Place = Position | int


class RecordWalk:
    """A source, its mirror, and readers of one kind.

    `by_time`: whether the export of that kind has no cursor. `loads`: whether records are loaded at the source that
    carry old times. `returns`: whether readers go back to the source.
    """

    def __init__(self, seed: int, kind: str, *, by_time: bool, loads: bool, returns: bool) -> None:
        self.loads, self.returns = loads, returns
        self.chance, self.kind, self.by_time = random.Random(seed), kind, by_time
        self.clock = ManualClock()
        self.source, self.mirror = MemoryStore(self.clock), MemoryStore(self.clock)
        self.moved = set[int]()
        self.walked: Place = 0 if by_time else START
        self.readers: list[tuple[Place, Given]] = [(self.walked, {}) for _ in range(3)]

    async def run(self) -> None:
        self.at_source = await self.source.create_account("acme")
        self.at_mirror = await self.mirror.create_account("acme")
        for _ in range(120):
            await self.chance.choice([self.write, self.walk, self.walk, self.read])()
        for _ in range(40):
            self.clock.now += 60
            await self.walk()
        final = await self.source.read_records(self.at_source, self.kind, range(1, RECORDS + 1))
        assert await self.mirror.read_records(self.at_mirror, self.kind, range(1, RECORDS + 1)) == final
        for number in range(len(self.readers)):
            for _ in range(40):
                await self.read_from(number, self.mirror, self.at_mirror)
            assert self.readers[number][1] == {row.id: row.body for row in final}

    async def write(self) -> None:
        """Change some records; at times many that are loaded carry old times, which positions do not go by."""
        self.clock.now += self.chance.choice([0, 0, 1, 2, 30])
        ids = self.chance.sample(range(1, RECORDS + 1), self.chance.randint(1, 4))
        text = str(self.chance.random())
        is_load = self.loads and self.chance.random() < 0.2
        old = {"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z"}

        def draft(id: int) -> RecordDraft:
            values = {"id": id, "name": text}
            if is_load:
                return parse_record(self.kind, msgspec.json.encode({**values, **old}), account="acme", now=NOON)
            return make_record(self.kind, values, account="acme", now=self.clock.now)

        await self.source.write(self.at_source, lambda write: write.put_records([draft(id) for id in ids]))

    async def page(self, store: MemoryStore, account: Account, place: Place) -> tuple[list[RecordDraft], Place, bool]:
        if isinstance(place, Position):
            request = ExportRequest(place, self.chance.choice([1, 2, 4]), Filters(), (), ())
            read = await read_page(store, account, request, now=self.clock.now, settle_seconds=0, kind=self.kind)
            rows, after, ended = read.rows, read.after, read.end_of_stream
        else:
            reader = FeedReader(store, account, self.kind, Filters(), (), self.clock.now, self.clock.now)
            span = await reader.read_span(SpanRequest(place, RECORDS, Filters(), (), ()))
            assert span is not None
            rows, after, ended = span.rows, span.end_time, span.end_of_stream
        parsed = [parse_record(self.kind, row.body, account="acme", now=self.clock.now) for row in rows]
        return parsed, after, ended

    async def walk(self) -> None:
        drafts, after, ended = await self.page(self.source, self.at_source, self.walked)
        if isinstance(after, Position):
            assert isinstance(self.walked, Position)
            placed, passed = place_records(drafts, self.walked, after), passed_second(after[0], has_ended=ended)
        else:
            assert isinstance(self.walked, int)
            placed = place_records(drafts, Position(self.walked, -1), Position(after, 0))
            holds_end = any(draft.generated_timestamp == after for draft in placed)
            passed = passed_second(after, has_ended=ended, holds_end=holds_end)
        state = StreamState(passed=passed, has_ended=ended)

        def work(write: WriteTransaction) -> None:
            write.put_mirror((write.mirror or Mirror("x")).with_stream(self.kind, state))
            write.put_records(placed)

        await self.mirror.write(self.at_mirror, work, mirror=True)
        self.walked = after

    async def read(self) -> None:
        number = self.chance.randrange(len(self.readers))
        if number not in self.moved and self.chance.random() < 0.5:
            await self.read_from(number, self.source, self.at_source)
        else:
            self.moved |= set() if self.returns else {number}
            await self.read_from(number, self.mirror, self.at_mirror)

    async def read_from(self, number: int, store: MemoryStore, account: Account) -> None:
        place, given = self.readers[number]
        drafts, after, _ = await self.page(store, account, place)
        given |= {draft.id: draft.body for draft in drafts}
        self.readers[number] = after, given


CASES = [
    ("users", {"by_time": False, "loads": False, "returns": True}),
    ("organizations", {"by_time": True, "loads": False, "returns": True}),
    # Where records carry other times than their positions, which the wire does not tell, some are later here.
    ("users", {"by_time": False, "loads": True, "returns": False}),
    ("organizations", {"by_time": True, "loads": True, "returns": False}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_records_on_both_sides(kind: str, options: dict[str, bool]) -> None:
    """Whatever their positions are, and whichever side a page comes from."""

    async def main() -> None:
        for seed in range(30):
            await RecordWalk(seed, kind, **options).run()

    asyncio.run(main())
