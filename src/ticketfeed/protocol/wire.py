"""Page -> the bytes of an answer. Stored tickets are joined as they are, never parsed.

The envelope has the keys `tickets`, sideload arrays, `after_url`, `before_url`, `after_cursor`,
`before_cursor`, `end_of_stream`, in this order. An empty page has null for all four addresses: a reader
keeps the cursor it sent, and readers that go on until the cursor is null must find one.
"""

from array import array
from hashlib import sha256
from urllib.parse import urlencode

import msgspec

from ticketfeed.protocol.cursor import encode_cursor
from ticketfeed.protocol.errors import WireError
from ticketfeed.protocol.model import Page

__all__ = ["after_url", "encode_error", "encode_etag", "encode_page"]


def after_url(address: str, cursor: str, kept: tuple[tuple[str, str], ...]) -> str:
    """The next page's address: the asked one, the cursor, and the parameters to keep, by alphabet."""
    return f"{address}?{urlencode([('cursor', cursor), *kept])}"


def encode_page(page: Page, address: str, kept: tuple[tuple[str, str], ...]) -> bytes:
    """The whole body of an answer.

    Brackets and keys are put on the first and last record of each array, so that the large buffer is built once.
    """
    pieces: list[bytes] = []
    for name, bodies in (("tickets", [row[2] for row in page.rows]), *page.sideloads.items()):
        pieces += bodies or [b""]
        first = len(pieces) - max(1, len(bodies))
        pieces[first] = b'"%s":[' % name.encode() + pieces[first]
        pieces[-1] += b"]"
    pieces[0] = b"{" + pieces[0]
    cursor = encode_cursor(page.after) if page.rows else None
    ends = {
        "after_url": after_url(address, cursor, kept) if cursor else None,
        "before_url": None,
        "after_cursor": cursor,
        "before_cursor": None,
        "end_of_stream": page.end_of_stream,
    }
    pieces.append(msgspec.json.encode(ends)[1:])
    return b",".join(pieces)


def encode_etag(page: Page, *identity: str) -> str:
    """A weak tag of 32 hex digits.

    A closed position names one state of one ticket for good, so the positions stand for the tickets' bytes;
    hashing megabytes would cost more than reading them. `identity` tells apart stores, accounts, addresses.
    """
    digest = sha256("\n".join((*identity, str(page.end_of_stream))).encode())
    for column in (0, 1):
        digest.update(array("q", [row[column] for row in page.rows]))
    for bodies in page.sideloads.values():
        for body in bodies:
            digest.update(body)
    return f'W/"{digest.hexdigest()[:32]}"'


def encode_error(error: WireError) -> bytes:
    """The body of an error answer."""
    return msgspec.json.encode(error.body())
