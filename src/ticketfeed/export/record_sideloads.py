"""What stands beside the records of a page, as `include` asks: one read of the store for each kind."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from functools import partial

from ticketfeed.export.parts import Batches, bodies_of
from ticketfeed.protocol.identities import identities_of
from ticketfeed.protocol.model import INT64_MAX, Account, Slice
from ticketfeed.protocol.record_sideloads import RECORD_SIDELOADS, Linked, LinkedFrom, OfTicket, find_ids
from ticketfeed.protocol.rows import BodyRow, LinkedTicketRow, ListRow
from ticketfeed.protocol.sideloads import plan_sideloads
from ticketfeed.storage.batches import all_rows, list_batches, read_batches
from ticketfeed.storage.contract import RecordStore

__all__ = ["RecordSideloads", "sideload_records"]


async def sideload_records(
    store: RecordStore, account: Account, kind: str, include: Sequence[str], bodies: Sequence[bytes]
) -> dict[str, list[bytes]]:
    """The arrays beside records of `kind`, by name. Unknown names are ignored."""
    sideloads = RecordSideloads(store, account, kind, include)
    sideloads.add(bodies)
    return {name: await all_rows(found) for name, found in sideloads.arrays()}


class RecordSideloads:
    """The same for records that are added batch by batch."""

    def __init__(self, store: RecordStore, account: Account, kind: str, include: Iterable[str]) -> None:
        self._store, self._account, self._kind = store, account, kind
        sideloads = RECORD_SIDELOADS.get(kind, {})
        self._sideloads = {name: sideloads[name] for name in include if name in sideloads}
        # Keys of the records -> the ids under them.
        self._ids: dict[tuple[str, ...], set[int]] = {_keys(each): set() for each in self._sideloads.values()}

    def add(self, bodies: Sequence[bytes]) -> None:
        """Note what is to be read for these."""
        for keys, ids in self._ids.items():
            ids.update(find_ids(bodies, keys))

    def arrays(self) -> Iterator[tuple[str, Batches]]:
        """The arrays beside the records that were added, by name."""
        for name, sideload in self._sideloads.items():
            yield name, self._read(sideload, self._ids[_keys(sideload)])

    async def _read(self, sideload: Linked | LinkedFrom | OfTicket, ids: set[int]) -> Batches:
        if isinstance(sideload, Linked):
            found = self._records(sideload.kind, ids)
        elif isinstance(sideload, OfTicket):
            found = self._of_tickets(sideload.name, ids)
        elif sideload.then is None:
            found = self._linked_from(sideload, ids)
        else:
            linked: set[int] = set()
            async for bodies in self._linked_from(sideload, ids):
                linked.update(find_ids(bodies, sideload.then.keys))
            found = self._records(sideload.then.kind, linked)
        async for bodies in found:
            yield bodies

    def _records(self, kind: str, ids: Iterable[int]) -> Batches:
        return bodies_of(self._record_rows(kind, ids))

    def _record_rows(self, kind: str, ids: Iterable[int]) -> AsyncIterator[Sequence[BodyRow]]:
        return read_batches(partial(self._store.read_records, self._account, kind), ids)

    async def _linked_from(self, sideload: LinkedFrom, ids: set[int]) -> Batches:
        """What names a user is found by an index. Others are read, all of their kind: they are few."""
        if sideload.kind == "identities":
            async for users in self._records(self._kind, ids):
                yield await self._identities(users)
        elif sideload.key == "user_id":
            yield [row.body for row in await self._store.read_of_users(self._account, sideload.kind, sorted(ids))]
        else:
            async for rows in self._listed(sideload.kind):
                yield [row.body for row in rows if ids.intersection(find_ids([row.body], (sideload.key,)))]

    def _listed(self, kind: str) -> AsyncIterator[Sequence[ListRow]]:
        return list_batches(partial(self._store.list_records, self._account, kind), Slice(INT64_MAX))

    async def _identities(self, users: Sequence[bytes]) -> list[bytes]:
        """The identities of users, their email addresses included where they are not stored."""
        by_user: dict[int, list[bytes]] = {}
        for row in await self._store.read_of_users(self._account, "identities", find_ids(users, ("id",))):
            by_user.setdefault(find_ids([row.body], ("user_id",))[0], []).append(row.body)
        found: list[tuple[int, bytes]] = []
        for user in users:
            of_user = by_user.get(find_ids([user], ("id",))[0], [])
            found += identities_of(user, of_user, self._account.subdomain)
        return [body for _, body in sorted(found)]

    async def _of_tickets(self, name: str | None, ids: set[int]) -> Batches:
        """The tickets with these ids, deleted ones left out, or what they sideload under a name."""
        linked: set[int] = set()
        read = partial(self._store.read_tickets, self._account)
        async for tickets in read_batches(read, ids):
            alive: list[LinkedTicketRow] = [row for row in tickets if row.status != "deleted"]
            if name is None:
                yield [row.body for row in alive]
            else:
                linked.update(plan_sideloads([name], alive)[name])
        if name is not None:
            async for bodies in self._records(name, linked):
                yield bodies


def _keys(sideload: Linked | LinkedFrom | OfTicket) -> tuple[str, ...]:
    """Under which keys of the records the ids stand that are to be read."""
    if isinstance(sideload, Linked):
        return sideload.keys
    return ("id",) if isinstance(sideload, LinkedFrom) else ("ticket_id",)
