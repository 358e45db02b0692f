"""What stands beside and inside the tickets of a page: read from the store as `include` asks, after the page."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from ticketfeed.protocol.embedded_sideloads import EMBEDDED, dates_of, join_embedded, metric_events_of, slas_of
from ticketfeed.protocol.model import Account
from ticketfeed.protocol.rows import LinkedTicketRow, column
from ticketfeed.protocol.sideloads import SIDELOADED_KINDS, plan_sideloads
from ticketfeed.storage.contract import RecordStore

__all__ = ["needs_links", "sideload_tickets"]

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
    arrays = {}
    for kind, ids in plan_sideloads(include, rows).items():
        arrays[kind] = [row.body for row in await store.read_records(account, kind, ids)]
    inside: dict[str, list[bytes]] = {}
    names = [name for name in include if name in EMBEDDED]
    if not names:
        return arrays, []
    reader = _TicketReader(store, account, rows, now)
    for name in names:
        inside[EMBEDDED[name]] = await reader.read(name)
        if name == "metric_sets":
            arrays["metric_sets"] = [body for _, body in sorted((await reader.metric_sets()).items())]
    return arrays, join_embedded(inside)


class _TicketReader:
    """Reads what one page of tickets needs, each thing once."""

    def __init__(self, store: RecordStore, account: Account, rows: Sequence[LinkedTicketRow], now: int) -> None:
        self._store, self._account, self._now = store, account, datetime.fromtimestamp(now, UTC)
        self._ids: list[int] = column(rows, "id")
        self._alive = [row.id for row in rows if row.status != "deleted"]
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
            rows = await self._store.read_records(self._account, "ticket_metrics", self._alive)
            self._metric_sets = {row.id: row.body for row in rows}
        return self._metric_sets

    async def _metric_events(self) -> dict[int, list[bytes]]:
        if self._events is None:
            found = defaultdict[int, list[bytes]](list)
            for event in await self._store.read_of_tickets(self._account, "ticket_metric_events", self._alive):
                found[event.ticket_id].append(event.body)
            self._events = found
        return self._events

    def _in_order(self, found: dict[int, bytes]) -> list[bytes]:
        return [found.get(id, _NULL) for id in self._ids]
