"""Reads of many tickets or records in batches: a store gives no more at once than the bytes of a page."""

from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ticketfeed.protocol.model import INT64_MAX, Slice
from ticketfeed.protocol.paging import page_rows
from ticketfeed.protocol.rows import ListRow

__all__ = ["ROWS_MAX", "all_rows", "list_batches", "ordered_batches", "read_batches"]

KeyT = TypeVar("KeyT", bound=Hashable)
RowT = TypeVar("RowT", bound=Any)

# Once a batch was as large as a page, the next ones are a part of one: who takes them may be slow, and lets each wait.
_PARTS_OF_PAGE = 16
# Rows of a list that are read at once: a few milliseconds of work.
ROWS_MAX = 1000


async def read_batches(
    read: Callable[[Sequence[int]], Awaitable[Sequence[RowT]]], ids: Iterable[int]
) -> AsyncIterator[Sequence[RowT]]:
    """All that `read`, which is read_tickets or read_records of a RecordStore, finds of `ids`, by id."""
    wanted, count = sorted(set(ids)), INT64_MAX
    while wanted:
        rows = await read(wanted[:count])
        batch = page_rows(rows)
        if len(batch) < len(rows):
            count = max(1, len(batch) // _PARTS_OF_PAGE)
            wanted = wanted[bisect_right(wanted, batch[-1].id) :]
        else:
            wanted = wanted[count:]
        del rows
        if batch:
            yield batch
        del batch  # before the next one is read


async def list_batches(
    read: Callable[[Slice], Awaitable[Sequence[ListRow]]], part: Slice
) -> AsyncIterator[Sequence[ListRow]]:
    """All that `read`, which is list_records of a RecordStore, has in a part of the list."""
    wanted, count = part.limit, ROWS_MAX
    while wanted:
        part = replace(part, limit=min(wanted, count))
        rows = await read(part)
        batch = page_rows(rows)
        if len(batch) < len(rows):
            count = max(1, len(batch) // _PARTS_OF_PAGE)
            wanted -= len(batch)
        else:
            wanted = wanted - len(batch) if len(batch) == part.limit else 0
        del rows
        if batch:
            part = replace(part, after=(batch[-1].key, batch[-1].id), offset=0)
            yield batch
        del batch  # before the next one is read


async def ordered_batches(
    read: Callable[[Sequence[KeyT]], Awaitable[Mapping[KeyT, bytes] | None]], keys: Sequence[KeyT]
) -> AsyncIterator[list[tuple[KeyT, bytes]]]:
    """The bodies of `keys` that exist, in this order. `read` gives None for keys whose bodies are more than a page."""
    done, count = 0, len(keys)
    while done < len(keys):
        part = keys[done : done + count]
        found = await read(part)
        if found is None:
            count = max(1, len(part) // 4)
            continue
        done += len(part)
        if found:
            yield [(key, found[key]) for key in part if key in found]
        del found  # before the next ones are read


async def all_rows(batches: AsyncIterator[Sequence[RowT]]) -> list[RowT]:
    """The rows of all batches, of which there are few: the fields of a form, the brands of an account."""
    return [row async for batch in batches for row in batch]
