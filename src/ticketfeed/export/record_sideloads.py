"""What stands beside the records of a page, as `include` asks: one read of the store for each kind."""

from collections.abc import Sequence

from ticketfeed.protocol.identities import identities_of
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
        """What names a user is found by an index. Others are read, all of their kind: they are few."""
        ids = find_ids(self._bodies, ("id",))
        if sideload.key == "user_id":
            bodies = [row.body for row in await self._store.read_of_users(self._account, sideload.kind, ids)]
            return self._identities(bodies) if sideload.kind == "identities" else bodies
        wanted, found, after = set(ids), list[bytes](), None
        while True:
            part = Slice(BATCH_ROWS, after=after)
            rows = await self._store.list_records(self._account, sideload.kind, part)
            found += [row.body for row in rows if wanted.intersection(find_ids([row.body], (sideload.key,)))]
            if len(rows) < BATCH_ROWS:
                return found
            after = rows[-1].id, rows[-1].id

    def _identities(self, stored: Sequence[bytes]) -> list[bytes]:
        """The identities of the users of the page, their email addresses included where they are not stored."""
        by_user: dict[int, list[bytes]] = {}
        for body in stored:
            by_user.setdefault(find_ids([body], ("user_id",))[0], []).append(body)
        found: list[tuple[int, bytes]] = []
        for user in self._bodies:
            of_user = by_user.get(find_ids([user], ("id",))[0], [])
            found += identities_of(user, of_user, self._account.subdomain)
        return [body for _, body in sorted(found)]

    async def _read_tickets(self) -> Sequence[LinkedTicketRow]:
        """The tickets of the page's records, deleted ones left out."""
        if self._tickets is None:
            rows = await self._store.read_tickets(self._account, find_ids(self._bodies, ("ticket_id",)))
            self._tickets = [row for row in rows if row.status != "deleted"]
        return self._tickets
