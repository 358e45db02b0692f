"""Pages -> the bytes of an answer. Stored records are joined as they are, never parsed.

The envelope of a cursor export has the records, sideload arrays, `after_url`, `before_url`, `after_cursor`,
`before_cursor`, `end_of_stream`, in this order. An empty page has null for all four addresses: a reader keeps the
cursor it sent, and readers that go on until the cursor is null must find one. The envelope of a time-based export
always says where to go on.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.gzip_splice import Piece
from ticketfeed.protocol.model import Page, Position, Span
from ticketfeed.protocol.paging import position_of
from ticketfeed.protocol.rows import column

__all__ = [
    "after_url",
    "embed",
    "encode_error",
    "encode_etag",
    "encode_page",
    "encode_pieces_etag",
    "encode_span",
    "join_arrays",
    "join_object",
    "page_ends",
]


def after_url(address: str, cursor: str, kept: tuple[tuple[str, str], ...]) -> str:
    """The next page's address: the asked one, the cursor, and the parameters to keep, by alphabet."""
    return f"{address}?{urlencode([('cursor', cursor), *kept])}"


def encode_page(page: Page, address: str, kept: tuple[tuple[str, str], ...], kind: str = "tickets") -> bytes:
    """The whole body of a cursor export's answer."""
    ends = _page_ends(page.after if page.rows else None, page.end_of_stream, address, kept)
    return join_arrays([(kind, _bodies(page)), *page.sideloads.items()], ends)


def page_ends(
    after: Position | None, end_of_stream: bool, address: str, kept: tuple[tuple[str, str], ...]
) -> tuple[bytes, bytes]:
    """What stands before and behind the tickets of a page without sideloads. `after` is None for an empty one."""
    return b'{"tickets":[', b"]," + msgspec.json.encode(_page_ends(after, end_of_stream, address, kept))[1:]


def _page_ends(
    after: Position | None, end_of_stream: bool, address: str, kept: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    cursor = encode_cursor(after) if after else None
    return {
        "after_url": after_url(address, cursor, kept) if cursor else None,
        "before_url": None,
        "after_cursor": cursor,
        "before_cursor": None,
        "end_of_stream": end_of_stream,
    }


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

    A closed position names one state of one record for good, so positions stand for the records' bytes; hashing
    megabytes would cost more than reading them. And as records only leave what is closed, how many are left up to
    the last one, and the sum of their ids, stand for all their positions.
    """
    last = tuple(position_of(page.rows[-1])) if page.rows else ()
    digest = _tagged(page.end_of_stream, len(page.rows), sum(column(page.rows, "id")), last, identity)
    for bodies in (*page.sideloads.values(), page.embedded):
        for body in bodies:
            digest.update(body)
    return f'W/"{digest.hexdigest()[:32]}"'


def encode_pieces_etag(pieces: Sequence[Piece], end_of_stream: bool, *identity: str) -> str:
    """The tag that `encode_etag` gives to the same page."""
    counts, ids = sum([piece.count for piece in pieces]), sum([piece.id_sum for piece in pieces])
    last = tuple(pieces[-1].last) if pieces else ()
    return f'W/"{_tagged(end_of_stream, counts, ids, last, identity).hexdigest()[:32]}"'


def _tagged(end_of_stream: bool, count: int, id_sum: int, last: tuple[int, ...], identity: Sequence[str]) -> Any:
    """`identity` tells apart stores, accounts and addresses."""
    return sha256(repr((*identity, end_of_stream, count, id_sum, last)).encode())


def encode_error(error: WireError) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(error.body())


def _bodies(page: Page | Span) -> list[bytes]:
    return embed(column(page.rows, "body"), page.embedded)
