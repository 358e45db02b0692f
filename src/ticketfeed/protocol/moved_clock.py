"""An account's clock that can be moved: where it stands, and what moves it.

Nothing that is given out rests on it: whatever it does, no change carries an earlier second than the one before it
(`protocol/watermark.py`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ticketfeed.protocol.errors import InvalidValue

__all__ = ["CLOCK_MOVES", "TIME_MAX", "ClockMove", "MovedClock", "move_clock", "parse_clock_move"]

CLOCK_MOVES = ("set", "advance", "freeze", "resume", "reset")
# The year 3000: what lasts for years still ends in a year of four digits.
TIME_MAX = 32_503_680_000
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,11})([smhd]?)")
_SECONDS = re.compile(r"[0-9]{1,11}")


class MovedClock(NamedTuple):
    """How an account's clock differs from the machine's: by `offset_seconds`, or it stands at `frozen_at`."""

    offset_seconds: int = 0
    frozen_at: int | None = None

    def time(self, now: int) -> int:
        """The account's time when the machine's is `now`, in Unix seconds."""
        return now + self.offset_seconds if self.frozen_at is None else self.frozen_at


class ClockMove(NamedTuple):
    """What is to be done with a clock. `seconds`: the time of `set`, the duration of `advance`."""

    name: str
    seconds: int = 0


def move_clock(clock: MovedClock, move: ClockMove, now: int) -> MovedClock:
    """The clock after a move at the machine's time `now`. Raises InvalidValue."""
    if move.name == "reset":
        return MovedClock()
    time = clock.time(now)
    if move.name == "set":
        time = move.seconds
    elif move.name == "advance":
        time += move.seconds
    if not 0 <= time <= TIME_MAX:
        raise InvalidValue("a clock can be moved to any time from 1970 to the year 3000")
    is_frozen = move.name == "freeze" or (clock.frozen_at is not None and move.name != "resume")
    return MovedClock(0, time) if is_frozen else MovedClock(time - now)


def parse_clock_move(body: object) -> ClockMove:
    """One of `{"set": TIME}`, `{"advance": DURATION}`, `{"freeze": true}`, `{"resume": true}` and `{"reset": true}`.

    Raises InvalidValue.
    """
    if not isinstance(body, Mapping) or len(body) != 1 or not set(body) <= set(CLOCK_MOVES):
        raise InvalidValue(f"the body must be an object with one of: {', '.join(CLOCK_MOVES)}")
    ((name, value),) = body.items()
    if name == "set":
        return ClockMove(name, parse_clock_time(value))
    if name == "advance":
        return ClockMove(name, parse_duration(value))
    if value is not True:
        raise InvalidValue(f"{name} must be true")
    return ClockMove(name)


def parse_duration(value: Any) -> int:
    """Seconds, or a text such as 90s, 31m, 24h or 30d. Raises InvalidValue."""
    match = _DURATION.fullmatch(_text(value))
    if match is None:
        raise InvalidValue(f"{value!r} is not a duration: use seconds, or 90s, 31m, 24h, 30d; set moves a clock back")
    return int(match[1]) * _UNITS[match[2]]


def parse_clock_time(value: Any) -> int:
    """Unix seconds, or a time as ISO 8601 has it, in UTC where it names no zone. Raises InvalidValue."""
    text = _text(value)
    if _SECONDS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError):
        raise InvalidValue(f"{value!r} is not a time: use Unix seconds, or one as 2027-04-30T12:00:00Z") from None


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
