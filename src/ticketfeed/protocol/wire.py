"""Pages -> the bytes of an answer. Stored records are joined as they are, never parsed.

The envelope of a cursor export has the records, sideload arrays, `after_url`, `before_url`, `after_cursor`,
`before_cursor`, `end_of_stream`, in this order. An empty page has null for all four addresses: a reader keeps the
cursor it sent, and readers that go on until the cursor is null must find one. The envelope of a time-based export
always says where to go on.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.model import Page, Span

__all__ = [
    "after_url",
    "embed",
    "encode_error",
    "encode_etag",
    "encode_page",
    "encode_span",
    "join_arrays",
    "join_object",
]


_SECOND, _ID = itemgetter(0), itemgetter(1)


def after_url(address: str, cursor: str, kept: tuple[tuple[str, str], ...]) -> str:
    """The next page's address: the asked one, the cursor, and the parameters to keep, by alphabet."""
    return f"{address}?{urlencode([('cursor', cursor), *kept])}"


def encode_page(page: Page, address: str, kept: tuple[tuple[str, str], ...], kind: str = "tickets") -> bytes:
    """The whole body of a cursor export's answer."""
    cursor = encode_cursor(page.after) if page.rows else None
    ends = {
        "after_url": after_url(address, cursor, kept) if cursor else None,
        "before_url": None,
        "after_cursor": cursor,
        "before_cursor": None,
        "end_of_stream": page.end_of_stream,
    }
    return join_arrays([(kind, _bodies(page)), *page.sideloads.items()], ends)


def encode_span(span: Span, address: str, kept: tuple[tuple[str, str], ...], kind: str = "tickets") -> bytes:
    """The whole body of a time-based export's answer."""
    parameters = sorted([*kept, ("start_time", str(span.end_time))])
    ends = {
        "count": len(span.rows),
        "end_of_stream": span.end_of_stream,
        "next_page": f"{address}?{urlencode(parameters)}",
        "end_time": span.end_time,
    }
    return join_arrays([(kind, _bodies(span)), *span.sideloads.items()], ends)


def join_arrays(arrays: Iterable[tuple[str, Sequence[bytes]]], ends: dict[str, Any]) -> bytes:
    """`{"NAME":[BODY,...],...,ENDS}`.

    Brackets and keys are put on the first and last record of each array, so that the large buffer is built once.
    """
    pieces: list[bytes] = []
    for name, bodies in arrays:
        pieces += bodies or [b""]
        first = len(pieces) - max(1, len(bodies))
        pieces[first] = b'"%s":[' % name.encode() + pieces[first]
        pieces[-1] += b"]"
    pieces[0] = b"{" + pieces[0]
    pieces.append(msgspec.json.encode(ends)[1:])
    return b",".join(pieces)


def join_object(name: str, body: bytes, arrays: Iterable[tuple[str, Sequence[bytes]]]) -> bytes:
    """`{"NAME":BODY,"ARRAY":[...],...}`."""
    others = b"".join(b',"%s":[%s]' % (key.encode(), b",".join(bodies)) for key, bodies in arrays)
    return b'{"%s":%s%s}' % (name.encode(), body, others)


def embed(bodies: list[bytes], embedded: list[bytes]) -> list[bytes]:
    """Each record with what belongs inside it before its closing brace; `embedded` empty for nothing."""
    if not embedded:
        return bodies
    return [b"%s%s}" % (body[:-1], inside) for body, inside in zip(bodies, embedded, strict=True)]


def encode_etag(page: Page | Span, *identity: str) -> str:
    """A weak tag of 32 hex digits.

    A closed position names one state of one record for good, so the positions stand for the records' bytes;
    hashing megabytes would cost more than reading them. `identity` tells apart stores, accounts, addresses.
    """
    # A hash of numbers is the same in every process; that of a thousand takes a tenth of what their bytes would.
    positions = [str(hash(tuple(map(column, page.rows)))) for column in (_SECOND, _ID)]
    digest = sha256("\n".join((*identity, str(page.end_of_stream), *positions)).encode())
    for bodies in (*page.sideloads.values(), page.embedded):
        for body in bodies:
            digest.update(body)
    return f'W/"{digest.hexdigest()[:32]}"'


def encode_error(error: WireError) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(error.body())


def _bodies(page: Page | Span) -> list[bytes]:
    return embed([row[2] for row in page.rows], page.embedded)
