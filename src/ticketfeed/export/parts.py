"""An answer with arrays of records, part by part: each is read when the one before was taken, so any size will do."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ticketfeed.protocol.rows import column

__all__ = ["Arrays", "Batches", "bodies_of", "join_batches", "join_parts"]

# More than a socket takes at once. Larger parts would be in memory several times: here, encoded, and unsent.
_PART_BYTES = 256 * 1024

Batches = AsyncIterator[Sequence[bytes]]
Arrays = Iterable[tuple[str, Batches]]


async def join_batches(arrays: Arrays, end: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
    """`{"NAME":[BODY,...],...,END}`; `end` is asked once all arrays have been read."""
    before = b"{"
    for name, batches in arrays:
        before += b'"%s":[' % name.encode()
        is_empty = True
        async for bodies in batches:
            for part in join_parts(bodies):
                yield before  # by itself: a large record is then never copied
                yield part
                before, is_empty = b",", False
            del bodies  # before the next ones are read
        before = before + b"]," if is_empty else b"],"
    yield before + msgspec.json.encode(end())[1:]


def join_parts(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """The bodies in parts, joined."""
    part: list[bytes] = []
    size = 0
    for body in bodies:
        part.append(body)
        size += len(body)
        if size > _PART_BYTES:
            yield b",".join(part)
            part, size = [], 0
    if part:
        yield b",".join(part)


async def bodies_of(batches: AsyncIterator[Sequence[Any]]) -> Batches:
    """The bodies of rows."""
    async for rows in batches:
        yield column(rows, "body")
        del rows  # before the next ones are read
