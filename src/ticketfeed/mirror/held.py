"""What a mirror holds, as a verification compares it."""

import random
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ticketfeed.mirror.drafts import kind_of
from ticketfeed.protocol.mirrors import LOCAL_ID_MIN
from ticketfeed.protocol.model import Account, Filters, Position, Slice, TicketList
from ticketfeed.protocol.rows import FeedRow
from ticketfeed.storage.batches import read_batches
from ticketfeed.storage.contract import Store

__all__ = ["HeldRecord", "HeldRecords", "Shown"]

_ROWS = 1000
_ALL = Filters(support_type_scope="all")


class Shown(msgspec.Struct):
    """What tells the state of a record, in any of a source's answers."""

    id: int = 0
    updated_at: Any = None
    created_at: Any = None
    generated_timestamp: Any = None
    status: Any = None
    ticket_id: Any = None
    active: Any = None
    deleted_at: Any = None


_SHOWN = msgspec.json.Decoder(Shown)


class HeldRecord(NamedTuple):
    """`second`: of its position here; 0 for a kind that is only listed."""

    second: int
    body: bytes

    @property
    def shown(self) -> Shown:
        return _SHOWN.decode(self.body)


class HeldRecords:
    """The records of an account that is a mirror."""

    def __init__(self, store: Store, account: Account) -> None:
        self._store, self._account = store, account

    async def find(self, kind: str, ids: Iterable[int]) -> dict[int, HeldRecord]:
        """Those of these that exist, deleted ones too."""
        wanted, found = list(ids), {}
        for begin in range(0, len(wanted), _ROWS):
            part = wanted[begin : begin + _ROWS]
            if kind == "tickets":
                async for tickets in read_batches(partial(self._store.read_tickets, self._account), part):
                    found.update({row.id: HeldRecord(row.generated_timestamp, bytes(row.body)) for row in tickets})
            else:
                async for rows in read_batches(partial(self._store.read_records, self._account, kind), part):
                    found.update({row.id: HeldRecord(0, bytes(row.body)) for row in rows})
        return found

    async def find_between(self, stream: str, after: Position, end: Position) -> set[int]:
        """The ids of the records of a feed whose positions are after < position <= end."""
        ids: set[int] = set()
        while rows := await self._read_feed(kind_of(stream), after, end.generated_timestamp, _ROWS):
            last = Position(rows[-1].generated_timestamp, rows[-1].id)
            ids.update(row.id for row in rows if Position(row.generated_timestamp, row.id) <= end)
            if last >= end:
                break
            after = last
        return ids

    async def _read_feed(self, kind: str, after: Position, until: int, limit: int) -> Sequence[FeedRow]:
        if kind == "tickets":
            return (await self._store.read_changes(self._account, after, until, limit, _ALL, links=False))[1]
        return (await self._store.read_record_changes(self._account, kind, after, until, limit))[1]

    async def find_start(self, stream: str, passed: int, count: int) -> int:
        """A second since which there are at most `count` records of a feed, or little more; 0 for its beginning."""
        span = 3600
        while span < passed:
            rows = await self._read_feed(kind_of(stream), Position(passed - span, -1), passed, count)
            if len(rows) >= count:
                return passed - span
            span *= 4
        return 0

    async def list_ids(self, kind: str) -> list[int]:
        """The ids of the records of a kind that are not deleted, without users that only the mirror has."""
        ids: list[int] = []
        after: tuple[int, int] | None = None
        while rows := await self._store.list_records(self._account, kind, Slice(limit=_ROWS, after=after)):
            ids += [row.id for row in rows if kind != "users" or row.id < LOCAL_ID_MIN]
            after = (rows[-1].id, rows[-1].id)
        return ids

    async def sample(self, kind: str, count: int) -> dict[int, HeldRecord]:
        """`count` neighbours by id, from anywhere."""
        newest = await self._list(kind, Slice(limit=1, descending=True))
        if not newest:
            return {}
        start = random.randrange(newest[0].id + 1)
        rows = await self._list(kind, Slice(limit=count, after=(start, start)))
        rows = rows or await self._list(kind, Slice(limit=count))
        return await self.find(kind, [row.id for row in rows if kind != "users" or row.id < LOCAL_ID_MIN])

    async def _list(self, kind: str, part: Slice) -> Sequence[Any]:
        if kind == "tickets":
            return await self._store.list_tickets(self._account, TicketList(), part)
        return await self._store.list_records(self._account, kind, part)

    async def count(self, kind: str) -> int:
        """How many there are, without deleted ones."""
        if kind == "tickets":
            return await self._store.count_tickets(self._account, TicketList())
        return await self._store.count_records(self._account, kind)
