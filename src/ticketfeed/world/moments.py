"""Spans of time in seconds, and moments as the wire writes them. A world has no time before 1970."""

from functools import lru_cache
from time import gmtime, strftime

__all__ = ["DAY", "HOUR", "YEAR", "wire_time"]

HOUR = 3600
DAY = 24 * HOUR
YEAR = 365 * DAY


@lru_cache(4096)  # what belongs to one ticket tells the same few moments again and again
def wire_time(moment: int) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(max(0, moment)))
