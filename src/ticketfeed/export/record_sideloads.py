"""What stands beside the records of a page, as `include` asks: one read of the store for each kind."""

from collections.abc import Sequence

from ticketfeed.protocol.model import Account, Slice
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS, Linked, LinkedFrom, OfTicket, find_ids
from ticketfeed.protocol.rows import LinkedTicketRow
from ticketfeed.protocol.sideloads import plan_sideloads
from ticketfeed.storage.contract import RecordStore

__all__ = ["sideload_records"]

BATCH_ROWS = 1000


async def sideload_records(
    store: RecordStore, account: Account, kind: str, include: Sequence[str], bodies: Sequence[bytes]
) -> dict[str, list[bytes]]:
    """The arrays beside records of `kind`, by name. Unknown names are ignored."""
    sideloads, reader = RECORD_SIDELOADS.get(kind, {}), _RecordReader(store, account, bodies)
    return {name: await reader.read(sideloads[name]) for name in include if name in sideloads}


class _RecordReader:
    """Reads what the records of one page need, their tickets once."""

    def __init__(self, store: RecordStore, account: Account, bodies: Sequence[bytes]) -> None:
        self._store, self._account, self._bodies = store, account, bodies
        self._tickets: Sequence[LinkedTicketRow] | None = None

    async def read(self, sideload: Linked | LinkedFrom | OfTicket) -> list[bytes]:
        if isinstance(sideload, Linked):
            return await self._linked(sideload, self._bodies)
        if isinstance(sideload, LinkedFrom):
            found = await self._linked_from(sideload)
            return found if sideload.then is None else await self._linked(sideload.then, found)
        tickets = await self._read_tickets()
        if sideload.name is None:
            return [row.body for row in tickets]
        ids = plan_sideloads([sideload.name], tickets)[sideload.name]
        return [row.body for row in await self._store.read_records(self._account, sideload.name, ids)]

    async def _linked(self, sideload: Linked, bodies: Sequence[bytes]) -> list[bytes]:
        ids = find_ids(bodies, sideload.keys)
        return [row.body for row in await self._store.read_records(self._account, sideload.kind, ids)]

    async def _linked_from(self, sideload: LinkedFrom) -> list[bytes]:
        """No index leads from a record to those that name it, so all of their kind are read: they are few."""
        wanted, found, after = set(find_ids(self._bodies, ("id",))), list[bytes](), None
        while True:
            part = Slice(BATCH_ROWS, after=after)
            rows = await self._store.list_records(self._account, sideload.kind, part)
            found += [row.body for row in rows if wanted.intersection(find_ids([row.body], (sideload.key,)))]
            if len(rows) < BATCH_ROWS:
                return found
            after = rows[-1].id, rows[-1].id

    async def _read_tickets(self) -> Sequence[LinkedTicketRow]:
        """The tickets of the page's records, deleted ones left out."""
        if self._tickets is None:
            rows = await self._store.read_tickets(self._account, find_ids(self._bodies, ("ticket_id",)))
            self._tickets = [row for row in rows if row.status != "deleted"]
        return self._tickets
