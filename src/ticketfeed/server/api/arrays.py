"""Answers with arrays of records: sent whole if they are no larger than a page, and else in parts, as they are read."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ticketfeed.export.parts import Arrays, Batches, join_batches
from ticketfeed.protocol import paging
from ticketfeed.protocol.gzip_splice import Coding
from ticketfeed.server.api.call import ApiCall
from ticketfeed.server.middleware.overload import begin_page, hold
from ticketfeed.server.responses import accepted_coding, body_response, streamed_response

__all__ = ["arrays_response", "one_batch"]


async def arrays_response(
    request: Request, call: ApiCall, arrays: Arrays, end: Callable[[], dict[str, Any]]
) -> Response:
    """`{"NAME":[...],...,END}`. Nothing of the arrays is read before the account has a place to read pages in."""
    parts = join_batches(arrays, end)
    ready: deque[bytes] = deque()
    size = 0
    end_page = await begin_page(request.scope, call.account.account_id)
    try:
        async for part in parts:
            ready.append(part)
            size += len(part)
            if size > paging.PAGE_BYTES_MAX:
                coding = accepted_coding(request)
                return streamed_response(request, _encode(request, ready, parts, coding), coding.name)
    finally:
        end_page()
    return body_response(request, b"".join(ready))


async def _encode(
    request: Request, ready: deque[bytes], parts: AsyncIterator[bytes], coding: Coding
) -> AsyncIterator[bytes]:
    """The parts that are ready, and the others as they are read, in a content coding."""
    encoder, size = coding.stream(), sum(map(len, ready))
    while ready:
        hold(request.scope, size)
        part = ready.popleft()
        size -= len(part)
        yield encoder.encode(part)
    async for part in parts:
        hold(request.scope, len(part))
        yield encoder.encode(part)
    yield encoder.encode(b"", is_last=True)


async def one_batch(bodies: Sequence[bytes]) -> Batches:
    """An array that is in memory already."""
    yield bodies
