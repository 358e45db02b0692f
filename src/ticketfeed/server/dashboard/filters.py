"""Template filters, and the parser of positions that people enter."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ticketfeed.protocol.cursor import decode_cursor, encode_cursor
from ticketfeed.protocol.errors import InvalidCursor
from ticketfeed.protocol.model import Position

__all__ = ["FILTERS", "Place", "ago", "amount", "duration", "expiry", "moment", "parse_place", "plural", "size"]

_YEAR_9999 = 253402300799
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the feed, and how it was entered: `kind` is cursor or time."""

    position: Position
    kind: str

    @property
    def cursor(self) -> str:
        return encode_cursor(self.position)

    @property
    def start_time(self) -> int | None:
        """The equivalent start_time; None if the position is inside a second."""
        return self.position.generated_timestamp if self.position.id < 0 else None


def parse_place(text: str) -> Place:
    """A cursor, a time (Unix seconds, or as 2026-01-31T12:00:00Z), or an address with one of them in it.

    Raises ValueError with a message for the user.
    """
    text = text.strip()
    if "://" in text or text.startswith("/") or "?" in text:
        text = _of_address(text)
    if _WHOLE.fullmatch(text):
        return Place(Position(int(text), -1), "time")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        return Place(Position(int(moment.timestamp()), -1), "time")
    try:
        return Place(decode_cursor(text), "cursor")
    except InvalidCursor:
        raise ValueError("not a cursor, a time, or an export address with one of them") from None


def _of_address(address: str) -> str:
    query = parse_qs(urlsplit(address).query)
    for name in ("cursor", "start_time"):
        if name in query:
            return query[name][-1].strip()
    raise ValueError("the address has neither cursor nor start_time")


def moment(seconds: float | None) -> str:
    """A time in UTC."""
    if seconds is None or not 0 < seconds <= _YEAR_9999:
        return "never" if not seconds else "out of range"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}s"
    return f"{max(0, seconds):.0f} s"


def ago(seconds: float, now: float) -> str:
    """The time since then."""
    if not seconds:
        return "never"
    return "just now" if abs(now - seconds) < 1 else f"{duration(now - seconds)} ago" if now > seconds else "ahead"


def expiry(seconds: int | None, now: int) -> str:
    """When something expires, or has expired."""
    if seconds is None:
        return "never expires"
    return f"expires in {duration(seconds - now)}" if now < seconds else f"expired {ago(seconds, now)}"


def amount(number: float) -> str:
    """A number with thousands separators."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def plural(number: int, word: str) -> str:
    """A count with its noun."""
    return f"{amount(number)} {word}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """A number of bytes in its largest unit."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:,.1f} {unit}"


FILTERS: dict[str, Any] = {each.__name__: each for each in (moment, duration, ago, expiry, amount, plural, size)}
