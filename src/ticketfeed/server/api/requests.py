"""The body of a request that changes something -> JSON in its envelope, of bounded size."""

from typing import TypeVar

import msgspec
from starlette.requests import Request

from ticketfeed.protocol.errors import BodyTooLarge, MalformedRequest

__all__ = ["BODY_BYTES_MAX", "read_body", "read_envelope", "take_envelope"]

# A hundred tickets of fifty kilobytes.
BODY_BYTES_MAX = 5 * 1024 * 1024

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """All of it. Raises BodyTooLarge, before more than that has been taken."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > BODY_BYTES_MAX:
        raise BodyTooLarge(BODY_BYTES_MAX)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(BODY_BYTES_MAX)
        parts.append(part)
    return b"".join(parts)


async def read_envelope(request: Request, key: str) -> bytes:
    """The JSON value under `key` of the body's object. Raises MalformedRequest, BodyTooLarge."""
    return take_envelope(await read_body(request), key)


def take_envelope(body: bytes, key: str) -> bytes:
    """The JSON value under `key` of an object. Raises MalformedRequest."""
    try:
        envelope = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise MalformedRequest(f'The body must be a JSON object such as {{"{key}": ...}}') from None
    if key not in envelope:
        raise MalformedRequest(f"Parameter {key} is required")
    return bytes(envelope[key])
