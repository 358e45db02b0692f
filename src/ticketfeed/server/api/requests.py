"""Reads the body of a request, of bounded size."""

from typing import TypeVar

from starlette.requests import Request

from ticketfeed.protocol.errors import BodyTooLarge
from ticketfeed.protocol.request_body import InputParser, take_envelope
from ticketfeed.server.middleware.overload import begin_body, limit_anonymous

__all__ = ["BODY_BYTES_MAX", "read_body", "read_envelope", "read_input"]

# A hundred tickets, the most that one request may write, of fifty kilobytes.
BODY_BYTES_MAX = 5 * 1024 * 1024
# A thousand requests, the most that are in progress, hold 64 MiB of bodies like this; larger ones are few at a time.
_SMALL_BYTES_MAX = 64 * 1024
_LENGTH_DIGITS_MAX = 18

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """The whole body. Raises BodyTooLarge before more than the limit has been read, StoreUnavailable."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and (len(announced) > _LENGTH_DIGITS_MAX or int(announced) > BODY_BYTES_MAX):
        raise BodyTooLarge(BODY_BYTES_MAX)
    parts, size, is_large = [], 0, False
    limit_anonymous(request.scope)
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(BODY_BYTES_MAX)
        parts.append(part)
        if not is_large and size > _SMALL_BYTES_MAX:
            is_large = True
            await begin_body(request.scope)
    return b"".join(parts)


async def read_envelope(request: Request, key: str) -> bytes:
    """The JSON value under `key` of the body's object. Raises MalformedRequest, BodyTooLarge."""
    return take_envelope(await read_body(request), key)


async def read_input(request: Request, parser: InputParser[T]) -> T:
    """The record that the body holds. Raises RecordInvalid, MalformedRequest, BodyTooLarge."""
    return parser.parse_body(await read_body(request))
