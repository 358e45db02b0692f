"""Page -> the bytes of an answer. Stored records are joined as they are, never parsed.

The envelope of a cursor export has the records, sideload arrays, `after_url`, `before_url`, `after_cursor`,
`before_cursor`, `end_of_stream`, in this order. An empty page has null for all four of the URLs and cursors: a client
keeps the cursor that it sent, and clients that continue until the cursor is null must find one. The envelope of a
time-based export always says where to continue.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.gzip_splice import Segment
from ticketfeed.protocol.model import Page, Position, Span
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.rows import column

__all__ = [
    "after_url",
    "body_etag",
    "embed",
    "encode_error",
    "encode_etag",
    "encode_page",
    "encode_segments_etag",
    "encode_span",
    "join_arrays",
    "join_object",
    "page_bodies",
    "page_frame",
    "span_end",
]

Parameters = tuple[tuple[str, str], ...]


def after_url(url: str, cursor: str, repeated: Parameters) -> str:
    """The URL of the next page: the requested one with the cursor, then the repeated parameters by name."""
    return f"{url}?{urlencode([('cursor', cursor), *repeated])}"


def encode_page(page: Page, url: str, repeated: Parameters, key: str = "tickets") -> bytes:
    """The whole body of a cursor export's answer, its records under `key`."""
    end = _page_end(page.after if page.rows else None, page.end_of_stream, url, repeated)
    return join_arrays([(key, page_bodies(page)), *page.sideloads.items()], end)


def page_frame(after: Position | None, end_of_stream: bool, url: str, repeated: Parameters) -> tuple[bytes, bytes]:
    """The bytes before and after the tickets of a page without sideloads. `after` is None for an empty page."""
    return b'{"tickets":[', b"]," + msgspec.json.encode(_page_end(after, end_of_stream, url, repeated))[1:]


def _page_end(after: Position | None, end_of_stream: bool, url: str, repeated: Parameters) -> dict[str, Any]:
    cursor = encode_cursor(after) if after else None
    return {
        "after_url": after_url(url, cursor, repeated) if cursor else None,
        "before_url": None,
        "after_cursor": cursor,
        "before_cursor": None,
        "end_of_stream": end_of_stream,
    }


def encode_span(span: Span, url: str, repeated: Parameters, key: str = "tickets") -> bytes:
    """The whole body of a time-based export's answer, its records under `key`."""
    end = span_end(len(span.rows), span.end_time, span.end_of_stream, url, repeated)
    return join_arrays([(key, page_bodies(span)), *span.sideloads.items()], end)


def span_end(count: int, end_time: int, end_of_stream: bool, url: str, repeated: Parameters) -> dict[str, Any]:
    """What follows the records of a time-based export."""
    parameters = sorted([*repeated, ("start_time", str(end_time))])
    return {
        "count": count,
        "end_of_stream": end_of_stream,
        "next_page": f"{url}?{urlencode(parameters)}",
        "end_time": end_time,
    }


def join_arrays(arrays: Iterable[tuple[str, Sequence[bytes]]], end: dict[str, Any]) -> bytes:
    """`{"NAME":[BODY,...],...,END}`.

    Brackets and keys are put on the first and last record of each array, so that the large buffer is built once.
    """
    parts: list[bytes] = []
    for name, bodies in arrays:
        parts += bodies or [b""]
        first = len(parts) - max(1, len(bodies))
        parts[first] = b'"%s":[' % name.encode() + parts[first]
        parts[-1] += b"]"
    parts.append(msgspec.json.encode(end)[1:])
    parts[0] = b"{" + parts[0]
    return b",".join(parts)


def join_object(name: str, body: bytes, arrays: Iterable[tuple[str, Sequence[bytes]]]) -> bytes:
    """`{"NAME":BODY,"ARRAY":[...],...}`."""
    others = b"".join(b',"%s":[%s]' % (key.encode(), b",".join(bodies)) for key, bodies in arrays)
    return b'{"%s":%s%s}' % (name.encode(), body, others)


def embed(bodies: list[bytes], embedded: list[bytes]) -> list[bytes]:
    """Each record with its embedded sideloads before the closing brace; `embedded` is empty when there are none."""
    if not embedded:
        return bodies
    return [b"%s%s}" % (body[:-1], inside) for body, inside in zip(bodies, embedded, strict=True)]


def encode_etag(page: Page | Span, *identity: str) -> str:
    """A weak entity tag of 32 hex digits.

    A closed position names one state of one record for good, so the tag is made of positions instead of the records'
    bytes; hashing megabytes would cost more than reading them. And since records can only leave a closed range, the
    number of those left up to the last one, and the sum of their ids, stand for all their positions.
    """
    last = tuple(position_of(page.rows[-1])) if page.rows else ()
    digest = _page_digest(page.end_of_stream, len(page.rows), sum(column(page.rows, "id")), last, identity)
    for bodies in (*page.sideloads.values(), page.embedded):
        for body in bodies:
            digest.update(body)
    return _weak_etag(digest.hexdigest())


def encode_segments_etag(segments: Sequence[Segment], end_of_stream: bool, *identity: str) -> str:
    """The tag that `encode_etag` gives to the same page."""
    count, id_sum = sum([segment.count for segment in segments]), sum([segment.id_sum for segment in segments])
    last = tuple(segments[-1].last) if segments else ()
    return _weak_etag(_page_digest(end_of_stream, count, id_sum, last, identity).hexdigest())


def body_etag(body: bytes) -> str:
    """A weak entity tag made of all the bytes of a body, for answers that are small."""
    return _weak_etag(sha256(body).hexdigest())


def _page_digest(end_of_stream: bool, count: int, id_sum: int, last: tuple[int, ...], identity: Sequence[str]) -> Any:
    """`identity` distinguishes stores, accounts and URLs."""
    return sha256(repr((*identity, end_of_stream, count, id_sum, last)).encode())


def _weak_etag(hex_digits: str) -> str:
    return f'W/"{hex_digits[:32]}"'


def encode_error(error: WireError) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(error.body())


def page_bodies(page: Page | Span) -> list[bytes]:
    """Its records with what is embedded in them."""
    return embed(column(page.rows, "body"), page.embedded)
