"""Position <-> opaque text. The text is Zendesk's own, so cursors minted there work here and back.

`{generated_timestamp}.0||{id}|` in padded standard base64; `MTU3NjYxMzUzOS4wfHw0Njd8` is (1576613539, 467).
"""

import math
import re
from base64 import b64decode, b64encode
from decimal import Decimal

from ticketfeed.protocol.errors import InvalidCursor
from ticketfeed.protocol.model import INT64_MAX, Position

__all__ = ["decode_cursor", "encode_cursor"]

# Longer than any cursor of two 64-bit numbers; bounds the work an unreadable one can cause.
_LENGTH_MAX = 512
_TEXT = re.compile(rb"(-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4})?)\|\|([0-9]+)\|")


def encode_cursor(position: Position) -> str:
    """The cursor whose next page begins right behind `position`.

    Before all tickets of a second is behind all those of the second before: no number in a cursor is negative.
    """
    if position.id < 0:
        position = Position(position.generated_timestamp - 1, INT64_MAX)
    return b64encode(b"%d.0||%d|" % position).decode("ascii")


def decode_cursor(cursor: str) -> Position:
    """The position in a cursor. Any number may stand in front, with or without a fraction.

    A fraction is cut off: that can repeat tickets of the same second, and never skips one.

    Raises InvalidCursor, also for a number beyond 64 bits: no ticket can have been there.
    """
    if len(cursor) > _LENGTH_MAX:
        raise InvalidCursor
    try:
        match = _TEXT.fullmatch(b64decode(cursor, validate=True))
    except ValueError:
        raise InvalidCursor from None
    if match is None:
        raise InvalidCursor
    seconds = Decimal(match[1].decode("ascii"))
    if seconds and seconds.adjusted() > 18:  # spares floor() a number with thousands of digits
        raise InvalidCursor
    position = Position(math.floor(seconds), int(match[2]))
    if not all(-INT64_MAX <= number <= INT64_MAX for number in position):
        raise InvalidCursor
    return position
