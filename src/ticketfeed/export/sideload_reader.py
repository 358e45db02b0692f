"""What stands beside and inside the tickets of a page: read from the store as `include` asks, after the page."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial

from ticketfeed.export.parts import Batches, bodies_of
from ticketfeed.protocol.embedded_sideloads import EMBEDDED, dates_of, join_embedded, metric_events_of, slas_of
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rows import LinkedTicketRow, column
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS, plan_sideloads
from ticketfeed.storage.batches import all_rows, read_batches
from ticketfeed.storage.contract import RecordStore

__all__ = ["TicketSideloads", "needs_links", "sideload_tickets"]

_NULL = b"null"


def needs_links(include: Sequence[str]) -> bool:
    """Whether the rows of tickets must carry their links."""
    return any(name in SIDELOADED_KINDS or name in EMBEDDED for name in include)


async def sideload_tickets(
    store: RecordStore, account: Account, include: Sequence[str], rows: Sequence[LinkedTicketRow], now: int
) -> tuple[dict[str, list[bytes]], list[bytes]]:
    """The arrays beside the tickets, by name, and for each row what is put into it.

    A deleted ticket has no metrics and no history.
    """
    sideloads = TicketSideloads(store, account, include, now)
    embedded = await sideloads.add(rows)
    return {name: await all_rows(bodies) for name, bodies in sideloads.arrays()}, embedded


class TicketSideloads:
    """The same for tickets that are read batch by batch: what is inside each, and then the arrays beside all."""

    def __init__(self, store: RecordStore, account: Account, include: Sequence[str], now: int) -> None:
        self._store, self._account, self._now = store, account, now
        self._include = include
        self._names = [name for name in include if name in EMBEDDED]
        self._ids: dict[str, set[int]] = {kind: set() for kind in plan_sideloads(include, ())}
        if "metric_sets" in self._names:
            self._ids["metric_sets"] = set()

    async def add(self, rows: Sequence[LinkedTicketRow]) -> list[bytes]:
        """What is put into each of these; nothing if nothing is to be."""
        for kind, ids in plan_sideloads(self._include, rows).items():
            self._ids[kind].update(ids)
        if not self._names:
            return []
        reader = _TicketReader(self._store, self._account, rows, self._now)
        if "metric_sets" in self._names:
            self._ids["metric_sets"].update(reader.alive)
        return join_embedded({EMBEDDED[name]: await reader.read(name) for name in self._names})

    def arrays(self) -> Iterator[tuple[str, Batches]]:
        """The arrays beside the tickets that were added, by name."""
        for name, ids in self._ids.items():
            kind = "ticket_metrics" if name == "metric_sets" else name
            yield name, bodies_of(read_batches(partial(self._store.read_records, self._account, kind), ids))


class _TicketReader:
    """Reads what one page of tickets needs, each thing once."""

    def __init__(self, store: RecordStore, account: Account, rows: Sequence[LinkedTicketRow], now: int) -> None:
        self._store, self._account, self._now = store, account, datetime.fromtimestamp(now, UTC)
        self._ids: list[int] = column(rows, "id")
        self.alive = [row.id for row in rows if row.status != "deleted"]
        self._metric_sets: dict[int, bytes] | None = None
        self._events: dict[int, list[bytes]] | None = None

    async def read(self, name: str) -> list[bytes]:
        """One embedded sideload, for each row in order."""
        if name == "metric_sets":
            return self._in_order(await self.metric_sets())
        if name == "dates":
            return self._in_order({id: dates_of(body) for id, body in (await self.metric_sets()).items()})
        if name == "metric_events":
            return self._in_order({id: metric_events_of(found) for id, found in (await self._metric_events()).items()})
        if name == "slas":
            return self._in_order(
                {id: slas_of(found, self._now) for id, found in (await self._metric_events()).items()}
            )
        count = self._store.count_comments if name == "comment_count" else self._store.count_incidents
        counts = await count(self._account, self._ids)
        return [b"%d" % counts.get(id, 0) for id in self._ids]

    async def metric_sets(self) -> dict[int, bytes]:
        if self._metric_sets is None:
            read = partial(self._store.read_records, self._account, "ticket_metrics")
            rows = await all_rows(read_batches(read, self.alive))
            self._metric_sets = {row.id: row.body for row in rows}
        return self._metric_sets

    async def _metric_events(self) -> dict[int, list[bytes]]:
        if self._events is None:
            found = defaultdict[int, list[bytes]](list)
            for event in await self._store.read_of_tickets(self._account, "ticket_metric_events", self.alive):
                found[event.ticket_id].append(event.body)
            self._events = found
        return self._events

    def _in_order(self, found: dict[int, bytes]) -> list[bytes]:
        return [found.get(id, _NULL) for id in self._ids]
