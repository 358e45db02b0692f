"""Lists of records with filters and orders, which no index of a store has: read from the store in batches.

Of what a batch holds, only keys and ids are kept; the bodies of one page are read at the end. A list without filters
and in the order of ids is read from the store as it is, and one by external_id or by the role of agents with an index.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial

from ticketfeed.protocol.list_request import ListRequest, slice_rows
from ticketfeed.protocol.model import INT64_MAX, Account, ListOrder, Slice, TicketList
from ticketfeed.protocol.paging import is_cut, page_rows
from ticketfeed.protocol.record_list import RecordList, make_list_key
from ticketfeed.protocol.rows import BodyRow, LinkedTicketRow, ListRow
from ticketfeed.storage.batches import ROWS_MAX, list_batches, ordered_batches
from ticketfeed.storage.contract import RecordStore

__all__ = ["count_record_list", "read_kind", "read_matching", "read_record_list", "row_batches", "ticket_batches"]


async def read_record_list(
    store: RecordStore, account: Account, records: RecordList, request: ListRequest
) -> tuple[AsyncIterator[Sequence[ListRow]], int | None]:
    """The part of a list that the request asks for, and with offset pagination how many records the list has."""
    part, is_counted = request.part, request.number is not None
    if not records.checks and part.order == "id":
        read = partial(store.list_records, account, records.kind, deleted=records.deleted)
        return list_batches(read, part), await count_record_list(store, account, records) if is_counted else None
    found: list[ListRow] = []
    is_narrow = records.external_id is not None or records.keys is not None
    needed = part.limit if part.order == "id" and not is_counted and not is_narrow else None
    async for row in _matching(store, account, records, part if needed else Slice(INT64_MAX)):
        found.append(ListRow(_key(records.kind, part.order, row), row.id, b""))
        if len(found) == needed:
            break
    return row_batches(store, account, records.kind, slice_rows(found, part)), len(found) if is_counted else None


async def read_matching(batches: AsyncIterator[Sequence[ListRow]], matches: Callable[[bytes], bool]) -> list[ListRow]:
    """Those of a list that match, without their bodies."""
    return [row._replace(body=b"") async for rows in batches for row in rows if matches(row.body)]


async def row_batches(
    store: RecordStore, account: Account, kind: str, rows: Sequence[ListRow]
) -> AsyncIterator[Sequence[ListRow]]:
    """These rows with their bodies; those that do not exist are left out."""

    async def read(part: Sequence[ListRow]) -> dict[ListRow, bytes] | None:
        found = await read_kind(store, account, kind, [row.id for row in part])
        bodies = {row.id: row.body for row in found}
        return None if is_cut(found) else {row: bodies[row.id] for row in part if row.id in bodies}

    async for batch in ordered_batches(read, rows):
        yield [row._replace(body=body) for row, body in batch]


async def ticket_batches(
    store: RecordStore, account: Account, tickets: TicketList, part: Slice
) -> AsyncIterator[Sequence[ListRow]]:
    """A part of a list of tickets.

    It may take an engine long to find where to go on, where no index has the order. So that is done once for what does
    not fit into a page, whose bodies are then read by id.
    """
    wanted = part.limit
    while wanted:
        part = replace(part, limit=min(wanted, ROWS_MAX))
        rows = await store.list_tickets(account, tickets, part)
        count = len(rows)
        batch = page_rows(rows)
        is_large = len(batch) < count
        if batch:
            last, count = batch[-1], len(batch)
            part = replace(part, after=(last.key, last.id), offset=0, limit=part.limit - count)
            yield batch
        del rows, batch  # before the next ones are read
        if is_large:
            others = await store.list_tickets(account, tickets, part, bodies=False)
            async for batch in row_batches(store, account, "tickets", others):
                yield batch
            if others:
                part = replace(part, after=(others[-1].key, others[-1].id), limit=part.limit - len(others))
            count += len(others)
        wanted = wanted - count if not part.limit else 0


async def read_kind(
    store: RecordStore, account: Account, kind: str, ids: Sequence[int]
) -> Sequence[LinkedTicketRow | BodyRow]:
    """`read_tickets` or `read_records` of the store."""
    if kind == "tickets":
        return await store.read_tickets(account, ids)
    return await store.read_records(account, kind, ids)


async def count_record_list(store: RecordStore, account: Account, records: RecordList) -> int:
    """How many records a list has."""
    if not records.checks:
        return await store.count_records(account, records.kind, deleted=records.deleted)
    count = 0
    async for _ in _matching(store, account, records, Slice(INT64_MAX)):
        count += 1
    return count


async def _matching(store: RecordStore, account: Account, records: RecordList, part: Slice) -> AsyncIterator[ListRow]:
    """The records of a list by id, in the direction of `part` and from where it begins."""
    if records.external_id is not None or records.keys is not None:
        for candidate in await _read_candidates(store, account, records):
            if records.holds(candidate.body):
                yield ListRow(candidate.id, candidate.id, candidate.body)
        return
    read = partial(store.list_records, account, records.kind, deleted=records.deleted)
    async for rows in list_batches(read, Slice(INT64_MAX, "id", part.descending, part.after)):
        for row in rows:
            if records.holds(row.body):
                yield row


async def _read_candidates(store: RecordStore, account: Account, records: RecordList) -> Sequence[BodyRow]:
    if records.external_id is not None:
        text = records.external_id.replace("\0", "")  # no stored one has a NUL
        return await store.read_external(account, records.kind, [text])
    return await store.read_by_key(account, records.kind, records.keys or ())


def _key(kind: str, order: ListOrder, row: ListRow) -> int | str:
    return row.id if order == "id" else make_list_key(kind, order, row.body)
