"""Lists of records with filters and orders, which no index of a store has: read from the store in batches.

Of what a batch holds, only keys and ids are kept; the bodies of one page are read at the end. A list without filters
and in the order of ids is read from the store as it is, and one by external_id or by the role of agents with an index.
"""

from collections.abc import AsyncIterator, Sequence

from ticketfeed.protocol.list_request import ListRequest, slice_rows
from ticketfeed.protocol.model import Account, ListOrder, Slice
from ticketfeed.protocol.record_list import RecordList, make_list_key
from ticketfeed.protocol.rows import BodyRow, ListRow
from ticketfeed.storage.contract import RecordStore

__all__ = ["count_record_list", "read_record_list"]

# How many records are read at once: a few milliseconds of work.
BATCH_ROWS = 1000


async def read_record_list(
    store: RecordStore, account: Account, records: RecordList, request: ListRequest
) -> tuple[Sequence[ListRow], int | None]:
    """The part of a list that the request asks for, and with offset pagination how many records the list has."""
    part, is_counted = request.part, request.number is not None
    if not records.checks and part.order == "id":
        rows = await store.list_records(account, records.kind, part, deleted=records.deleted)
        return rows, await count_record_list(store, account, records) if is_counted else None
    found: list[ListRow] = []
    is_narrow = records.external_id is not None or records.keys is not None
    needed = part.limit if part.order == "id" and not is_counted and not is_narrow else None
    async for row in _matching(store, account, records, part if needed else Slice(BATCH_ROWS)):
        found.append(ListRow(_key(records.kind, part.order, row), row.id, b""))
        if len(found) == needed:
            break
    page = slice_rows(found, part)
    read = await store.read_records(account, records.kind, [row.id for row in page])
    bodies = {row.id: row.body for row in read}
    rows = [row._replace(body=bodies[row.id]) for row in page if row.id in bodies]
    return rows, len(found) if is_counted else None


async def count_record_list(store: RecordStore, account: Account, records: RecordList) -> int:
    """How many records a list has."""
    if not records.checks:
        return await store.count_records(account, records.kind, deleted=records.deleted)
    count = 0
    async for _ in _matching(store, account, records, Slice(BATCH_ROWS)):
        count += 1
    return count


async def _matching(store: RecordStore, account: Account, records: RecordList, part: Slice) -> AsyncIterator[ListRow]:
    """The records of a list by id, in the direction of `part` and from where it begins."""
    if records.external_id is not None or records.keys is not None:
        for candidate in await _read_candidates(store, account, records):
            if records.holds(candidate.body):
                yield ListRow(candidate.id, candidate.id, candidate.body)
        return
    after = part.after
    while True:
        batch = Slice(BATCH_ROWS, "id", part.descending, after)
        rows = await store.list_records(account, records.kind, batch, deleted=records.deleted)
        for row in rows:
            if records.holds(row.body):
                yield row
        if len(rows) < BATCH_ROWS:
            return
        after = rows[-1].id, rows[-1].id


async def _read_candidates(store: RecordStore, account: Account, records: RecordList) -> Sequence[BodyRow]:
    if records.external_id is not None:
        text = records.external_id.replace("\0", "")  # no stored one has a NUL
        return await store.read_external(account, records.kind, [text])
    return await store.read_by_key(account, records.kind, records.keys or ())


def _key(kind: str, order: ListOrder, row: ListRow) -> int | str:
    return row.id if order == "id" else make_list_key(kind, order, row.body)
